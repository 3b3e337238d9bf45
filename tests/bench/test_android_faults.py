"""What goes wrong with a phone, as users meet it: `pocketgan bench` through the real adb to a simulated phone whose
runner plays a script. Each fault: one line that says what to do, a results file that is gone on with, nothing lost,
nothing measured twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from adb_device import SimulatedPhone
from adb_server import until
from android_phones import ANDROID_13
from replaying_phone import Script, change_script, jobs_measured, measured, replaying_phone, runner_folder

from pocketgan.bench.devices.adb import Adb
from pocketgan.bench.devices.android import SHELL_FOLDER
from pocketgan.bench.devices.android_device import AndroidDevice
from pocketgan.bench.devices.remote import RemoteDevice
from pocketgan.bench.journal import read_results
from pocketgan.bench.schema.result import Result

Bench = Callable[..., subprocess.CompletedProcess[str]]
QUICK = ("--via", "shell", "--iterations", "4", "--rounds", "2", "--runs", "1")


@pytest.fixture(scope="module")
def adb(newest_adb: Adb) -> Adb:
    """One is enough: what is particular to each is tested with questions."""
    return newest_adb


@pytest.fixture
def phone(adb: Adb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedPhone]:
    """Connected, and looked at and given up soon."""
    monkeypatch.setattr("pocketgan.bench.devices.android_device.find_adb", lambda: adb)
    monkeypatch.setattr(AndroidDevice, "poll_s", 0.05)
    monkeypatch.setitem(RemoteDevice.__init__.__kwdefaults__, "reach_timeout_s", 1.5)
    monkeypatch.setitem(RemoteDevice.__init__.__kwdefaults__, "stall_timeout_s", 0.5)
    monkeypatch.setenv("POCKETGAN_RUNNER", str(runner_folder(tmp_path / "runner")))
    with replaying_phone(tmp_path / "phone") as simulated:
        adb.connect(simulated.serial)
        yield simulated
        adb.ask("disconnect", simulated.serial)


@pytest.fixture
def bundles(make_bundle: Callable[..., Path]) -> list[Path]:
    """Three that do not take turns, so that they are answered one by one: a, b, c."""
    return [make_bundle(name, target=f"onnx-{name}") for name in "abc"]


@pytest.fixture
def bench(pocketgan: Bench, phone: SimulatedPhone, bundles: list[Path]) -> Bench:
    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return pocketgan("bench", *bundles, "--device", f"android:{phone.serial}", *QUICK, "--out", "r.jsonl", *options)

    return run


@pytest.fixture
def journal(tmp_path: Path) -> Callable[[], list[Result]]:
    return lambda: list(read_results([tmp_path / "r.jsonl"]).results)


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


def sizes(phone: SimulatedPhone) -> int:
    results = phone.at(f"{SHELL_FOLDER}/results.jsonl")
    return results.stat().st_size if results.exists() else 0


def is_unplugged(phone: SimulatedPhone) -> bool:
    return phone.faults.unplug is None


# The cable


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


def test_a_phone_that_was_lost_in_the_middle_of_a_run_measures_on_and_is_taken_up_again(
    bench, phone: SimulatedPhone, adb: Adb, journal
) -> None:
    change_script(phone, Script(pause_s=0.5))
    lost = meanwhile(lambda: until(lambda: measured(phone) == ["a"]), phone.unplug)
    assert "did not come back in 1.5 s" in trouble(bench())
    lost.join()
    until(lambda: measured(phone) == ["a", "b", "c"])  # nobody looks, and it goes on
    back(adb, phone)
    done = bench("--resume")
    assert done.returncode == 0, done.stderr
    assert "lay on device" in done.stderr
    assert errors(journal()) == {"a": [], "b": [], "c": []}
    assert measured(phone) == ["a", "b", "c"]
    assert len({result.session for result in journal()}) == 1


def test_a_killed_server_costs_nothing(bench, phone: SimulatedPhone, adb: Adb, journal) -> None:
    change_script(phone, Script(pause_s=0.2))
    kill = meanwhile(lambda: until(lambda: measured(phone) == ["a"]), lambda: adb.ask("kill-server"))
    done = bench()
    kill.join()
    assert done.returncode == 0, done.stderr
    assert errors(journal()) == {"a": [], "b": [], "c": []}
    assert measured(phone) == ["a", "b", "c"]


def test_a_phone_that_restarts_measures_what_was_under_way_again_and_nothing_else(
    bench, phone: SimulatedPhone, adb: Adb, journal
) -> None:
    def restart() -> None:
        phone.reboot(down_s=0.1)
        connect_again(adb, phone)

    change_script(phone, Script(pause_s=0.3))
    thread = meanwhile(lambda: until(lambda: measured(phone) == ["a"] and sizes(phone) > 0), restart)
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


def test_a_runner_for_another_processor_is_not_started(
    pocketgan, phone: SimulatedPhone, bundles, adb: Adb, tmp_path: Path
) -> None:
    told = {**ANDROID_13, "getprop": ANDROID_13["getprop"].replace("arm64-v8a,armeabi-v7a,armeabi", "x86_64")}
    with replaying_phone(tmp_path / "other", told=told) as other:
        adb.connect(other.serial)
        done = pocketgan("bench", *bundles, "--device", f"android:{other.serial}", *QUICK)
        adb.ask("disconnect", other.serial)
    assert trouble(done).endswith("was built for arm64-v8a: build it for the phone")
    assert not other.received


# What measures on it, and what it says


def test_a_runner_that_crashes_once_is_started_again_for_what_is_missing(bench, phone: SimulatedPhone, journal) -> None:
    change_script(phone, Script(faults={"b": "dies once"}))
    assert bench().returncode == 0
    assert errors(journal()) == {"a": [], "b": [], "c": []}
    assert measured(phone) == ["a", "b", "c"]


def test_a_line_that_a_crash_truncated_is_measured_again_and_costs_nothing_else(
    bench, phone: SimulatedPhone, journal
) -> None:
    change_script(phone, Script(faults={"b": "half a line once"}))
    assert bench().returncode == 0
    assert errors(journal()) == {"a": [], "b": [], "c": []}
    assert measured(phone) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("dies", "device android:{serial} ended without a word while it measured this"),
        ("hangs", "device android:{serial} hung: nothing from it for 0.5 s while it measured this"),
        ("corrupt", "device android:{serial} gave no result of it; line 3 is no record"),
        ("too fast", "frame 1 took 1 ns, in which nothing reads and checks 3072 bytes of output"),
        ("clock jump", "3600 s lie before frame 3: it slept, or its clock jumped"),
        ("wrong output", "wrong output after its last frame: 4.0 dB from the golden output"),
    ],
    ids=lambda value: value if len(value) < 20 else "",
)
def test_what_one_model_breaks_is_an_error_of_it_alone_and_resume_tries_it_again(
    bench, phone: SimulatedPhone, journal, fault: str, said: str
) -> None:
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


def test_twenty_bundles_go_on_after_the_computer_was_cut_off_and_the_cable_came_out(
    pocketgan, phone: SimulatedPhone, adb: Adb, make_bundle, environment: dict[str, str], journal, tmp_path: Path
) -> None:
    """The host is killed as `kill -9` does it, in the middle of a session; the phone measures on, unseen, and is
    plugged out and in; the second session is cut by its cable."""
    bundles = [make_bundle(f"m{number}", target=f"onnx-{number}") for number in range(20)]
    command = ["bench", *map(str, bundles), "--device", f"android:{phone.serial}", *QUICK, "--out", "r.jsonl"]
    change_script(phone, Script(pause_s=0.15))
    host = subprocess.Popen(
        [sys.executable, "-c", _AS_IN_THIS_PROCESS, str(adb.path), *command],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: (tmp_path / "r.jsonl").exists() and len(journal()) >= 3)
    host.send_signal(signal.SIGKILL)
    host.wait()
    came = len(journal())
    until(lambda: len(measured(phone)) >= came + 3)
    phone.unplug()
    back(adb, phone)
    lost = meanwhile(lambda: until(lambda: len(measured(phone)) >= came + 9), phone.unplug)
    assert "did not come back in 1.5 s" in trouble(pocketgan(*command, "--resume"))
    lost.join()
    assert came + 3 <= len(journal()) < 20
    back(adb, phone)
    done = pocketgan(*command, "--resume")
    assert done.returncode == 0, done.stderr
    assert sorted(measured(phone)) == sorted(f"m{number}" for number in range(20))
    assert errors(journal()) == {f"m{number}": [] for number in range(20)}
    assert (len(journal()), len({result.session for result in journal()})) == (20, 1)


# The adb of this test, looked at as often as in this process.
_AS_IN_THIS_PROCESS = """
import sys
from pathlib import Path
from pocketgan.bench.devices import android_device, adb
found = adb.Adb(Path(sys.argv.pop(1)))
android_device.find_adb = lambda: found
android_device.AndroidDevice.poll_s = 0.05
from pocketgan.cli import main
main()
"""
