"""An Android phone as a device: sessions are measured in its app, or in its shell by the native runner."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from pocketgan.bench.devices import app_session
from pocketgan.bench.devices.adb import choose_phone, find_adb
from pocketgan.bench.devices.android import SHELL_FOLDER, AdbTransport, Measurer
from pocketgan.bench.devices.app_session import AppSession
from pocketgan.bench.devices.device import Tick
from pocketgan.bench.devices.fixed_performance import FixedPerformance
from pocketgan.bench.devices.following import Keep, Work
from pocketgan.bench.devices.phone import Phone
from pocketgan.bench.devices.phone_app import PACKAGE, PhoneApp, find_app
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
    """A phone behind adb, whatever measures there.

    Args:
        folder: of sessions, on the phone.
        options: of RemoteDevice.
    """

    # Each look starts a few processes on the phone that is being measured.
    poll_s = 2.0

    def __init__(self, phone: Phone, measurer: Measurer, folder: str, **options: Any) -> None:
        super().__init__(f"android:{phone.serial}", AdbTransport(phone, measurer, folder), **options)
        self._phone = phone
        self._seen: list[ChargerCheck] = []
        self._pinned = False

    @cached_property
    def _facts(self) -> PhoneFacts:
        return self._reached(lambda: read_facts(self._phone))

    def describe(self) -> DeviceInfo:
        """See Device."""
        return self._facts.info

    def run_groups(
        self,
        groups: Sequence[Sequence[Work]],
        *,
        session: str = "",
        tick: Tick | None = None,
        keep: Keep | None = None,
    ) -> list[Result]:
        """See RemoteDevice. The phone has to be fit for it, and to have what measures.

        Raises:
            DeviceError: its Android is too old, its battery saver is on, or what it says of itself is simulated.
        """
        if 0 < self._facts.sdk < OLDEST_SDK:
            raise DeviceError(f"phone {self._phone.serial}: its Android is too old: 8.0 or newer is needed")
        state = self._reached(lambda: read_state(self._phone))
        if state.conditions.screen_on is False:
            self._reached(self._wake)
            state = self._reached(lambda: read_state(self._phone))
        if state.spoils:
            raise DeviceError(f"phone {self._phone.serial}: {state.spoils[0]}")
        jobs = [job for group in groups for _, job in group]
        with self._gated(jobs, state.clock_held):
            self._reached(lambda: self._prepare(jobs))
            return super().run_groups(groups, session=session, tick=tick, keep=keep)

    @contextmanager
    def _gated(self, jobs: Sequence[Job], clock_held: bool) -> Iterator[None]:
        """On the battery alone and with the clock held, where the jobs ask for it; free again where they do not."""
        clock = FixedPerformance(self._phone, self._facts.sdk)
        self._seen, self._pinned = [], any(job.clock == "pinned" for job in jobs)
        # Where it is to be held, it stays so: a session that was cut off may measure on, and its results be taken over.
        if clock_held and not self._pinned:
            self._reached(clock.take_back_what_was_left)
        try:
            if self._pinned:
                clock.must_be_there()
            if any(job.energy for job in jobs):
                self._seen = [self._reached(lambda: look_for_charger(self._phone))]
                must_be_unplugged(self._phone.serial, self._seen[0])
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

    @abstractmethod
    def _prepare(self, jobs: Sequence[Job]) -> None:
        """Bring what measures to the phone."""

    def _wake(self) -> None:
        """Put its screen on, where that is for this device to do."""


class ShellDevice(AndroidDevice):
    """A phone in whose shell the native runner measures."""

    via: Via = "shell"

    def __init__(self, phone: Phone, runner: PhoneRunner, **options: Any) -> None:
        process = ShellProcess(lambda folder: runner.command(folder, self.describe()))
        super().__init__(phone, process, SHELL_FOLDER, **options)
        self._runner = runner

    @property
    def runtimes(self) -> Sequence[str]:
        """See Device. What the native runner opens."""
        return ("onnxruntime",)

    def runs(self, entry: Entry) -> bool:
        """See Device. What computes on a CPU, which is all that the runner asks of ONNX Runtime."""
        return entry.runtime in self.runtimes and runs_on_host(entry.target, entry.runtime)

    def _prepare(self, jobs: Sequence[Job]) -> None:
        self._runner.install(self._phone, self._facts.abis)


class AppDevice(AndroidDevice):
    """A phone on which the app measures."""

    via: Via = "app"

    def __init__(self, phone: Phone, app: PhoneApp, **options: Any) -> None:
        super().__init__(phone, AppSession(), app_session.FOLDER, **options)
        self._app = app

    @property
    def runtimes(self) -> Sequence[str]:
        """See Device. Those that are in the app."""
        return self._app.runtimes

    def runs(self, entry: Entry) -> bool:
        """See Device."""
        return self._app.runs(entry)

    def run_groups(
        self,
        groups: Sequence[Sequence[Work]],
        *,
        session: str = "",
        tick: Tick | None = None,
        keep: Keep | None = None,
    ) -> list[Result]:
        """See AndroidDevice. Afterwards the app is closed, which kept the screen on."""
        try:
            return super().run_groups(groups, session=session, tick=tick, keep=keep)
        finally:
            with contextlib.suppress(DeviceError):
                self._phone.shell("am", "force-stop", PACKAGE)

    def _wake(self) -> None:
        app_session.wake(self._phone)

    def _prepare(self, jobs: Sequence[Job]) -> None:
        app_session.make_ready(
            self._phone, self._app, self._facts.abis, camera=any(job.mode == "camera" for job in jobs)
        )


def find_android(name: str | None, via: Via | None = None, apk: Path | None = None) -> AndroidDevice:
    """The phone of that serial, model or address; None: the only one there.

    Args:
        via: what measures, the app where None.
        apk: the app; see phone_app.find_app.
    Raises:
        DeviceError: no adb, neither app nor runner, no such phone, or one that cannot be used; says what to do.
    """
    if via not in (None, "app", "shell"):
        raise DeviceError(f"a phone measures --via app or --via shell, not {via}")
    if via == "shell" and apk is not None:
        raise DeviceError("--apk names the app, and --via shell measures without it: leave one of them out")
    adb = find_adb()
    phone = Phone(adb, choose_phone(adb, name).serial)
    return ShellDevice(phone, find_runner()) if via == "shell" else AppDevice(phone, find_app(apk))
