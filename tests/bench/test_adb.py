"""Which adb is used, what it lists, and which phone is meant. The listings are those that adb 29 to 36 print."""

from __future__ import annotations

from pathlib import Path

import pytest
from adb_device import SimulatedPhone
from adb_server import until

from pocketgan.bench.devices.adb import Adb, Listed, choose_phone, find_adb, parse_devices
from pocketgan.bench.devices.adb_problems import adb_error
from pocketgan.bench.devices.transport import OutOfReachError
from pocketgan.errors import DeviceError

LISTING = """\
* daemon not running; starting now at tcp:5037
* daemon started successfully
List of devices attached
0A051FDD4003EX         device usb:1-2 product:panther model:Pixel_7 device:panther transport_id:1
192.168.1.20:5555      device product:a52qnsxx model:SM_A525F device:a52q transport_id:4
adb-R5CT10 (2)._adb-tls-connect._tcp device product:b0s model:SM_S908B device:b0s transport_id:7
a device with spaces   offline transport_id:9
R58M                   unauthorized usb:1-3 transport_id:2
HT7                    no permissions (user in plugdev group; are your udev rules wrong?); see \
[http://developer.android.com/tools/device.html] usb:1-4 transport_id:3
emulator-5554          recovery transport_id:8

"""


class ScriptedAdb(Adb):
    """adb with scripted lists of phones, one after the other; `connect` is only noted."""

    def __init__(self, *lists: list[Listed]) -> None:
        super().__init__(Path("adb"))
        self.lists = list(lists)
        self.connected: list[str] = []

    def phones(self) -> list[Listed]:
        return self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]

    def connect(self, address: str) -> None:
        self.connected.append(address)


PIXEL = Listed("0A05", "device", "Pixel_7")
GALAXY = Listed("R58M", "device", "SM_A525F")


