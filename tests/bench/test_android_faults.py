"""What goes wrong with a phone, as users meet it: `pocketgan bench` through the real adb to a simulated phone whose
runner plays a script. Each fault: one line that says what to do, a results file that is gone on with, nothing lost,
nothing measured twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from adb_device import SimulatedPhone
from adb_server import until
from android_phones import ANDROID_13
from replaying_phone import (
    Script,
    allow,
    app_file,
    change_script,
    jobs_measured,
    measured,
    replaying_app,
    replaying_phone,
    runner_folder,
)

from pocketgan.bench.devices.adb import Adb
from pocketgan.bench.devices.android_device import AndroidDevice
from pocketgan.bench.devices.remote import RemoteDevice
from pocketgan.bench.journal import read_results
from pocketgan.bench.schema.result import Result

Bench = Callable[..., subprocess.CompletedProcess[str]]
QUICK = ("--iterations", "4", "--rounds", "2", "--runs", "1")


@pytest.fixture(scope="module")
def adb(newest_adb: Adb) -> Adb:
    """One is enough: what is particular to each is tested with questions."""
    return newest_adb


DEFAULTS: dict[str, Any] = RemoteDevice.__init__.__kwdefaults__ or {}
# Where it matters what measures on the phone.
BOTH_WAYS = pytest.mark.parametrize("via", ["app", "shell"])


@pytest.fixture
def via() -> str:
    return "shell"


@pytest.fixture
def phone(adb: Adb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedPhone]:
    """Connected, and looked at and given up soon."""
    monkeypatch.setattr("pocketgan.bench.devices.android_device.find_adb", lambda: adb)
    monkeypatch.setattr(AndroidDevice, "poll_s", 0.05)
    monkeypatch.setitem(DEFAULTS, "reach_timeout_s", 1.5)
    monkeypatch.setenv("POCKETGAN_RUNNER", str(runner_folder(tmp_path / "runner")))
    with replaying_phone(tmp_path / "phone") as simulated:
        replaying_app(simulated)
        adb.connect(simulated.serial)
        yield simulated
        adb.ask("disconnect", simulated.serial)


@pytest.fixture
def bundles(make_bundle: Callable[..., Path], names: Sequence[str]) -> list[Path]:
    """They do not take turns, so that they are answered one by one."""
    return [make_bundle(name, target=f"onnx-{name}") for name in names]


@pytest.fixture
def names() -> Sequence[str]:
    return "abc"


@pytest.fixture
def command(phone: SimulatedPhone, bundles: list[Path], via: str, tmp_path: Path) -> list[str]:
    device = ["--device", f"android:{phone.serial}", "--via", via]
    if via == "app":
        device += ["--apk", str(app_file(tmp_path / "app.apk"))]
    return ["bench", *map(str, bundles), *device, *QUICK, "--out", "r.jsonl"]


@pytest.fixture
def bench(pocketgan: Bench, command: list[str]) -> Bench:
    return lambda *options: pocketgan(*command, *options)


@pytest.fixture
def journal(tmp_path: Path) -> Callable[[], list[Result]]:
    path = tmp_path / "r.jsonl"
    return lambda: list(read_results([path]).results) if path.exists() else []


def errors(results: Sequence[Result]) -> dict[str, list[str]]:
    return {result.bundle_name: list(result.errors) for result in results}


def trouble(done: subprocess.CompletedProcess[str], code: int = 2) -> str:
    """The one line that a command ended with."""
    assert done.returncode == code, done.stdout + done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("pocketgan: ")]
    return line.removeprefix("pocketgan: ")


def meanwhile(*steps: Callable[[], object]) -> threading.Thread:
    """Do these things, one after the other."""

    def follow() -> None:
        for step in steps:
            step()

    thread = threading.Thread(target=follow)
    thread.start()
    return thread


def connect_again(adb: Adb, phone: SimulatedPhone) -> None:
    """adb itself looks for a phone on TCP after a second or more."""
    adb.ask("disconnect", phone.serial)
    adb.connect(phone.serial)


def back(adb: Adb, phone: SimulatedPhone) -> None:
    """The plug goes in again."""
    phone.plug_in()
    connect_again(adb, phone)


def is_unplugged(phone: SimulatedPhone) -> bool:
    return phone.faults.unplug is None


# The cable


@BOTH_WAYS
@pytest.mark.parametrize(("service", "after"), [("push", 400), ("shell", 5000)], ids=["push", "pull"])
def test_a_cable_that_comes_out_in_the_middle_of_a_copy_costs_nothing(
    bench, phone: SimulatedPhone, adb: Adb, journal, service: str, after: int
) -> None:
    """Results are read through the shell; nothing else that it says is as long."""
    phone.faults.unplug = (service, after)
    plug = meanwhile(lambda: until(lambda: is_unplugged(phone)), lambda: back(adb, phone))
    done = bench("--iterations", "100")
    plug.join()
    assert done.returncode == 0, done.stderr
    assert f"phone {phone.serial}: it " in done.stderr
    assert done.stderr.count("waiting for it") == 1
    assert errors(journal()) == {"a": [], "b": [], "c": []}
    assert measured(phone) == ["a", "b", "c"]
    assert len(set(phone.received)) == len(phone.received)


@pytest.mark.parametrize("service", ["push", "shell"], ids=["push", "pull"])
def test_a_cable_that_stays_out_ends_it_in_one_line_and_resume_goes_on(
    bench, phone: SimulatedPhone, adb: Adb, journal, service: str
) -> None:
    phone.faults.unplug = (service, 400 if service == "push" else 5000)
    told = trouble(bench("--iterations", "100"))
    assert told.startswith(f"device android:{phone.serial} did not come back in 1.5 s: phone {phone.serial}: it ")
    assert "plug it in again" in told
    back(adb, phone)
    done = bench("--iterations", "100", "--resume")
    assert done.returncode == 0, done.stderr
    assert errors(journal()) == {"a": [], "b": [], "c": []}
    assert measured(phone) == ["a", "b", "c"]


@BOTH_WAYS
def test_a_phone_that_was_lost_in_the_middle_of_a_run_measures_on_and_is_taken_up_again(
    bench, phone: SimulatedPhone, adb: Adb, journal
) -> None:
    allow(phone, 1)
    lost = meanwhile(lambda: until(lambda: measured(phone) == ["a"]), phone.unplug)
    assert "did not come back in 1.5 s" in trouble(bench())
    lost.join()
    allow(phone, 3)
    until(lambda: measured(phone) == ["a", "b", "c"])  # nobody looks, and it goes on
    back(adb, phone)
    done = bench("--resume")
    assert done.returncode == 0, done.stderr
    assert "lay on device" in done.stderr
    assert errors(journal()) == {"a": [], "b": [], "c": []}
    assert measured(phone) == ["a", "b", "c"]
    assert len({result.session for result in journal()}) == 1


@BOTH_WAYS
def test_a_killed_server_costs_nothing(bench, phone: SimulatedPhone, adb: Adb, journal) -> None:
    allow(phone, 1)
    kill = meanwhile(
        lambda: until(lambda: measured(phone) == ["a"]), lambda: adb.ask("kill-server"), lambda: allow(phone, 3)
    )
    done = bench()
    kill.join()
    assert done.returncode == 0, done.stderr
    assert errors(journal()) == {"a": [], "b": [], "c": []}
    assert measured(phone) == ["a", "b", "c"]


@BOTH_WAYS
def test_a_phone_that_restarts_measures_what_was_under_way_again_and_nothing_else(
    bench, phone: SimulatedPhone, adb: Adb, journal
) -> None:
    def restart() -> None:
        phone.reboot(down_s=0.1)
        connect_again(adb, phone)

    allow(phone, 1)
    thread = meanwhile(lambda: until(lambda: len(journal()) == 1), restart, lambda: allow(phone, 3))
    done = bench()
    thread.join()
    assert done.returncode == 0, done.stderr
    assert errors(journal()) == {"a": [], "b": [], "c": []}
    assert measured(phone) == ["a", "b", "c"]  # b was under way, and not done


# The phone


def test_an_offline_and_an_unauthorised_phone_say_what_to_do(bench, phone: SimulatedPhone, adb: Adb) -> None:
    phone.authorised = False
    adb.ask("disconnect", phone.serial)
    adb.ask("connect", phone.serial)
    until(lambda: [one.state for one in adb.phones()] == ["unauthorized"])
    assert "unlock it and accept its question about USB debugging" in trouble(bench())
    phone.authorised = True
    connect_again(adb, phone)
    phone.unplug()
    until(lambda: [one.state for one in adb.phones()] in (["offline"], []))
    told = trouble(bench())
    assert "plug it in again" in told or "is it awake" in told
    assert not jobs_measured(phone)


def test_a_full_phone_says_so_and_goes_on_when_there_is_room(bench, phone: SimulatedPhone, journal) -> None:
    phone.faults.free_bytes = 2000
    told = trouble(bench())
    assert told.startswith(f"phone {phone.serial}: it is full, push ")
    assert told.endswith("failed; free some space on it and run again")
    assert not jobs_measured(phone)
    phone.faults.free_bytes = None
    assert bench("--resume").returncode == 0
    assert measured(phone) == ["a", "b", "c"]
    assert errors(journal()) == {"a": [], "b": [], "c": []}


def test_a_phone_that_fills_up_while_it_measures_says_why_it_gave_up(bench, phone: SimulatedPhone, journal) -> None:
    change_script(phone, Script(ends_with="results.jsonl: results cannot be written: No space left on device"))
    told = trouble(bench())
    assert told == f"device android:{phone.serial} gave up: results.jsonl: results cannot be written: " + (
        "No space left on device"
    )
    assert errors(journal()) == {"a": [], "b": [], "c": []}  # what came before is kept


def test_a_slow_phone_is_waited_for(bench, phone: SimulatedPhone, journal) -> None:
    phone.faults.delay_s = 0.05
    done = bench()
    assert done.returncode == 0, done.stderr
    assert errors(journal()) == {"a": [], "b": [], "c": []}


@BOTH_WAYS
def test_a_runner_for_another_processor_is_not_started(
    pocketgan, command: list[str], phone: SimulatedPhone, adb: Adb, tmp_path: Path
) -> None:
    told = {**ANDROID_13, "getprop": ANDROID_13["getprop"].replace("arm64-v8a,armeabi-v7a,armeabi", "x86_64")}
    with replaying_phone(tmp_path / "other", told=told) as other:
        adb.connect(other.serial)
        done = pocketgan(*(word.replace(phone.serial, other.serial) for word in command))
        adb.ask("disconnect", other.serial)
    assert "was built for arm64-v8a: build it for the phone" in trouble(done)
    assert not other.received


# What measures on it, and what it says


@BOTH_WAYS
def test_a_runner_that_crashes_once_is_started_again_for_what_is_missing(bench, phone: SimulatedPhone, journal) -> None:
    change_script(phone, Script(faults={"b": "dies once"}))
    assert bench().returncode == 0
    assert errors(journal()) == {"a": [], "b": [], "c": []}
    assert measured(phone) == ["a", "b", "c"]


@BOTH_WAYS
def test_a_line_that_a_crash_truncated_is_measured_again_and_costs_nothing_else(
    bench, phone: SimulatedPhone, journal
) -> None:
    change_script(phone, Script(faults={"b": "half a line once"}))
    assert bench().returncode == 0
    assert errors(journal()) == {"a": [], "b": [], "c": []}
    assert measured(phone) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("via", "fault", "said"),
    [
        ("app", "dies", "device android:{serial} ended without a word while it measured this"),
        ("shell", "dies", "device android:{serial} ended without a word while it measured this"),
        ("app", "hangs", "device android:{serial} hung: nothing from it for 1.5 s while it measured this"),
        ("shell", "hangs", "device android:{serial} hung: nothing from it for 1.5 s while it measured this"),
        ("shell", "corrupt", "device android:{serial} gave no result of it; line 3 is no record"),
        ("shell", "too fast", "frame 1 took 1 ns, in which nothing reads and checks 3072 bytes of output"),
        ("shell", "clock jump", "3600 s lie before frame 3: it slept, or its clock jumped"),
        ("shell", "wrong output", "wrong output after its last frame: 4.0 dB from the golden output"),
    ],
    ids=lambda value: value if len(value) < 20 else "",
)
def test_what_one_model_breaks_is_an_error_of_it_alone_and_resume_tries_it_again(
    bench, phone: SimulatedPhone, journal, monkeypatch: pytest.MonkeyPatch, fault: str, said: str
) -> None:
    monkeypatch.setitem(DEFAULTS, "stall_timeout_s", 1.5 if fault == "hangs" else 30)
    change_script(phone, Script(faults={"b": fault}))
    done = bench()
    assert done.returncode == 1, done.stderr
    found = errors(journal())
    assert (found["a"], found["c"]) == ([], [])
    assert any(said.format(serial=phone.serial) in error for error in found["b"]), found["b"]
    assert said.format(serial=phone.serial) in done.stdout
    change_script(phone, Script())
    assert bench("--resume").returncode == 0
    assert journal()[-1].errors == []
    assert sorted(set(measured(phone))) == ["a", "b", "c"]
    assert (measured(phone).count("a"), measured(phone).count("c")) == (1, 1)


# The computer


def test_a_user_who_stops_it_stops_the_phone_and_goes_on_later(
    pocketgan, phone: SimulatedPhone, adb: Adb, environment: dict[str, str], command: list[str], journal, tmp_path: Path
) -> None:
    allow(phone, 1)
    words = [sys.executable, "-c", _AS_IN_THIS_PROCESS, str(adb.path), *command]
    with subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as host:
        until(lambda: len(journal()) == 1)
        time.sleep(0.2)  # it waits for the next by then
        host.send_signal(signal.SIGINT)
        told = host.communicate()[1]
    assert "r.jsonl holds the runs that were complete; --resume goes on from there" in told
    allow(phone, 3)
    time.sleep(0.3)
    assert measured(phone) == ["a"]  # nothing measures there any more
    assert pocketgan(*command, "--resume").returncode == 0
    assert measured(phone) == ["a", "b", "c"]
    assert errors(journal()) == {"a": [], "b": [], "c": []}


@pytest.mark.parametrize(("via", "names"), [("app", [f"m{number}" for number in range(20)])], ids=["app"])
def test_twenty_bundles_go_on_after_the_computer_was_cut_off_and_the_cable_came_out(
    pocketgan, phone: SimulatedPhone, adb: Adb, environment: dict[str, str], command, names, journal, tmp_path: Path
) -> None:
    """The host is killed as `kill -9` does it, in the middle of a session; the phone measures on, unseen, and is
    plugged out and in; the second session is cut by its cable."""
    allow(phone, 5)
    words = [sys.executable, "-c", _AS_IN_THIS_PROCESS, str(adb.path), *command]
    with subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as host:
        until(lambda: len(journal()) == 5)
        host.send_signal(signal.SIGKILL)
    allow(phone, 8)
    until(lambda: len(measured(phone)) == 8)
    phone.unplug()
    back(adb, phone)

    lost = meanwhile(
        lambda: until(lambda: len(journal()) == 8),  # it took over what came unseen
        lambda: allow(phone, 12),
        lambda: until(lambda: len(journal()) == 12),
        phone.unplug,
    )
    assert "did not come back in 1.5 s" in trouble(pocketgan(*command, "--resume"))
    lost.join()
    allow(phone, 20)
    back(adb, phone)
    done = pocketgan(*command, "--resume")
    assert done.returncode == 0, done.stderr
    assert sorted(measured(phone)) == sorted(names)
    assert errors(journal()) == {name: [] for name in names}
    assert (len(journal()), len({result.session for result in journal()})) == (20, 1)


# The adb of this test, and looked at as often as in this process.
# Ctrl-C works whoever started the tests: a shell's background jobs ignore it, and so does what they start.
_AS_IN_THIS_PROCESS = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
from pocketgan.bench.devices import adb, android_device
found = adb.Adb(Path(sys.argv.pop(1)))
android_device.find_adb = lambda: found
android_device.AndroidDevice.poll_s = 0.05
from pocketgan.cli import main
main()
"""
