"""Verdicts as the command line asks for them and tells them: options of a budget, exit codes, JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pocketgan.bench.energy import Energy
    from pocketgan.bench.verdict import Held

MinFps = Annotated[
    float | None, typer.Option("--min-fps", metavar="FPS", help="Say whether frames hold this rate, such as 30.")
]
MaxMs = Annotated[
    float | None, typer.Option("--max-ms", metavar="MS", help="Say whether a frame keeps within this, such as 33.3.")
]
Wait = Annotated[
    str, typer.Option("--wait", metavar="TIME", help="Wait so long for a device that is busy, such as 90s or 10m.")
]

_EXIT_CODES = {"PASS": 0, "REGRESSION": 1, "TOO SLOW": 1}
# NOISY and INCOMPARABLE decide nothing.
_UNDECIDED = 3


def exit_code(verdict: str) -> int:
    """What a command ends with that gives this verdict."""
    return _EXIT_CODES.get(verdict, _UNDECIDED)


def finite(value: float | None) -> float | None:
    """JSON knows no infinity."""
    return value if value is not None and math.isfinite(value) else None


def held_payload(held: Held) -> dict[str, Any]:
    """Whether a budget is held, in milliseconds and frames."""
    return {
        "verdict": held.verdict,
        "limit_ms": held.limit_ms,
        "frame_ms": held.frame.estimate,
        "ci_low_ms": finite(held.frame.low),
        "ci_high_ms": finite(held.frame.high),
        "share_within": held.share_within,
        "frames_needed": held.frames,
    }


def energy_payload(found: Energy) -> dict[str, Any]:
    """Energy per frame, in joules."""
    interval = found.per_frame_j
    return {
        "per_frame_j": interval.estimate,
        "ci_low_j": finite(interval.low),
        "ci_high_j": finite(interval.high),
        "watts": found.watts,
        "seconds": found.seconds,
        "frames": found.frames,
        "readings": found.readings,
    }
