"""How far a session on a device that is elsewhere is, from its beats and results, which may say anything."""

from __future__ import annotations

from collections.abc import Sequence

from pocketgan.bench.devices.device import Tick
from pocketgan.bench.naming import job_name
from pocketgan.bench.schema.job import Job
from pocketgan.bench.schema.result import Result
from pocketgan.bench.schema.session import Beat


class Progress:
    """Frames (of sustained and camera jobs: seconds) that were told to `tick`: never fewer than before, never more than
    `jobs` have in all."""

    def __init__(self, tick: Tick | None, jobs: Sequence[Job]) -> None:
        self._tick = tick
        self._total = sum(_steps(job) for job in jobs)
        self._longest = max((_steps(job) for job in jobs), default=0)
        self._finished = self._told = 0

    def beat(self, beat: Beat) -> None:
        """Work on a job goes on."""
        self._tell(self._finished + min(beat.done, self._longest), beat.detail)

    def done(self, result: Result) -> None:
        """A job is done."""
        self._finished += _steps(result.job)
        self._tell(self._finished, f"{result.bundle_name} {job_name(result.job)}")

    def _tell(self, reached: int, detail: str) -> None:
        count = min(reached, self._total) - self._told
        if count > 0 and self._tick is not None:
            self._told += count
            self._tick(count, detail)


def _steps(job: Job) -> int:
    return job.iterations or round(job.duration_s or 0)
