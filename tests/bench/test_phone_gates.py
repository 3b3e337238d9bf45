"""A held clock is always given back, and energy is the battery's alone: through the real adb, on a simulated phone."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from adb_device import SimulatedPhone
from android_phones import ANDROID_8, ANDROID_13, ANDROID_15
from simulated_app import make_apk

from pocketgan.bench.devices import phone_app
from pocketgan.bench.devices.adb import Adb
from pocketgan.bench.devices.android import SHELL_FOLDER
from pocketgan.bench.devices.android_device import AndroidDevice
from pocketgan.bench.devices.fixed_performance import MARK, FixedPerformance
from pocketgan.bench.devices.phone import Phone
from pocketgan.bench.devices.phone_facts import read_state
from pocketgan.bench.devices.shell_process import ShellProcess
from pocketgan.bench.devices.unplugged import look_for_charger, must_be_unplugged
from pocketgan.bench.schema.job import Job
from pocketgan.bench.schema.result import ChargerCheck, Result
from pocketgan.bundle.manifest import Entry
from pocketgan.bundle.reader import open_bundle
from pocketgan.errors import DeviceError

ON_BATTERY = {
    **ANDROID_13,
    "dumpsys/battery": ANDROID_13["dumpsys/battery"].replace("USB powered: true", "USB powered: false"),
}


@pytest.fixture(scope="module")
def adb(newest_adb: Adb) -> Adb:
    """One is enough: what is particular to each is tested with questions."""
    return newest_adb


@pytest.fixture
def plugged_in(adb: Adb, tmp_path: Path):
    """A phone that says so."""
    phones: list[SimulatedPhone] = []

    def make(told: dict[str, str]) -> SimulatedPhone:
        phone = SimulatedPhone(tmp_path / f"phone{len(phones)}", told).__enter__()
        phones.append(phone)
        adb.connect(phone.serial)
        return phone

    yield make
    for phone in phones:
        phone.__exit__()
        adb.ask("disconnect", phone.serial)


def mode(phone: SimulatedPhone) -> str:
    """Of fixed performance, as the phone has it."""
    return phone.at("/state/fixed-performance").read_text().strip()


def test_a_clock_is_held_noted_and_given_back(adb: Adb, plugged_in: Callable[..., SimulatedPhone], capsys: Any) -> None:
    simulated = plugged_in(ANDROID_13)
    phone = Phone(adb, simulated.serial)
    clock = FixedPerformance(phone, 33)
    assert clock.take_back() is False
    clock.hold()
    clock.hold()
    assert (mode(simulated), simulated.at(MARK).exists()) == ("true", True)
    assert "its clock is held" in read_state(phone).warnings[-1]
    # Whoever comes after a host that was killed.
    FixedPerformance(phone, 33).take_back_what_was_left()
    assert "a session that was cut off had left its clock held; it is free now" in " ".join(
        capsys.readouterr().err.split()
    )
    assert (mode(simulated), simulated.at(MARK).exists()) == ("false", False)
    FixedPerformance(phone, 33).take_back_what_was_left()
    assert capsys.readouterr().err == ""
    assert simulated.calls("cmd").count("power set-fixed-performance-mode-enabled false") == 1


def test_a_phone_without_the_mode_says_so_and_keeps_no_note(
    adb: Adb, plugged_in: Callable[..., SimulatedPhone]
) -> None:
    simulated = plugged_in(ANDROID_15)
    with pytest.raises(
        DeviceError,
        match=r"has no fixed-performance mode, by which its clock could be held "
        r"\(Failed to set FIXED_PERFORMANCE mode\); measure with --clock free",
    ):
        FixedPerformance(Phone(adb, simulated.serial), 35).hold()
    assert not simulated.at(MARK).exists()


def test_an_android_before_11_is_not_even_asked(adb: Adb, plugged_in: Callable[..., SimulatedPhone]) -> None:
    simulated = plugged_in(ANDROID_8)
    with pytest.raises(DeviceError, match="--clock pinned needs Android 11 or newer; measure with --clock free"):
        FixedPerformance(Phone(adb, simulated.serial), 27).must_be_there()
    assert simulated.calls("cmd") == []


def test_a_phone_that_is_gone_is_told_of_and_found_by_the_next_session(
    adb: Adb, plugged_in: Callable[..., SimulatedPhone], capsys: Any
) -> None:
    simulated = plugged_in(ANDROID_13)
    clock = FixedPerformance(Phone(adb, simulated.serial), 33)
    clock.hold()
    simulated.unplug()
    clock.take_back_at_last()
    assert "its clock stays held until the next session takes it back" in " ".join(capsys.readouterr().err.split())
    assert mode(simulated) == "true"


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        (ON_BATTERY, {"usb": False, "charger": False, "simulated": False}),
        (ANDROID_13, {"usb": False, "charger": True, "simulated": False}),
        (ANDROID_15, {"usb": False, "charger": False, "simulated": True}),
        (
            {**ANDROID_13, "dumpsys/battery": "Current Battery Service state:\n"},
            {"usb": False, "charger": None, "simulated": False},
        ),
    ],
)
def test_what_the_host_sees_of_a_charger(
    adb: Adb, plugged_in: Callable[..., SimulatedPhone], told: dict[str, str], seen: dict[str, Any]
) -> None:
    found = look_for_charger(Phone(adb, plugged_in(told).serial))
    assert found.model_dump(exclude={"at"}) == seen


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"usb": True}, r"is on USB, which charges it: reach it over Wi-Fi \(pocketgan devices --connect HOST:PORT\)"),
        ({"charger": True}, "has a charger on it: unplug it"),
        ({"simulated": True}, "says .*: adb shell dumpsys battery reset, and really unplug it"),
        ({"charger": None}, "does not tell whether a charger is on it: .*; leave out --energy"),
    ],
)
def test_energy_is_refused_where_something_charges_the_phone(changes: dict[str, Any], says: str) -> None:
    alone = ChargerCheck(at="2026-11-26T05:30:00+00:00", usb=False, charger=False, simulated=False)
    must_be_unplugged("R5CT10", alone)
    with pytest.raises(DeviceError, match=f"^phone R5CT10 {says}"):
        must_be_unplugged("R5CT10", alone.model_copy(update=changes))


@pytest.mark.parametrize(
    ("serial", "usb"),
    [
        ("0A051FDD4003EX", True),
        ("192.168.1.20:5555", False),
        ("[fe80::1]:41234", False),
        ("adb-0A051FDD4003EX-vWgJpq._adb-tls-connect._tcp", False),
        ("adb-0A051FDD4003EX-vWgJpq._adb-tls-connect._tcp.", False),
    ],
)
def test_usb_is_told_from_wifi_by_the_serial(serial: str, usb: bool) -> None:
    class Silent:
        def __init__(self) -> None:
            self.serial = serial

        def shell(self, *words: str) -> Any:
            return type("Answer", (), {"text": ""})

    found: Any = Silent()
    assert look_for_charger(found).usb is usb


SCRIPTED_RUNNER = Path(__file__).parents[1] / "support" / "scripted_runner.py"
ENERGY = {"mode": "sustained", "iterations": None, "duration_s": 0.5, "rounds": 1, "energy": True}


class ScriptedPhone(AndroidDevice):
    """A phone behind adb, on which a program plays from a script what the app would measure."""

    via = "app"
    poll_s = 0.05

    def __init__(self, phone: Phone, pause_s: float, **options: Any) -> None:
        words = [sys.executable, str(SCRIPTED_RUNNER)]
        super().__init__(phone, ShellProcess(lambda folder: [*words, folder, str(pause_s)]), SHELL_FOLDER, **options)

    @property
    def runtimes(self) -> Sequence[str]:
        return ("onnxruntime",)

    def runs(self, entry: Entry) -> bool:
        return True

    def _prepare(self, jobs: Sequence[Job]) -> None:
        """Nothing is to be brought."""


@pytest.fixture
def measured(adb: Adb, make_bundle: Callable[..., Path], tmp_path: Path) -> Callable[..., list[Result]]:
    """Two jobs, carried out one after the other."""
    bundles = [open_bundle(make_bundle(name, layers=layers)) for layers, name in ((1, "first"), (2, "second"))]

    def carry_out(simulated: SimulatedPhone, pause_s: float = 0.01, tick: Any = None, **changes: Any) -> list[Result]:
        usual = {"entry": "onnx-fp32", "via": "app", "iterations": 4, "rounds": 2}
        work = [[(one, Job(bundle=one.digest, **{**usual, **changes}))] for one in bundles]
        device = ScriptedPhone(Phone(adb, simulated.serial), pause_s, lock_folder=tmp_path)
        return device.run_groups(work, session="s", tick=tick)

    return carry_out


def asked(simulated: SimulatedPhone) -> list[str]:
    """What was asked of fixed performance, in order."""
    words = "power set-fixed-performance-mode-enabled "
    return [call.removeprefix(words) for call in simulated.calls("cmd") if call.startswith(words)]


def during(simulated: SimulatedPhone, happens: Callable[[], object]) -> threading.Thread:
    """Something happens when the first result is on the phone."""

    def watch() -> None:
        results, end = simulated.at(f"{SHELL_FOLDER}/results.jsonl"), time.monotonic() + 20
        while time.monotonic() < end and not (results.exists() and '"record": "result"' in results.read_text()):
            time.sleep(0.01)
        happens()

    watcher = threading.Thread(target=watch)
    watcher.start()
    return watcher


def test_a_session_holds_the_clock_and_gives_it_back(
    plugged_in: Callable[..., SimulatedPhone], measured: Callable[..., list[Result]]
) -> None:
    simulated, modes = plugged_in(ON_BATTERY), []
    results = measured(simulated, clock="pinned", tick=lambda count, detail: modes.append(mode(simulated)))
    assert [result.errors for result in results] == [[], []]
    assert {result.clock.regime for result in results if result.clock is not None} == {"pinned"}
    assert set(modes) == {"true"}
    assert (asked(simulated), mode(simulated), simulated.at(MARK).exists()) == (["true", "false"], "false", False)


def test_the_clock_is_given_back_where_a_session_is_broken_off(
    plugged_in: Callable[..., SimulatedPhone], measured: Callable[..., list[Result]]
) -> None:
    def break_off(count: int, detail: str) -> None:
        raise KeyboardInterrupt

    simulated = plugged_in(ON_BATTERY)
    with pytest.raises(KeyboardInterrupt):
        measured(simulated, clock="pinned", tick=break_off)
    assert (asked(simulated), mode(simulated)) == (["true", "false"], "false")


def test_the_session_after_a_killed_host_finds_the_clock_held(
    adb: Adb, plugged_in: Callable[..., SimulatedPhone], measured: Callable[..., list[Result]], capsys: Any
) -> None:
    simulated = plugged_in(ON_BATTERY)
    FixedPerformance(Phone(adb, simulated.serial), 33).hold()  # and its host is no more
    modes: list[str] = []
    measured(simulated, tick=lambda count, detail: modes.append(mode(simulated)))
    assert set(modes) == {"false"}
    assert "a session that was cut off had left its clock held" in " ".join(capsys.readouterr().err.split())


def test_a_clock_that_was_left_held_is_never_free_where_a_session_is_taken_over(
    adb: Adb, plugged_in: Callable[..., SimulatedPhone], measured: Callable[..., list[Result]]
) -> None:
    simulated = plugged_in(ON_BATTERY)
    FixedPerformance(Phone(adb, simulated.serial), 33).hold()  # and its session may still measure
    measured(simulated, clock="pinned")
    assert (asked(simulated), mode(simulated)) == (["true", "true", "false"], "false")


def test_a_clock_that_was_left_held_is_given_back_where_nothing_is_measured(
    adb: Adb, plugged_in: Callable[..., SimulatedPhone], measured: Callable[..., list[Result]]
) -> None:
    simulated = plugged_in(ANDROID_13)
    FixedPerformance(Phone(adb, simulated.serial), 33).hold()
    with pytest.raises(DeviceError, match="has a charger on it"):
        measured(simulated, clock="pinned", **ENERGY)
    assert (mode(simulated), simulated.at(MARK).exists()) == ("false", False)


def test_a_restart_of_the_phone_gives_the_clock_back_and_it_is_held_again(
    plugged_in: Callable[..., SimulatedPhone], measured: Callable[..., list[Result]]
) -> None:
    simulated = plugged_in(ON_BATTERY)

    def restart() -> None:
        simulated.at("/state/fixed-performance").write_text("false\n")
        simulated.reboot()

    watcher = during(simulated, restart)
    results = measured(simulated, pause_s=0.3, clock="pinned")
    watcher.join()
    assert [result.errors for result in results] == [[], []]
    assert (asked(simulated), mode(simulated)) == (["true", "true", "false"], "false")


def test_a_phone_that_cannot_hold_its_clock_measures_nothing(
    plugged_in: Callable[..., SimulatedPhone], measured: Callable[..., list[Result]]
) -> None:
    simulated = plugged_in({name: text for name, text in ON_BATTERY.items() if name != "fixed-performance"})
    with pytest.raises(DeviceError, match="has no fixed-performance mode"):
        measured(simulated, clock="pinned")
    assert not simulated.at(f"{SHELL_FOLDER}/results.jsonl").exists()


def test_energy_comes_with_what_the_host_saw_before_and_after(
    plugged_in: Callable[..., SimulatedPhone], measured: Callable[..., list[Result]]
) -> None:
    results = measured(plugged_in(ON_BATTERY), **ENERGY)
    for result in results:
        assert result.errors == []
        assert len(result.frames) == 50
        seen = [(check.usb, check.charger, check.simulated) for check in result.charger_checks]
        assert seen == [(False, False, False)] * 2
    assert measured(plugged_in(ON_BATTERY))[0].charger_checks == []


def test_energy_of_a_charging_phone_is_refused_before_anything_is_sent(
    plugged_in: Callable[..., SimulatedPhone], measured: Callable[..., list[Result]]
) -> None:
    simulated = plugged_in(ANDROID_13)
    with pytest.raises(DeviceError, match="has a charger on it: unplug it"):
        measured(simulated, **ENERGY)
    assert simulated.received == []


def test_a_charger_that_comes_while_it_measures_is_an_error_of_what_was_measured(
    plugged_in: Callable[..., SimulatedPhone], measured: Callable[..., list[Result]]
) -> None:
    simulated = plugged_in(ON_BATTERY)
    charging = ANDROID_13["dumpsys/battery"]
    watcher = during(simulated, lambda: simulated.at("/state/dumpsys/battery").write_text(charging))
    result = measured(simulated, pause_s=0.3, **ENERGY)[1]
    watcher.join()
    assert (result.errors, result.frames) == (["a charger was on it: unplug it and measure again, over Wi-Fi"], [])
    assert [check.charger for check in result.charger_checks] == [False, True]


def test_on_the_command_line_it_is_one_line_that_says_what_to_do(
    pocketgan: Callable[..., Any],
    adb: Adb,
    make_bundle: Callable[..., Path],
    plugged_in: Callable[..., SimulatedPhone],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pocketgan.bench.devices.android_device.find_adb", lambda: adb)
    app = make_apk(tmp_path / "app.apk", libraries=["lib/arm64-v8a/libonnxruntime.so"])
    monkeypatch.setattr(phone_app, "_places", lambda: [app])
    simulated = plugged_in(ANDROID_13)
    usual = ("bench", make_bundle(), "--device", f"android:{simulated.serial}", "--mode", "sustained", "--energy")
    done = pocketgan(*usual)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"phone {simulated.serial} has a charger on it: unplug it" in " ".join(done.stderr.split())
    # The app is not even installed.
    assert not simulated.at("/state/installed.apk").exists()
    shell = pocketgan(*usual, "--via", "shell")
    assert shell.returncode == 2
