"""A Job as it was asked of a device that is elsewhere, and what does not hold of its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pocketgan.bench.runners.planning import DEFAULT_FLOOR_DB
from pocketgan.bench.schema.job import Job
from pocketgan.bundle.manifest import Delegation

Kind = Literal[
    "line",
    "session",
    "job",
    "repeated",
    "bundle",
    "device",
    "empty",
    "parity",
    "parity_after",
    "process",
    "warmup",
    "cool_down",
    "clock_regime",
    "placement",
    "power_save",
    "screen",
    "visibility",
    "page",
    "energy",
    "count",
    "stamps",
    "order",
    "overlap",
    "too_fast",
    "clock",
    "turns",
]


@dataclass(frozen=True)
class Asked:
    """A Job as it was asked, with what its bundle says.

    Attributes:
        bundle_name, runtime: what the Result must name. device_kind: the kind of device that was asked.
        floor_db: parity below which the output is wrong. macs: what a frame computes at least, 0 where it is not known.
        output_bytes: of a frame's outputs, which are read within the frame.
        has_reference: whether parity says anything (see Manifest.has_reference). delegation: of the export.
    """

    job: Job
    bundle_name: str
    runtime: str
    device_kind: str
    floor_db: float = DEFAULT_FLOOR_DB
    macs: int = 0
    output_bytes: int = 0
    has_reference: bool = True
    delegation: Delegation | None = None


@dataclass(frozen=True)
class Fault:
    """What does not hold: its kind, and a line for people."""

    kind: Kind
    line: str
