"""An Android phone as a device: sessions are measured in its shell by the native runner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from pocketgan.bench.devices.adb import choose_phone, find_adb
from pocketgan.bench.devices.android import AdbTransport
from pocketgan.bench.devices.device import Tick
from pocketgan.bench.devices.fixed_performance import FixedPerformance
from pocketgan.bench.devices.following import Keep, Work
from pocketgan.bench.devices.phone import Phone
from pocketgan.bench.devices.phone_facts import OLDEST_SDK, PhoneFacts, read_facts, read_state
from pocketgan.bench.devices.phone_runner import PhoneRunner, find_runner
from pocketgan.bench.devices.remote import RemoteDevice
from pocketgan.bench.devices.shell_process import ShellProcess
from pocketgan.bench.devices.unplugged import look_for_charger, must_be_unplugged
from pocketgan.bench.schema.job import Job, Via
from pocketgan.bench.schema.result import ChargerCheck, DeviceInfo, Result
from pocketgan.bundle.manifest import Entry
from pocketgan.errors import DeviceError
from pocketgan.targets import runs_on_host


class AndroidDevice(RemoteDevice):
    """A phone behind adb.

    Args:
        options: of RemoteDevice.
    """

    via: Via = "shell"
    # Each look starts a few processes on the phone that is being measured.
    poll_s = 2.0

    def __init__(self, phone: Phone, runner: PhoneRunner, **options: Any) -> None:
        process = ShellProcess(lambda folder: runner.command(folder, self.describe()))
        super().__init__(f"android:{phone.serial}", AdbTransport(phone, process), **options)
        self._phone = phone
        self._seen: list[ChargerCheck] = []
        self._pinned = False
        self._runner = runner

    @cached_property
    def _facts(self) -> PhoneFacts:
        return self._reached(lambda: read_facts(self._phone))

    def describe(self) -> DeviceInfo:
        """See Device."""
        return self._facts.info

    @property
    def runtimes(self) -> Sequence[str]:
        """See Device. What the native runner opens."""
        return ("onnxruntime",)

    def runs(self, entry: Entry) -> bool:
        """See Device. What computes on a CPU, which is all that the runner asks of ONNX Runtime."""
        return entry.runtime in self.runtimes and runs_on_host(entry.target, entry.runtime)

    def run_groups(
        self,
        groups: Sequence[Sequence[Work]],
        *,
        session: str = "",
        tick: Tick | None = None,
        keep: Keep | None = None,
    ) -> list[Result]:
        """See RemoteDevice. The phone has to be fit for it, and to have the runner.

        Raises:
            DeviceError: its Android is too old, its battery saver is on, or what it says of itself is simulated.
        """
        if 0 < self._facts.sdk < OLDEST_SDK:
            raise DeviceError(f"phone {self._phone.serial}: its Android is too old: 8.0 or newer is needed")
        spoils = self._reached(lambda: read_state(self._phone)).spoils
        if spoils:
            raise DeviceError(f"phone {self._phone.serial}: {spoils[0]}")
        self._reached(lambda: self._runner.install(self._phone, self._facts.abis))
        with self._gated([job for group in groups for _, job in group]):
            return super().run_groups(groups, session=session, tick=tick, keep=keep)

    @contextmanager
    def _gated(self, jobs: Sequence[Job]) -> Iterator[None]:
        """On the battery alone and with the clock held, where the jobs ask for it."""
        clock = FixedPerformance(self._phone, self._facts.sdk)
        self._reached(clock.take_back_what_was_left)
        self._seen, self._pinned = [], any(job.clock == "pinned" for job in jobs)
        if any(job.energy for job in jobs):
            self._seen = [self._reached(lambda: look_for_charger(self._phone))]
            must_be_unplugged(self._phone.serial, self._seen[0])
        if self._pinned:
            clock.must_be_there()
        try:
            yield
        finally:
            if self._pinned:
                clock.take_back_at_last()

    def _start(self) -> None:
        """See RemoteDevice. A restart of the phone has taken its held clock back."""
        if self._pinned:
            FixedPerformance(self._phone, self._facts.sdk).hold()
        super()._start()

    def _look(self) -> Sequence[ChargerCheck]:
        self._seen.append(self._reached(lambda: look_for_charger(self._phone)))
        return [self._seen[0], self._seen[-1]]


def find_android(name: str | None) -> AndroidDevice:
    """The phone of that serial, model or address; None: the only one there.

    Raises:
        DeviceError: no adb, no runner, no such phone, or one that cannot be used; says what to do.
    """
    adb = find_adb()
    listed = choose_phone(adb, name)
    return AndroidDevice(Phone(adb, listed.serial), find_runner())
