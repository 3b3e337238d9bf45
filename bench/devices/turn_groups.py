"""Which Jobs' models take turns."""

from __future__ import annotations

from collections.abc import Sequence

from pocketgan.bench.schema.job import Job
from pocketgan.bundle.manifest import Entry

# Modes that heat the device for what comes after them, so that each such Job has a group of its own.
ALONE = ("sustained", "camera")


def turn_groups(work: Sequence[tuple[Entry, Job]]) -> list[list[int]]:
    """Numbers of the Jobs whose models take turns, in order: same runtime, and Jobs that differ in bundle, entry and
    concept alone."""
    groups: dict[tuple[str, str], list[int]] = {}
    for number, (entry, job) in enumerate(work):
        rule = job.model_dump_json(exclude={"bundle", "entry", "concept"})
        alone = str(number) if job.mode in ALONE else ""
        groups.setdefault((entry.runtime, rule + alone), []).append(number)
    return list(groups.values())
