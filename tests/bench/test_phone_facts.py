"""What a phone is and its state, of what Android 8, 10, 13 and 15 say; expected values are read off the dumps."""

from __future__ import annotations

from pathlib import Path

import pytest
from adb_device import SimulatedPhone
from android_phones import ANDROID_8, ANDROID_10, ANDROID_13, ANDROID_15, SILENT

from pocketgan.bench.devices import phone_dumps
from pocketgan.bench.devices.adb import Adb
from pocketgan.bench.devices.phone import Phone
from pocketgan.bench.devices.phone_dumps import Battery
from pocketgan.bench.devices.phone_facts import PhoneFacts, PhoneState, read_both, read_facts, read_state
from pocketgan.bench.schema.result import Conditions, DeviceInfo


def asked(adb: Adb, folder: Path, told: dict[str, str]) -> tuple[PhoneFacts, PhoneState]:
    with SimulatedPhone(folder / "phone", told) as simulated:
        adb.connect(simulated.serial)
        phone = Phone(adb, simulated.serial)
        both = read_both(phone)
        assert both == (read_facts(phone), read_state(phone))
        assert both[0].info.name == f"android:{simulated.serial}"
        adb.ask("disconnect", simulated.serial)
    return both


def test_a_pixel_with_android_13(adb: Adb, tmp_path: Path) -> None:
    facts, state = asked(adb, tmp_path, ANDROID_13)
    assert facts.info == DeviceInfo(
        name=facts.info.name,
        model="Google Pixel 7",
        kind="android",
        os="Android 13",
        os_build="google/panther/panther:13/TQ3A.230805.001/10316531:user/release-keys",
        cpu="Google GS201",
        cores=8,
        memory_bytes=7850388 * 1024,
        simulated=True,
    )
    assert (facts.android, facts.sdk, facts.abis) == ("13", 33, ("arm64-v8a", "armeabi-v7a", "armeabi"))
    assert state.conditions == Conditions(
        at_ns=86_400_000_000_000,
        thermal_state="nominal",
        temperature_c=28.9,  # of the skin now, not the 99 degrees that were kept
        frequency_mhz=2850,
        battery_percent=81,
        charging=True,
        power_save=False,
        screen_on=True,
    )
    assert state.battery.voltage_v == 4.201
    assert state.thermal.temperatures == {"BIG": 38.1, "G3D": 36.4, "battery": 26.8, "VIRTUAL-SKIN": 28.9, "TPU": 35.0}
    assert state.warnings == []


def test_android_8_has_no_thermal_status(adb: Adb, tmp_path: Path) -> None:
    facts, state = asked(adb, tmp_path, ANDROID_8)
    assert (facts.info.model, facts.info.cpu, facts.info.cores) == ("ONEPLUS A5000", "msm8998", 8)
    assert state.conditions == Conditions(
        at_ns=350_735_470_000_000,
        temperature_c=30.1,  # the battery's, where no skin is told
        frequency_mhz=2457.6,
        battery_percent=100,
        charging=True,  # full, and on its charger
        power_save=False,
        screen_on=False,
    )


def test_a_warm_galaxy_with_android_10_says_what_to_do(adb: Adb, tmp_path: Path) -> None:
    facts, state = asked(adb, tmp_path, ANDROID_10)
    assert (facts.info.model, facts.info.cpu, facts.info.cores) == ("samsung SM-G973F", "exynos9820", 8)
    assert state.conditions.thermal_state == "fair"  # THERMAL_STATUS_MODERATE
    assert state.conditions.temperature_c == 41.2
    assert (state.conditions.battery_percent, state.conditions.charging) == (45, False)
    assert state.battery == Battery(percent=45, charging=False, temperature_c=34.7, voltage_v=3.832)
    assert "NaN" not in str(state.thermal.temperatures)
    assert [warning.split(":")[0] for warning in state.warnings] == ["its battery saver is on", "it is warm (fair)"]


def test_what_a_phone_was_told_to_say_is_not_believed(adb: Adb, tmp_path: Path) -> None:
    facts, state = asked(adb, tmp_path, ANDROID_15)
    assert (facts.info.os, facts.info.cpu, facts.abis) == ("Android 15", "QTI SM8550", ("arm64-v8a",))
    assert state.conditions == Conditions(at_ns=10_250_000_000, power_save=False, screen_on=False)
    assert (state.battery.forged, state.thermal.forged) == (True, True)
    assert state.battery.voltage_v == 3.981
    assert ["simulated" in warning for warning in state.warnings] == [True, True, False]
    assert state.warnings[2].startswith("its screen is off: wake it")


def test_a_phone_that_tells_nothing_is_still_a_phone(adb: Adb, tmp_path: Path) -> None:
    facts, state = asked(adb, tmp_path, {**SILENT, "/proc/uptime": "", "/proc/meminfo": ""})
    assert (facts.info.model, facts.info.os, facts.info.cpu, facts.sdk, facts.abis) == (
        "unknown",
        "Android",
        "unknown",
        0,
        (),
    )
    assert state.conditions == Conditions(at_ns=0, power_save=False)  # a setting that was never set is off
    assert state.warnings == []


def test_the_seven_states_of_android_are_four_here() -> None:
    states = [phone_dumps.thermal(f"Thermal Status: {status}").state for status in range(8)]
    assert states == ["nominal", "fair", "fair", "serious", "critical", "critical", "critical", "critical"]
    assert phone_dumps.thermal("").state is None


@pytest.mark.parametrize(
    ("told", "expected"), [("0-7\n", 8), ("0\n", 1), ("0-3,6-7\n", 6), ("", None), ("cat: no such file", None)]
)
def test_cores_are_counted_in_ranges(told: str, expected: int | None) -> None:
    assert phone_dumps.cores(told) == expected


@pytest.mark.parametrize(("told", "expected"), [("4201", 4.201), ("4201000", 4.201), ("4", None), ("-1", None)])
def test_voltage_is_in_the_unit_of_the_phone(told: str, expected: float | None) -> None:
    assert phone_dumps.battery(f"  voltage: {told}\n").voltage_v == expected


def test_a_property_may_have_several_lines() -> None:
    told = "[a]: [1]\n[note]: [first line\nsecond line]\n[b]: [x [y]: z]\n[empty]: []\n"
    assert phone_dumps.properties(told) == {"a": "1", "note": "first line\nsecond line", "b": "x [y]: z", "empty": ""}
