"""`pocketgan doctor`."""

from __future__ import annotations

from pocketgan import console
from pocketgan.cli.options import Json


def doctor(json: Json = False) -> None:
    """What this machine can train, export and run.

    And how to get the rest.
    """
    from pocketgan.doctor import findings

    everything = findings()
    payload = {
        "ok": all(f.ok for f in everything),
        "findings": [{"what": f.what, "ok": f.ok, "detail": f.detail} for f in everything],
    }
    console.result(
        payload, console.table(["", "what", ""], [("yes" if f.ok else "no", f.what, f.detail) for f in everything])
    )
