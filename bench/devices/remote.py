"""A device that is elsewhere, over whatever reaches it: sessions are handed over, followed, cut and gone on with."""

from __future__ import annotations

import contextlib
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from pocketgan import console
from pocketgan.bench.devices.device import Tick
from pocketgan.bench.devices.following import Following, Keep, Work
from pocketgan.bench.devices.incoming import plain, session_of
from pocketgan.bench.devices.lock import device_lock
from pocketgan.bench.devices.session_folder import files_of, worth_keeping, write_session
from pocketgan.bench.devices.transport import OutOfReachError, Transport
from pocketgan.bench.runners.planning import component_names
from pocketgan.bench.schema.job import Job, Via, Warmup
from pocketgan.bench.schema.result import ChargerCheck, DeviceInfo, Result
from pocketgan.bundle.manifest import Entry
from pocketgan.bundle.reader import Bundle
from pocketgan.errors import DeviceError
from pocketgan.scratch import scratch_folder

Answer = TypeVar("Answer")

POLL_S = 0.5
# The first look: a session begins with loads and warm-up, which looks disturb less than frames. Short ones end soon.
FIRST_LOOK_S = 0.25
# Loading a model for a phone's accelerator takes minutes the first time, and no beat can come meanwhile.
STALL_TIMEOUT_S = 300.0
# A phone reboots in a minute.
REACH_TIMEOUT_S = 90.0