def program_at(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\necho Android Debug Bridge version 1.0.41\necho Version 34.0.5-10900879\n")
    path.chmod(0o755)
    return path


def test_every_line_of_a_listing_is_read() -> None:
    assert parse_devices(LISTING) == [
        Listed("0A051FDD4003EX", "device", "Pixel_7"),
        Listed("192.168.1.20:5555", "device", "SM_A525F"),
        Listed("adb-R5CT10 (2)._adb-tls-connect._tcp", "device", "SM_S908B"),
        Listed("a device with spaces", "offline"),
        Listed("R58M", "unauthorized"),
        Listed("HT7", "no permissions"),
        Listed("emulator-5554", "recovery"),
    ]


@pytest.mark.parametrize(
    ("state", "advice"),
    [
        ("unauthorized", "accept its question about USB debugging"),
        ("offline", "plug it in again"),
        ("no permissions", "udev"),
        ("recovery", "adb reboot"),
        ("new_state", "'new_state'"),
    ],
)
def test_a_phone_that_cannot_be_used_says_what_to_do(state: str, advice: str) -> None:
    assert advice in (Listed("A", state).problem or "")
    with pytest.raises(DeviceError, match="phone A: ") as raised:
        choose_phone(ScriptedAdb([Listed("A", state)]))
    assert advice in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_only_usable_phone_needs_no_name() -> None:
    assert choose_phone(ScriptedAdb([PIXEL, Listed("X", "offline")])) == PIXEL


@pytest.mark.parametrize("name", ["0A05", "Pixel_7", "pixel 7", "PIXEL-7"])
def test_a_phone_is_named_by_serial_or_model(name: str) -> None:
    assert choose_phone(ScriptedAdb([GALAXY, PIXEL]), name) == PIXEL


def test_the_variable_of_adb_names_a_phone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDROID_SERIAL", "R58M")
    assert choose_phone(ScriptedAdb([GALAXY, PIXEL])) == GALAXY


@pytest.mark.parametrize(
    ("phones", "name", "said"),
    [
        ([], None, "no phone is connected: turn on USB debugging"),
        ([PIXEL, GALAXY], None, r"name one, such as android:0A05: 0A05 \(Pixel 7\), R58M \(SM A525F\)"),
        ([PIXEL, Listed("B", "device", "Pixel_7")], "pixel 7", "several phones"),
        ([PIXEL], "nothing", r"no phone 'nothing'; connected are 0A05 \(Pixel 7\)"),
    ],
)
def test_a_choice_that_is_none_says_what_there_is(phones: list[Listed], name: str | None, said: str) -> None:
    with pytest.raises(DeviceError, match=said):
        choose_phone(ScriptedAdb(phones), name)


def test_an_address_is_connected_to_where_it_is_not_yet() -> None:
    wifi = Listed("192.168.1.20:5555", "device", "Pixel_7")
    adb = ScriptedAdb([GALAXY], [GALAXY, wifi])
    assert choose_phone(adb, wifi.serial) == wifi
    assert adb.connected == [wifi.serial]
    again = ScriptedAdb([GALAXY, wifi])
    assert choose_phone(again, wifi.serial) == wifi
    assert again.connected == []


@pytest.mark.parametrize(
    ("told", "kind", "said"),
    [
        ("error: device offline\n", OutOfReachError, "plug it in again"),
        ("adb: error: failed to get feature set: device still authorizing", DeviceError, "accept its question"),
        (
            "adb: device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set",
            DeviceError,
            "accept its question",
        ),
        ("error: insufficient permissions for device: user in plugdev group", DeviceError, "udev"),
        ("adb: device 'A' not found", OutOfReachError, "went away"),
        ("[  2%] /data/local/tmp/big\n", OutOfReachError, "went away"),
        ("adb: error: failed to copy 'a' to 'b': remote write failed: No space left on device", DeviceError, "is full"),
        ("adb: error: failed to copy 'a' to 'b': couldn't read from device", OutOfReachError, "went away"),
        ("error: device only supports allocating a pty", DeviceError, "8.0 or newer"),
        (
            "* daemon started\nadb: error: cannot create '/x': Permission denied",
            DeviceError,
            "failed: cannot create '/x'",
        ),
    ],
)
def test_words_of_adb_become_one_line(told: str, kind: type[DeviceError], said: str) -> None:
    error = adb_error("A", told, "push to /x")
    assert type(error) is kind
    assert said in str(error)
    assert "\n" not in str(error)


def test_adb_is_found_on_path_then_in_the_sdk_then_in_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path = program_at(tmp_path / "bin" / "adb")
    in_sdk = program_at(tmp_path / "sdk" / "platform-tools" / "adb")
    in_package = program_at(tmp_path / "adbutils" / "binaries" / "adb")
    (tmp_path / "adbutils" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PATH", str(on_path.parent))
    monkeypatch.delenv("ANDROID_HOME", raising=False)
    monkeypatch.setenv("ANDROID_SDK_ROOT", str(tmp_path / "sdk"))
    assert find_adb().path == on_path
    on_path.unlink()
    assert find_adb().path == in_sdk
    in_sdk.chmod(0o644)  # no program
    assert find_adb().path == in_package
    assert find_adb().version == "34.0.5-10900879"
    in_package.unlink()
    with pytest.raises(DeviceError, match=r"there is no adb.*pip install 'pocketgan\[android\]'"):
        find_adb()


def test_an_adb_of_another_processor_says_so(tmp_path: Path) -> None:
    broken = program_at(tmp_path / "adb")
    broken.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(57))
    with pytest.raises(DeviceError, match="does not run here"):
        Adb(broken).phones()


def test_an_adb_that_hangs_is_ended(tmp_path: Path) -> None:
    slow = program_at(tmp_path / "adb")
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(OutOfReachError, match=r"adb shell got no answer within 0 s.*unlock the phone"):
        Adb(slow).ask("-s", "A", "shell", "true", timeout_s=0.2)


def test_pairing_needs_adb_30(tmp_path: Path) -> None:
    old = program_at(tmp_path / "adb")
    old.write_text("#!/bin/sh\necho Version 29.0.6-debian\n")
    with pytest.raises(DeviceError, match=r"this adb \(29.0.6-debian\) cannot pair.*from 30 on"):
        Adb(old).pair("192.168.1.20:37215", "123456")


@pytest.mark.parametrize("address", ["192.168.1.20", "-a:1", "a b:5", "http://x:5", ""])
def test_what_is_no_address_is_not_connected_to(address: str, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="HOST:PORT"):
        Adb(program_at(tmp_path / "adb")).connect(address)


# The real adb


def test_a_phone_comes_and_goes(adb: Adb, simulated: SimulatedPhone) -> None:
    assert choose_phone(adb, simulated.serial) == Listed(simulated.serial, "device", "Pixel_7")
    assert choose_phone(adb, "pixel 7").serial == simulated.serial
    simulated.unplug()
    until(lambda: Listed(simulated.serial, "offline", "Pixel_7") in adb.phones())
    with pytest.raises(OutOfReachError, match="plug it in again"):
        choose_phone(adb, simulated.serial)


def test_a_phone_that_was_not_connected_is(adb: Adb, tmp_path: Path) -> None:
    with SimulatedPhone(tmp_path / "phone", {"getprop": ""}) as phone:
        assert choose_phone(adb, phone.serial).problem is None
        adb.ask("disconnect", phone.serial)


def test_nobody_answers_at_an_address(adb: Adb) -> None:
    with pytest.raises(OutOfReachError, match="Connection refused; is it awake") as raised:
        choose_phone(adb, "127.0.0.1:1")
    assert ("cannot pair" in str(raised.value)) == (not adb.pairs)


def test_a_phone_that_does_not_know_this_computer_says_what_to_do(adb: Adb, tmp_path: Path) -> None:
    with SimulatedPhone(tmp_path / "phone", {"getprop": ""}, authorised=False) as phone:
        with pytest.raises(DeviceError, match="accept its question about USB debugging"):
            choose_phone(adb, phone.serial)
        (listed,) = [line for line in adb.phones() if line.serial == phone.serial]
        assert "accept its question" in (listed.problem or "")
        adb.ask("disconnect", phone.serial)
