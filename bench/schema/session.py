"""A Session: what the host hands to a device that is elsewhere, and the lines that come back.

The session folder holds `session.json` and `bundles/<digest>/` with `manifest.json`, `signature.json` and the files of
the asked entries. The device answers with `results.jsonl`: `result` lines, each appended and flushed as its Job ends,
`beat` lines in between, and one `end` line last.

1.1: its Jobs are of 1.2; 1.2: of 1.3.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pocketgan.bench.schema.job import Job
from pocketgan.bundle.manifest import Strict

SESSION_VERSION = "1.2"


class Group(Strict):
    """Jobs whose models take turns, round by round in the order of `runners.timing.turns`; they differ in bundle and
    entry alone. A sustained or camera Job has a group of its own."""

    jobs: list[Job] = Field(min_length=1)


class Session(Strict):
    """`session.json`.

    `name` is on every Result. A device that has carried out some groups already, as its results say, goes on after
    them.
    """

    schema_version: Annotated[str, Field(pattern=r"^1\.[0-9]{1,4}$")] = SESSION_VERSION
    name: str = Field(min_length=1, max_length=256)
    beat_interval_s: float = Field(default=1, gt=0)
    groups: list[Group] = Field(min_length=1)


class Beat(Strict):
    """The work goes on: what it is at, and how many frames (of a sustained or camera Job: seconds) of it are done."""

    record: Literal["beat"] = "beat"
    at_ns: int
    detail: str = ""
    done: int = Field(default=0, ge=0)


class End(Strict):
    """Nothing more comes: every group is done, or `error` says in one line why not."""

    record: Literal["end"] = "end"
    error: str | None = None