class RemoteDevice(ABC):
    """What all devices that are elsewhere have in common; each brings its transport, and the words that it is told by.

    Args:
        name: what users call it, such as `android:R5CT10`; any characters.
        stall_timeout_s: seconds without a line of it after which it counts as hung.
        reach_timeout_s: how long to wait for it where it does not answer.
        clock, sleep: seconds that go by.
    """

    # How its Jobs are carried out where nobody says otherwise.
    via: Via = "app"
    # Seconds between two looks at it at most; in the beginning it is looked at more often.
    poll_s: float = POLL_S

    def __init__(
        self,
        name: str,
        transport: Transport,
        *,
        stall_timeout_s: float = STALL_TIMEOUT_S,
        reach_timeout_s: float = REACH_TIMEOUT_S,
        lock_folder: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = name
        self._transport = transport
        self._stall_timeout_s, self._reach_timeout_s = stall_timeout_s, reach_timeout_s
        self._lock_folder = lock_folder
        self._clock, self._sleep = clock, sleep

    @abstractmethod
    def describe(self) -> DeviceInfo:
        """See Device. The same at every call, so that a session is gone on with."""

    @property
    @abstractmethod
    def runtimes(self) -> Sequence[str]:
        """See Device."""

    @abstractmethod
    def runs(self, entry: Entry) -> bool:
        """See Device."""

    @property
    def simulated(self) -> bool:
        """See Device."""
        return self.describe().simulated

    def lock(self) -> AbstractContextManager[None]:
        """See Device."""
        return device_lock(self.name, self._lock_folder)

    def run(self, bundle: Bundle, job: Job) -> Result:
        """See Device."""
        return self.run_interleaved([(bundle, job)])[0]

    def run_interleaved(self, work: Sequence[Work], *, session: str = "", tick: Tick | None = None) -> list[Result]:
        """See Device."""
        return self.run_groups([work], session=session, tick=tick)

    def check(self, work: Sequence[tuple[Bundle, str, str | None]]) -> list[list[str]]:
        """See Device. One frame is run of each; what it took is nobody's business."""
        jobs = [
            (number, component, (bundle, self._one_frame(bundle, entry, component, concept)))
            for number, (bundle, entry, concept) in enumerate(work)
            for component in component_names(bundle.manifest.entry(entry))
        ]
        results = self.run_groups([[one] for _, _, one in jobs])
        answers: list[list[str]] = [[] for _ in work]
        for (number, component, _), result in zip(jobs, results, strict=True):
            answers[number] += [error if component is None else f"{component}: {error}" for error in result.errors]
        return answers

    def session_left(self, jobs: Sequence[Job]) -> str | None:
        """The session whose results of these jobs still lie on the device, because the host was cut off; None where
        none do.

        Raises:
            DeviceError: the device cannot be reached, or refuses.
        """
        return session_of(self._reached(lambda: self._transport.read(0)), jobs)

    def run_groups(
        self,
        groups: Sequence[Sequence[Work]],
        *,
        session: str = "",
        tick: Tick | None = None,
        keep: Keep | None = None,
    ) -> list[Result]:
        """Carry out groups of jobs as one session, the models of a group taking turns where their jobs are alike.

        What an earlier, cut session of the same name left on the device is taken over. Where the device dies, the
        session goes on; the job at which it dies again has that as its error.

        Args:
            session: its name, on every Result; a new one if empty.
            tick: see Device.run_interleaved.
            keep: called with each Result as it comes, before anything of it is removed from the device.
        Returns:
            The results, in the order of the jobs.
        Raises:
            DeviceError: the device is out of reach, refuses, or gave up; what came is kept.
        """
        following = Following(groups, session or secrets.token_hex(8), self.describe(), tick, keep, self._look)
        try:
            self._take_over(following)
            with scratch_folder() as folder:
                while following.pending:
                    self._carry_out(following, Path(folder))
            self._tidy(following)
        except BaseException:
            with contextlib.suppress(DeviceError):
                self._transport.stop()
                following.drain(self._transport)
            raise
        return following.in_order()

    def _look(self) -> Sequence[ChargerCheck]:
        """What the host has seen of the device's charger since the session began, and sees now."""
        return ()

    def _take_over(self, following: Following) -> None:
        """Results that a cut session left: one that still runs is ended, so that nothing is measured beside it."""
        if self._reached(self._transport.alive):
            self._reached(self._transport.stop)
        left = self._reached(lambda: self._transport.read(0))
        following.take_over(left)

    def _carry_out(self, following: Following, folder: Path) -> None:
        """Hand over what is pending and follow it to its end, or to the device's."""
        work = following.pending_work()
        needed = files_of(work)
        there = self._reached(self._transport.there)
        keep = worth_keeping(there, needed)
        if there.keys() - keep:
            self._reached(lambda: self._transport.clean_up(keep))
        files = write_session(folder, following.session(), work, there)
        self._reached(lambda: self._transport.send(files))
        following.begin(self._clock())
        self._reached(self._start)
        why = self._follow(following)
        if why is not None:
            following.bury(f"device {self.name} {why}")

    def _start(self) -> None:
        if not self._transport.alive():
            self._transport.start()

    def _follow(self, following: Following) -> str | None:
        """Take in what comes until the session ends; else how the device failed."""
        began = heard_at = self._clock()
        lines = 0
        while True:
            alive = self._reached(self._transport.alive)
            # Read after it was asked: what it wrote before it died is there.
            data = self._reached(lambda: self._transport.read(following.incoming.offset))
            following.feed(data, self._clock())
            if following.incoming.ended:
                following.end(self.name)
                return None
            if not alive:
                words = plain(self._reached(self._transport.last_words))
                return f"ended too early ({words})" if words else "ended without a word"
            if following.incoming.lines > lines:
                heard_at, lines = self._clock(), following.incoming.lines
            elif self._clock() - heard_at > self._stall_timeout_s:
                self._reached(self._transport.stop)
                return f"hung: nothing from it for {self._stall_timeout_s:g} s"
            self._sleep(min(self.poll_s, max(FIRST_LOOK_S, (self._clock() - began) / 2)))

    def _tidy(self, following: Following) -> None:
        """Leave the bundles, which may be asked for again, and nothing else. All is kept: no reason to fail."""
        with contextlib.suppress(DeviceError):
            self._transport.clean_up(files_of(following.work).keys())

    def _reached(self, call: Callable[[], Answer]) -> Answer:
        """What the call says; where the device does not answer, once it does again.

        Raises:
            DeviceError: it did not, for too long.
        """
        lost_at = None
        while True:
            try:
                return call()
            except OutOfReachError as problem:
                now = self._clock()
                if lost_at is None:
                    lost_at = now
                    console.note(f"{problem}; waiting for it, {self._reach_timeout_s:g} s at most")
                if now - lost_at >= self._reach_timeout_s:
                    raise DeviceError(
                        f"device {self.name} did not come back in {self._reach_timeout_s:g} s: {problem}"
                    ) from problem
                self._sleep(self.poll_s)

    def _one_frame(self, bundle: Bundle, entry: str, component: str | None, concept: str | None) -> Job:
        return Job(
            bundle=bundle.digest,
            entry=entry,
            component=component,
            concept=concept,
            via=self.via,
            warmup=Warmup(iterations=0, timeout_s=0),
            iterations=1,
            rounds=1,
            cold_repeats=0,
        )
