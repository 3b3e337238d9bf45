"""A session on a device that is elsewhere: what of it is pending, what came, and who is to blame where it dies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pocketgan import console
from pocketgan.bench.devices.device import Tick
from pocketgan.bench.devices.fault import Asked
from pocketgan.bench.devices.incoming import Incoming, Look, empty_result
from pocketgan.bench.devices.progress import Progress
from pocketgan.bench.devices.transport import Transport
from pocketgan.bench.devices.turn_groups import turn_groups
from pocketgan.bench.runners.planning import floor_db, output_bytes
from pocketgan.bench.schema.job import Job
from pocketgan.bench.schema.result import DeviceInfo, Result
from pocketgan.bench.schema.session import Group, Session
from pocketgan.bundle.reader import Bundle
from pocketgan.errors import DeviceError

Work = tuple[Bundle, Job]
Keep = Callable[[Result], None]

# So often it may die before it has measured anything; then it is not the models.
MOST_DEATHS = 5


class Following:
    """A session in the making: what is still pending, what came.

    Args:
        look: see Incoming.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[Work]],
        name: str,
        device: DeviceInfo,
        tick: Tick | None,
        keep: Keep | None,
        look: Look,
    ) -> None:
        self.work = [work for group in groups for work in group]
        self._asked = [_asked(bundle, job, device.kind) for bundle, job in self.work]
        self._name, self._device, self._keep, self._look = name, device, keep, look
        self._results: dict[int, Result] = {}
        self._progress = Progress(tick, [job for _, job in self.work])
        self._began: float | None = None
        self._deaths = 0
        self.pending: list[list[int]] = []
        first = 0
        for group in groups:
            entries = [(bundle.manifest.entry(job.entry, job.concept), job) for bundle, job in group]
            self.pending += [[first + number for number in numbers] for numbers in turn_groups(entries)]
            first += len(group)
        self.incoming = self._expect()

    def take_over(self, left: bytes) -> None:
        """Take sound results of a cut session; what failed there is tried again."""
        earlier = self._expect()
        for number in earlier.feed(left):
            if earlier.results[number].frames:
                self._take(self._sent[number], earlier.results[number])
        self._forget_done()
        if self._results:
            console.note(f"{len(self._results)} of {len(self.work)} runs lay on device {self._device.name} already")

    def pending_work(self) -> list[Work]:
        return [self.work[number] for group in self.pending for number in group]

    def session(self) -> Session:
        return Session(
            name=self._name, groups=[Group(jobs=[self.work[number][1] for number in group]) for group in self.pending]
        )

    def begin(self, now: float) -> None:
        """Of what is pending, nothing has come yet."""
        self.incoming, self._began = self._expect(), now

    def feed(self, data: bytes, now: float | None) -> None:
        elapsed_ns = None if now is None or self._began is None else int((now - self._began) * 1e9)
        self.incoming.feed(data, elapsed_ns)
        # Not only what came now: the user may have stopped between two of them.
        for number, result in self.incoming.results.items():
            if self._sent[number] not in self._results:
                self._take(self._sent[number], result)
        if self.incoming.beat is not None:
            self._progress.beat(self.incoming.beat)

    def drain(self, transport: Transport) -> None:
        """What the device wrote until it was stopped."""
        if self._began is not None:
            self.feed(transport.read(self.incoming.offset), None)

    def end(self, device: str) -> None:
        """The session ended; what it did not answer has that as its error.

        Raises:
            DeviceError: the device gave up, and says why.
        """
        if self.incoming.error is not None:
            raise DeviceError(f"device {device} gave up: {self.incoming.error}")
        strays = [f"; {fault.line}" for fault in self.incoming.strays[:1]]
        for number in self._missing():
            self._fail(number, f"device {device} gave no result of it{''.join(strays)}")
        self.pending = []

    def bury(self, why: str) -> None:
        """The device died. Where it measured something since it began, it may have been bad luck; where not, the first
        group is to blame, and each of its models is tried alone.

        Raises:
            DeviceError: it dies whatever it is asked.
        """
        came = len(self.incoming.results)
        self._forget_done()
        if came or not self.pending:
            self._deaths = 0
            return
        self._deaths += 1
        if self._deaths >= MOST_DEATHS:
            raise DeviceError(f"{why}, {self._deaths} times in a row, before it measured anything; its log tells why")
        first, *rest = self.pending
        if len(first) > 1:
            self.pending = [*([number] for number in first), *rest]
            return
        self._fail(first[0], f"{why} while it measured this")
        self.pending = rest

    def in_order(self) -> list[Result]:
        return [self._results[number] for number in range(len(self.work))]

    def _expect(self) -> Incoming:
        self._sent = [number for group in self.pending for number in group]
        groups = [[self._asked[number] for number in group] for group in self.pending]
        return Incoming(self._name, groups, self._device, self._look)

    def _missing(self) -> list[int]:
        return [number for group in self.pending for number in group if number not in self._results]

    def _forget_done(self) -> None:
        missing = set(self._missing())
        groups = [[number for number in group if number in missing] for group in self.pending]
        self.pending = [group for group in groups if group]

    def _fail(self, number: int, why: str) -> None:
        self._take(
            number, empty_result(self._name, self._asked[number], self._device).model_copy(update={"errors": [why]})
        )

    def _take(self, number: int, result: Result) -> None:
        self._results[number] = result
        if self._keep is not None:
            self._keep(result)
        self._progress.done(result)


def _asked(bundle: Bundle, job: Job, kind: str) -> Asked:
    manifest = bundle.manifest
    entry = manifest.entry(job.entry, job.concept)
    whole = job.component is None and len(entry.components) == 1
    return Asked(
        job,
        manifest.name,
        entry.runtime,
        kind,
        floor_db=floor_db(entry),
        macs=manifest.cost.macs if whole and manifest.cost is not None else 0,
        output_bytes=output_bytes(entry, job.component),
        has_reference=manifest.has_reference(entry),
        delegation=entry.delegation,
    )
