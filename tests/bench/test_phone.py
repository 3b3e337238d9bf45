"""A phone through the real adb: its shell, files to and from it, apps on it; and what is said when it fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from adb_device import SimulatedPhone

from pocketgan.bench.devices.adb import Adb
from pocketgan.bench.devices.phone import Phone, quoted
from pocketgan.bench.devices.transport import OutOfReachError
from pocketgan.errors import DeviceError

ODD = "-a b'c\"d$e`f;g&h|i*é\\ ,1\tj"
FOLDER = f"/data/local/tmp/pocketgan/{ODD}"


@pytest.fixture
def phone(adb: Adb, simulated: SimulatedPhone) -> Phone:
    return Phone(adb, simulated.serial)


def content(count: int) -> bytes:
    """Bytes that a translation of line ends, a text encoding or a terminal would change."""
    return (bytes(range(256)) + b"\r\n\n\r\x04") * (count // 261 + 1)


def test_exit_code_and_standard_error_are_the_commands_own(phone: Phone) -> None:
    answer = phone.script("echo out; echo bad >&2; exit 7")
    assert (answer.code, answer.text, answer.error.strip()) == (7, "out\n", "bad")
    assert phone.shell("printf", "%s", "no line end").text == "no line end"
    assert phone.shell("true").out == b""


def test_words_of_any_characters_reach_the_phone_as_they_are(phone: Phone) -> None:
    words = [ODD, "", "a\nb", "$(echo no)", "~", "#x", "--"]
    assert phone.shell("printf", "[%s]", *words).text == "".join(f"[{word}]" for word in words)
    with pytest.raises(DeviceError, match="NUL"):
        quoted("a\0b")


def test_a_command_that_fails_says_why(phone: Phone) -> None:
    with pytest.raises(DeviceError, match=r"phone .* rmdir failed: .*No such file or directory") as raised:
        phone.check("rmdir", "/data/local/tmp/nothing")
    assert "\n" not in str(raised.value)


def test_files_come_back_as_they_went(phone: Phone, simulated: SimulatedPhone, tmp_path: Path) -> None:
    source = tmp_path / ODD
    (source / "sub folder").mkdir(parents=True)
    (source / ODD).write_bytes(content(300_000))
    (source / "sub folder" / "é").write_bytes(b"")
    (tmp_path / "beside").write_bytes(b"1")
    phone.push([source, tmp_path / "beside"], FOLDER, bytes_in_all=300_001)
    there = simulated.at(FOLDER)
    assert (there / "beside").read_bytes() == b"1"
    assert (there / ODD / "sub folder" / "é").read_bytes() == b""
    assert phone.read(f"{FOLDER}/{ODD}/{ODD}") == content(300_000)
    phone.pull(f"{FOLDER}/{ODD}/{ODD}", tmp_path / "back", bytes_in_all=300_000)
    assert (tmp_path / "back").read_bytes() == content(300_000)


def test_a_file_is_read_from_an_offset(phone: Phone, simulated: SimulatedPhone) -> None:
    simulated.at("/data/local/tmp/log").write_bytes(b"one\r\ntwo\n")
    assert phone.read("/data/local/tmp/log", 5) == b"two\n"
    assert phone.read("/data/local/tmp/log", 9) == b""
    assert phone.read("/data/local/tmp/log", 90) == b""
    assert phone.read("/data/local/tmp/no such log") == b""


def test_a_full_phone_is_named_so(phone: Phone, simulated: SimulatedPhone, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(5000))
    simulated.faults.free_bytes = 4999
    with pytest.raises(DeviceError, match="it is full, push /data/local/tmp/ failed; free some space on it"):
        phone.push([tmp_path / "large"], "/data/local/tmp", bytes_in_all=5000)
    assert not simulated.at("/data/local/tmp/large").exists()


def test_a_place_that_is_not_the_shells_says_so(phone: Phone, simulated: SimulatedPhone, tmp_path: Path) -> None:
    (tmp_path / "small").touch()
    simulated.at("/data/local/tmp/file").touch()
    with pytest.raises(DeviceError, match=r"mkdir failed: .*(File exists|Not a directory)"):
        phone.push([tmp_path / "small"], "/data/local/tmp/file/x", bytes_in_all=0)


@pytest.mark.parametrize(("kind", "after"), [("push", 100_000), ("pull", 100_000), ("shell", 70_000), ("shell", 1)])
def test_the_cable_comes_out_in_the_middle(
    phone: Phone, simulated: SimulatedPhone, tmp_path: Path, kind: str, after: int
) -> None:
    """Whatever exit code adb has for it (29 says 0 for a shell), half an output is never taken for the whole."""
    (tmp_path / "large").write_bytes(bytes(3_000_000))
    simulated.at("/data/local/tmp/large").write_bytes(bytes(3_000_000))
    phone.check("mkdir", "-p", "/data/local/tmp/pushed")
    ways = {
        "push": lambda: phone._copy("push", str(tmp_path / "large"), "/data/local/tmp/pushed/", bytes_in_all=3_000_000),
        "pull": lambda: phone.pull("/data/local/tmp/large", tmp_path / "back", bytes_in_all=3_000_000),
        "shell": lambda: phone.read("/data/local/tmp/large"),
    }
    simulated.faults.unplug = (kind, after)
    with pytest.raises(OutOfReachError, match=f"phone {simulated.serial}: it went away during .*; plug it in again"):
        ways[kind]()
    with pytest.raises(OutOfReachError, match="it does not answer"):
        ways[kind]()


def test_a_phone_that_is_too_slow_is_not_waited_for(phone: Phone, simulated: SimulatedPhone) -> None:
    simulated.faults.delay_s = 0.5
    with pytest.raises(OutOfReachError, match="adb shell got no answer within 0 s: unlock the phone"):
        phone.shell("true", timeout_s=0.1)
    assert phone.shell("echo", "late").text == "late\n"


def test_a_killed_server_is_started_again(phone: Phone) -> None:
    phone.adb.ask("kill-server")
    with pytest.raises(OutOfReachError, match="went away"):  # the new server knows phones on USB alone...
        phone.shell("true")
    assert phone.shell("echo", "here").text == "here\n"  # ... and is told of this one for the next question


def test_a_phone_without_exit_codes_is_too_old(adb: Adb, tmp_path: Path) -> None:
    with SimulatedPhone(tmp_path / "old", {"getprop": ""}, features="") as old:
        adb.connect(old.serial)
        with pytest.raises(DeviceError, match="too old"):
            Phone(adb, old.serial).shell("true")
        adb.ask("disconnect", old.serial)


def test_an_app_is_installed(phone: Phone, simulated: SimulatedPhone, tmp_path: Path) -> None:
    apk = tmp_path / "the app's.apk"
    apk.write_bytes(content(5000))
    phone.install(apk, "dev.pocketgan")
    assert simulated.at("/state/installed.apk").read_bytes() == content(5000)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (
            "INSTALL_FAILED_UPDATE_INCOMPATIBLE: Package dev.pocketgan signatures do not match",
            "signed with another key; it is not removed for you.*: adb uninstall dev.pocketgan",
        ),
        ("INSTALL_FAILED_USER_RESTRICTED: Install canceled by user", "allow installing via USB"),
        ("INSTALL_FAILED_INSUFFICIENT_STORAGE: Failed to override installation location", "is full"),
        ("INSTALL_PARSE_FAILED_NOT_APK: Failed to parse", "INSTALL_PARSE_FAILED_NOT_APK"),
    ],
)
def test_an_app_that_is_refused_says_why(
    phone: Phone, simulated: SimulatedPhone, tmp_path: Path, told: str, said: str
) -> None:
    (tmp_path / "a.apk").write_bytes(os.urandom(100))
    simulated.at("/state/install").write_text(f"Failure [{told}]\n")
    with pytest.raises(DeviceError, match=said) as raised:
        phone.install(tmp_path / "a.apk", "dev.pocketgan")
    assert "\n" not in str(raised.value)


def test_a_reboot_ends_what_ran_and_the_phone_is_back(phone: Phone, simulated: SimulatedPhone) -> None:
    phone.script("nohup sleep 60 > /dev/null 2>&1 < /dev/null &\necho $! > /data/local/tmp/pid")
    number = int(phone.read("/data/local/tmp/pid"))
    assert Path(f"/proc/{number}").exists()
    simulated.reboot(down_s=0)
    state = Path(f"/proc/{number}/stat")
    assert not state.exists() or state.read_text().split(") ")[1][0] == "Z"  # dead, its parent has not looked yet
    phone.adb.ask("disconnect", phone.serial)
    phone.adb.connect(phone.serial)
    assert phone.shell("true").code == 0
