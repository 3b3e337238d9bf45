"""`pocketgan devices`: every phone that adb sees, through the real adb."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from adb_device import SimulatedPhone
from adb_server import until
from android_phones import ANDROID_10, ANDROID_13, SILENT

from pocketgan.bench.devices.adb import Adb

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def use(adb: Adb, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command finds the adb of the test."""
    monkeypatch.setattr("pocketgan.bench.devices.adb.find_adb", lambda: adb)


@pytest.mark.usefixtures("use")
def test_phones_are_listed_with_what_they_are_and_what_is_wrong(pocketgan: Command, adb: Adb, tmp_path: Path) -> None:
    with ExitStack() as stack:
        pixel, galaxy, strange, gone = [
            stack.enter_context(SimulatedPhone(tmp_path / f"phone{index}", told, authorised=authorised))
            for index, (told, authorised) in enumerate(
                [(ANDROID_13, True), (ANDROID_10, True), (SILENT, False), (SILENT, True)]
            )
        ]
        for phone in (pixel, galaxy, gone):
            adb.connect(phone.serial)
        adb.ask("connect", strange.serial)
        gone.unplug()
        until(lambda: any((one.serial, one.state) == (gone.serial, "offline") for one in adb.phones()))
        done = pocketgan("devices", "--json")
        page = pocketgan("devices")
        for phone in (pixel, galaxy, strange, gone):
            adb.ask("disconnect", phone.serial)
    assert (done.returncode, page.returncode) == (0, 0)
    payload = json.loads(done.stdout)
    assert [device["name"] for device in payload["devices"]] == ["local"]
    assert payload["adb"] == {"path": str(adb.path), "version": adb.version}
    phones = {phone["serial"]: phone for phone in payload["phones"]}
    assert phones[pixel.serial] | {"temperatures_c": {}} == {
        "name": f"android:{pixel.serial}",
        "serial": pixel.serial,
        "adb_state": "device",
        "problem": None,
        "warnings": [],
        "model": "Google Pixel 7",
        "kind": "android",
        "os": "Android 13",
        "os_build": "google/panther/panther:13/TQ3A.230805.001/10316531:user/release-keys",
        "cpu": "Google GS201",
        "cores": 8,
        "memory_bytes": 7850388 * 1024,
        "simulated": True,
        "android": "13",
        "sdk": 33,
        "abis": ["arm64-v8a", "armeabi-v7a", "armeabi"],
        "thermal_state": "nominal",
        "temperature_c": 28.9,
        "frequency_mhz": 2850.0,
        "battery_percent": 81.0,
        "charging": True,
        "power_save": False,
        "screen_on": True,
        "temperatures_c": {},
        "battery_temperature_c": 26.8,
        "battery_voltage_v": 4.201,
    }
    assert "battery saver is on" in phones[galaxy.serial]["warnings"][0]
    assert "accept its question about USB debugging" in phones[strange.serial]["problem"]
    assert phones[gone.serial]["adb_state"] == "offline"
    assert "plug it in again" in phones[gone.serial]["problem"]

    line = next(line for line in page.stdout.splitlines() if line.startswith(f"android:{pixel.serial} "))
    assert re.split("  +", line)[1:] == [
        "Google Pixel 7 (simulated)",
        "Google GS201",
        "Android 13",
        "arm64-v8a",
        "nominal, 29 °C",
        "81 %, charging, 27 °C",
    ]
    assert f"android:{galaxy.serial}: it is warm (fair): let it cool before measuring" in page.stdout
    assert f"android:{gone.serial}: it does not answer" in page.stdout


@pytest.mark.usefixtures("use")
def test_no_phone_is_no_mistake(pocketgan: Command) -> None:
    done = pocketgan("devices")
    assert done.returncode == 0
    assert "no phone: turn on USB debugging" in done.stdout
    assert "pocketgan bench BUNDLE --device web" in done.stdout


@pytest.mark.usefixtures("use")
def test_a_phone_is_connected_to_over_the_network(pocketgan: Command, adb: Adb, tmp_path: Path) -> None:
    with SimulatedPhone(tmp_path / "phone", ANDROID_13) as phone:
        done = pocketgan("devices", "--connect", phone.serial, "--json")
        adb.ask("disconnect", phone.serial)
    assert [seen["serial"] for seen in json.loads(done.stdout)["phones"]] == [phone.serial]
    done = pocketgan("devices", "--connect", "127.0.0.1:1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Connection refused" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.usefixtures("use")
def test_a_phone_that_stops_answering_is_listed_with_its_trouble(pocketgan: Command, adb: Adb, tmp_path: Path) -> None:
    with SimulatedPhone(tmp_path / "phone", ANDROID_13) as phone:
        adb.connect(phone.serial)
        phone.faults.unplug = ("shell", 0)
        done = pocketgan("devices", "--json")
        adb.ask("disconnect", phone.serial)
    (seen,) = json.loads(done.stdout)["phones"]
    assert (done.returncode, seen["adb_state"]) == (0, "device")
    assert seen["problem"] == "it went away during a command; plug it in again"


@pytest.mark.usefixtures("use")
def test_an_android_before_8_is_too_old(pocketgan: Command, adb: Adb, tmp_path: Path) -> None:
    told = {"getprop": "[ro.build.version.release]: [7.1.2]\n[ro.build.version.sdk]: [25]\n"}
    with SimulatedPhone(tmp_path / "phone", told) as phone:
        adb.connect(phone.serial)
        done = pocketgan("devices", "--json")
        adb.ask("disconnect", phone.serial)
    assert json.loads(done.stdout)["phones"][0]["problem"] == "its Android (7.1.2) is too old: 8.0 or newer is needed"


@pytest.mark.usefixtures("no_adb")
def test_without_adb_this_computer_is_listed_and_how_to_get_adb_is_said(pocketgan: Command) -> None:
    done = pocketgan("devices")
    assert done.returncode == 0
    assert done.stdout.splitlines()[2].startswith("local ")
    assert "phones: there is no adb" in done.stdout
    payload = json.loads(pocketgan("devices", "--json").stdout)
    assert (payload["adb"], payload["phones"]) == (None, [])
    assert "pip install 'pocketgan[android]'" in payload["problem"]


def test_pairing_needs_the_address_and_the_code(pocketgan: Command) -> None:
    done = pocketgan("devices", "--pair", "192.168.1.20:37215")
    assert done.returncode == 2
    assert "--pair HOST:PORT and --code DIGITS go together" in done.stderr


def test_a_phone_is_paired_with(pocketgan: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = """#!/bin/sh
echo "$*" >> "$0.calls"
case "$1" in
version) echo Version 34.0.5-1 ;;
pair) echo "Successfully paired to $2 [guid=adb-1]" ;;
devices) echo "List of devices attached" ;;
esac
"""
    program = tmp_path / "adb"
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setattr("pocketgan.bench.devices.adb.find_adb", lambda: Adb(program))
    assert pocketgan("devices", "--pair", "192.168.1.20:37215", "--code", "123456").returncode == 0
    assert "pair 192.168.1.20:37215 123456" in (tmp_path / "adb.calls").read_text().splitlines()
    program.write_text(script.replace("Successfully paired to $2 [guid=adb-1]", "Failed: Wrong password"))
    done = pocketgan("devices", "--pair", "192.168.1.20:37215", "--code", "123456")
    assert done.returncode == 2
    assert "Wrong password" in done.stderr
    assert len(done.stderr.splitlines()) == 1
