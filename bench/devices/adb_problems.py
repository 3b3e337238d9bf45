"""What adb says when something is wrong with a phone, in one line that says what to do."""

from __future__ import annotations

import re

from pocketgan.bench.devices.transport import OutOfReachError
from pocketgan.errors import DeviceError

_ALLOW = (
    "it does not allow this computer yet: unlock it and accept its question about USB debugging (if it asks nothing: "
    "revoke USB debugging authorisations in its developer options, and plug it in again)"
)
_AWAKE = "it does not answer: unlock it and plug it in again (over Wi-Fi: adb disconnect, then adb connect)"
_UDEV = (
    "this user may not open its USB port: install udev rules for it (Debian: apt install "
    "android-sdk-platform-tools-common), join group plugdev, log in again, and plug it in again"
)
_OLD = "its Android is too old: 8.0 or newer is needed"
_NO_ANDROID = "it has not started Android: restart it, by hand or with adb reboot"

# The states of `adb devices` other than `device`, and what to do about each.
ADVICE = {
    "unauthorized": _ALLOW,
    "authorizing": _ALLOW,
    "connecting": _AWAKE,
    "offline": _AWAKE,
    "no permissions": _UDEV,
    "recovery": _NO_ANDROID,
    "rescue": _NO_ANDROID,
    "sideload": _NO_ANDROID,
    "bootloader": _NO_ANDROID,
    "host": "it is no Android device",
    "unknown": _AWAKE,
}
# States that end by themselves, or when someone puts the plug in.
_PASSING = ("connecting", "offline", "unknown")

FULL = re.compile(r"No space left on device|ENOSPC|INSUFFICIENT_STORAGE|Disk quota exceeded")
_GONE = re.compile(
    r"device '.*' not found|no devices/emulators found|transport.*not found|device .* disconnected"
    r"|couldn't read from device|failed to read copy response|protocol fault|error: closed|connection reset"
    r"|Broken pipe|EOF$",
    re.IGNORECASE | re.MULTILINE,
)
_STATES = {
    "unauthorized": re.compile(r"device unauthorized|still authorizing"),
    "connecting": re.compile(r"still connecting"),
    "offline": re.compile(r"device offline"),
    "no permissions": re.compile(r"insufficient permissions|no permissions"),
}
_SERVER = re.compile(r"cannot connect to daemon|failed to start daemon|failed to check server version|cannot bind")
# Progress of push and pull, and what adb says of its own server.
_CHATTER = re.compile(r"^(\[ *\d+%\] .*|\* daemon .*|adb server version .*|.*: \d+ files? (pushed|pulled), .*)$")


def listed_problem(state: str) -> str | None:
    """What is wrong with a phone that `adb devices` lists in this state, and what to do; None for `device`."""
    if state == "device":
        return None
    return ADVICE.get(state, f"adb calls it {state!r}: plug it in again")


def state_error(serial: str, state: str) -> DeviceError:
    """The error of a phone that is listed in a state other than `device`."""
    kind = OutOfReachError if state in _PASSING else DeviceError
    return kind(f"phone {serial}: {listed_problem(state)}")


def adb_error(serial: str, told: str, doing: str) -> DeviceError:
    """The error that `told`, the words of a failed adb, stand for.

    Args:
        doing: what was tried, as "push to /data/local/tmp".
    Returns:
        An OutOfReachError where the phone may come back by itself or by its plug.
    """
    for state, words in _STATES.items():
        if words.search(told):
            return state_error(serial, state)
    if FULL.search(told):
        return full_error(serial, doing)
    if "only supports allocating a pty" in told:
        return DeviceError(f"phone {serial}: {_OLD}")
    if _SERVER.search(told):
        return OutOfReachError(
            f"adb's server does not run ({first_line(told)}); try adb kill-server, or another port: "
            "ANDROID_ADB_SERVER_PORT=5038"
        )
    line = first_line(told)
    if not line or _GONE.search(told):
        return OutOfReachError(f"phone {serial}: it went away during {doing}; plug it in again")
    return DeviceError(f"phone {serial}: {doing} failed: {line}")


def full_error(serial: str, doing: str) -> DeviceError:
    """The error of a phone without room."""
    return DeviceError(f"phone {serial}: it is full, {doing} failed; free some space on it and run again")


def first_line(told: str) -> str:
    """The first line of adb's words that is neither progress nor news of its server, without its prefix."""
    lines = [line.strip() for line in told.splitlines()]
    plain = [line for line in lines if line and not _CHATTER.match(line)]
    return re.sub(r"^(adb: )?(error: )?", "", plain[0]) if plain else ""
