"""Whole sessions on a phone behind the real adb, by a program on it that plays them from a script; cut in every way."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from adb_device import SimulatedPhone
from fake_phone import INFO

from pocketgan.bench.devices.adb import Adb
from pocketgan.bench.devices.android import SHELL_FOLDER, AdbTransport
from pocketgan.bench.devices.phone import Phone
from pocketgan.bench.devices.remote import RemoteDevice
from pocketgan.bench.devices.shell_process import ShellProcess
from pocketgan.bench.schema.job import Job
from pocketgan.bench.schema.result import DeviceInfo, Result
from pocketgan.bundle.manifest import Entry
from pocketgan.bundle.reader import Bundle, open_bundle
from pocketgan.errors import DeviceError

SCRIPTED_RUNNER = Path(__file__).parents[1] / "support" / "scripted_runner.py"


class ScriptedPhone(RemoteDevice):
    """A phone whose runner plays from a script."""

    via = "shell"

    def describe(self) -> DeviceInfo:
        return INFO

    @property
    def runtimes(self) -> Sequence[str]:
        return ("onnxruntime",)

    def runs(self, entry: Entry) -> bool:
        return True


@pytest.fixture(scope="module")
def adb(newest_adb: Adb) -> Adb:
    """One is enough: what is particular to each is tested with questions, which take less time."""
    return newest_adb


@pytest.fixture
def device(adb: Adb, simulated: SimulatedPhone, tmp_path: Path) -> Callable[..., ScriptedPhone]:
    def make(pause_s: float = 0.02, **options: Any) -> ScriptedPhone:
        def command(folder: str) -> list[str]:
            return [sys.executable, str(SCRIPTED_RUNNER), folder, str(pause_s)]

        transport = AdbTransport(Phone(adb, simulated.serial), ShellProcess(command))
        hurry = {"sleep": lambda seconds: time.sleep(min(seconds, 0.05))}
        return ScriptedPhone("android:1", transport, lock_folder=tmp_path, **{**hurry, **options})

    return make


@pytest.fixture
def work(make_bundle: Callable[..., Path]) -> list[list[tuple[Bundle, Job]]]:
    """Three groups of one job each."""
    bundles = [open_bundle(make_bundle(f"tiny{number}", layers=number + 1)) for number in range(3)]
    return [[(one, Job(bundle=one.digest, entry="onnx-fp32", via="shell", iterations=4, rounds=2))] for one in bundles]


def names(results: Sequence[Result]) -> list[str]:
    return [result.bundle_name for result in results]


def test_a_session_goes_to_the_phone_and_comes_back(device, work, simulated: SimulatedPhone) -> None:
    results = device().run_groups(work, session="first")
    assert names(results) == ["tiny0", "tiny1", "tiny2"]
    assert [result.errors for result in results] == [[], [], []]
    assert {len(result.frames) for result in results} == {4}
    # What may be asked for again stays, and is not sent again.
    left = {path.name for path in simulated.at(SHELL_FOLDER).rglob("*") if path.is_file()}
    assert "results.jsonl" not in left
    assert "model.bin" in left
    simulated.received.clear()
    device().run_groups(work, session="second")
    assert len(simulated.received) == 1  # the session


def measured(simulated: SimulatedPhone) -> list[str]:
    """What was measured on the phone, in order."""
    return simulated.at("/data/local/tmp/pocketgan/measured").read_text().split()


def during(simulated: SimulatedPhone, happens: Callable[[], None]) -> threading.Thread:
    """Something happens when the first result is on the phone and the second is not."""

    def watch() -> None:
        results, end = simulated.at(f"{SHELL_FOLDER}/results.jsonl"), time.monotonic() + 20
        while time.monotonic() < end:
            if results.exists() and b'"record": "result"' in results.read_bytes():
                happens()
                return
            time.sleep(0.01)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def cable_out_and_in(adb: Adb, simulated: SimulatedPhone) -> None:
    simulated.unplug()
    time.sleep(0.3)
    simulated.plug_in()
    adb.ask("disconnect", simulated.serial)  # else adb looks for it again after a second
    adb.connect(simulated.serial)


def server_killed(adb: Adb, simulated: SimulatedPhone) -> None:
    adb.ask("kill-server")


@pytest.mark.parametrize("happens", [cable_out_and_in, server_killed])
def test_a_session_outlives_its_cable_and_its_server(
    device, work, adb: Adb, simulated: SimulatedPhone, happens
) -> None:
    thread = during(simulated, lambda: happens(adb, simulated))
    results = device(pause_s=0.2).run_groups(work)
    thread.join()
    assert names(results) == ["tiny0", "tiny1", "tiny2"]
    assert [result.errors for result in results] == [[], [], []]
    assert measured(simulated) == ["tiny0", "tiny1", "tiny2"]


def test_after_a_restart_of_the_phone_only_what_was_under_way_is_measured_again(
    device, work, adb: Adb, simulated: SimulatedPhone
) -> None:
    def restart() -> None:
        simulated.reboot(down_s=0.1)
        adb.ask("disconnect", simulated.serial)
        adb.connect(simulated.serial)

    thread = during(simulated, restart)
    results = device(pause_s=0.3).run_groups(work)
    thread.join()
    assert names(results) == ["tiny0", "tiny1", "tiny2"]
    assert [result.errors for result in results] == [[], [], []]
    assert measured(simulated).count("tiny0") == 1


def test_a_session_that_the_host_left_is_gone_on_with(device, work, simulated: SimulatedPhone) -> None:
    def stop(result: Result) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        device(pause_s=0.2).run_groups(work, session="long", keep=stop)
    assert device().session_left([job for group in work for _, job in group]) == "long"
    results = device().run_groups(work, session="long")
    assert names(results) == ["tiny0", "tiny1", "tiny2"]
    assert sorted(measured(simulated)) == ["tiny0", "tiny1", "tiny2"]


def test_a_phone_that_stays_away_is_given_up(device, work, simulated: SimulatedPhone) -> None:
    simulated.unplug()
    with pytest.raises(DeviceError, match=r"device android:1 did not come back in 0.2 s: phone .* plug it in again"):
        device(reach_timeout_s=0.2).run_groups(work)


def test_a_full_phone_stops_the_session_with_one_line(device, work, simulated: SimulatedPhone) -> None:
    simulated.faults.free_bytes = 10
    with pytest.raises(DeviceError, match=r"it is full, push .* failed; free some space") as raised:
        device().run_groups(work)
    assert "\n" not in str(raised.value)
