"""`pocketgan doctor`."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from pocketgan import console
from pocketgan.cli.options import Json

if TYPE_CHECKING:
    from pocketgan.doctor import Finding

_NARROWEST, _WIDEST = 30, 120


def doctor(json: Json = False) -> None:
    """What this machine can train, export and run.

    And how to get the rest. Exit code 1 where a part of every installation is missing or broken.
    """
    from pocketgan.doctor import findings

    everything = findings()
    broken = [finding.what for finding in everything if not finding.ok and not finding.optional]
    payload = {
        "ok": not broken,
        "findings": [{"what": f.what, "ok": f.ok, "optional": f.optional, "detail": f.detail} for f in everything],
    }
    console.result(payload, _page(everything, broken))
    if broken:
        raise typer.Exit(1)


def _page(everything: Sequence[Finding], broken: Sequence[str]) -> str:
    """One paragraph a finding, as wide as the terminal."""
    width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
    lines: list[str] = []
    for finding in everything:
        text = f"{'yes' if finding.ok else 'no':<3}  {finding.what}: {finding.detail}"
        lines += textwrap.wrap(text, width, subsequent_indent=" " * 5, break_long_words=False, break_on_hyphens=False)
    missing = any(not finding.ok and finding.optional for finding in everything)
    verdict = f"To be repaired: {', '.join(broken)}" if broken else "What was installed works"
    more = "; what says no can be added" if missing and not broken else ""
    return "\n".join([*lines, "", *textwrap.wrap(f"{verdict}{more}.", width)])
