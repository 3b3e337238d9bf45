"""What a device is: something that runs entries of bundles and reports raw samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pocketgan.bench.schema.job import Job
    from pocketgan.bench.schema.result import DeviceInfo, Result
    from pocketgan.bundle.manifest import Entry
    from pocketgan.bundle.reader import Bundle

Tick = Callable[[int, str], None]


class Device(Protocol):
    """Something that runs entries of bundles and reports raw samples."""

    name: str

    @property
    def simulated(self) -> bool:
        """Whether an emulator stands in for the device; its times are no performance numbers."""
        ...

    @property
    def runtimes(self) -> Sequence[str]:
        """The runtimes that it can use now, for people."""
        ...

    def describe(self) -> DeviceInfo:
        """Model, system and processor."""
        ...

    def runs(self, entry: Entry) -> bool:
        """Whether it can run this entry."""
        ...

    def lock(self) -> AbstractContextManager[None]:
        """Keep others from measuring on it at the same time.

        Raises:
            DeviceError: another process has it; names that process.
        """
        ...

    def run(self, bundle: Bundle, job: Job) -> Result:
        """Carry out one job. What goes wrong with the model is in the Result's errors.

        Raises:
            DeviceError: the device cannot carry out this kind of job.
        """
        ...

    def run_interleaved(
        self, work: Sequence[tuple[Bundle, Job]], *, session: str = "", tick: Tick | None = None
    ) -> list[Result]:
        """Carry out several jobs, the models of one runtime taking turns; results in the order of `work`.

        Args:
            session: name of the session, on every Result.
            tick: called with the number of frames that came in (of a sustained run: seconds; 0 before each load) and
                what they belong to.
        Raises:
            DeviceError: the device cannot carry out this kind of job.
        """
        ...

    def check(self, work: Sequence[tuple[Bundle, str, str | None]]) -> list[list[str]]:
        """Run entries (by id, each with a concept of a pack, or its default where None) against their golden outputs,
        untimed; the problems of each, empty where it agrees."""
        ...
