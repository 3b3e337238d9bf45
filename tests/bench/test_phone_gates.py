"""A held clock is always given back, and energy is the battery's alone: through the real adb, on a simulated phone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from adb_device import SimulatedPhone
from android_phones import ANDROID_8, ANDROID_13, ANDROID_15

from pocketgan.bench.devices.adb import Adb
from pocketgan.bench.devices.fixed_performance import MARK, FixedPerformance
from pocketgan.bench.devices.phone import Phone
from pocketgan.bench.devices.phone_facts import read_state
from pocketgan.bench.devices.unplugged import look_for_charger, must_be_unplugged
from pocketgan.bench.schema.result import ChargerCheck
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
