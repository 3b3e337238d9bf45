"""The real `adb` of this computer: where it is, what phones it sees, and how to ask it something."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pocketgan.bench.devices.adb_problems import first_line, listed_problem, state_error
from pocketgan.bench.devices.transport import OutOfReachError
from pocketgan.errors import DeviceError

QUESTION_S = 20.0
# What has to be said to the server once: it starts, and tries the addresses of earlier sessions.
_START_S = 30.0
_OLDEST_THAT_PAIRS = 30

HOW_TO_GET_ADB = (
    "there is no adb, the program that talks to Android phones: pip install 'pocketgan[android]' (x86-64), or install "
    "Android's platform tools (Debian: apt install adb; macOS: brew install android-platform-tools), on PATH or in "
    "ANDROID_HOME"
)
_NO_PHONE = (
    "no phone is connected: turn on USB debugging in its developer options and plug it in, or over Wi-Fi: "
    "pocketgan devices --connect HOST:PORT; pocketgan devices shows what is there"
)
# Serials may hold anything, spaces too (mDNS names do), so that a line is read from its end: details, then the state.
_LINE = re.compile(
    r"(?P<serial>\S.*?)\s+(?P<state>no permissions|[a-z]+)(?: \(.*?\)(?:; see \[.*?\])?)?(?P<details>(?: \w+:\S*)*)\s*"
)
_ADDRESS = re.compile(r"([\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}")


@dataclass(frozen=True)
class Answer:
    """What a program said: its exit code, standard output, and standard error as text."""

    code: int
    out: bytes
    error: str

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.out.decode(errors="replace")


@dataclass(frozen=True)
class Listed:
    """One line of `adb devices -l`.

    Attributes:
        state: `device` where it can be used, else `unauthorized`, `offline`, `no permissions`...
        model: as adb tells it, words joined by underscores; empty where it does not know.
    """

    serial: str
    state: str
    model: str = ""

    @property
    def problem(self) -> str | None:
        """What is wrong with it and what to do; None where it can be used."""
        return listed_problem(self.state)


class Adb:
    """The program, at a place.

    Args:
        path: of the program.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def version(self) -> str:
        """Of the platform tools it came with, such as 36.0.0-13206524.

        Raises:
            DeviceError: it does not run here.
        """
        told = self.ask("version").text
        found = re.search(r"^Version (\S+)", told, re.MULTILINE)
        if found is None:
            raise DeviceError(f"{self.path} does not say which adb it is, but: {first_line(told) or 'nothing'}")
        return found[1]

    @property
    def pairs(self) -> bool:
        """Whether it can pair with a phone over Wi-Fi (Android 11 and newer)."""
        return int(re.match(r"\d*", self.version)[0] or 0) >= _OLDEST_THAT_PAIRS  # type: ignore[index]

    def ask(self, *words: str, timeout_s: float = QUESTION_S) -> Answer:
        """Run it and wait for its end.

        Raises:
            OutOfReachError: it takes longer than `timeout_s`.
            DeviceError: it does not run.
        """
        # Who names a phone names it by -s; a variable that names another one is not in question then.
        environment = {name: value for name, value in os.environ.items() if name != "ANDROID_SERIAL"}
        try:
            done = subprocess.run(
                [str(self.path), *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout_s,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired:
            doing = next((word for word in words[2 if words[0] == "-s" else 0 :]), "")
            raise OutOfReachError(
                f"adb {doing} got no answer within {timeout_s:.0f} s: unlock the phone, plug it in again, "
                "and try adb kill-server"
            ) from None
        except (OSError, ValueError) as problem:
            raise DeviceError(f"{self.path} does not run here ({problem}); {HOW_TO_GET_ADB}") from None
        return Answer(done.returncode, done.stdout, done.stderr.decode(errors="replace"))

    def phones(self) -> list[Listed]:
        """Every phone and emulator that adb sees, whatever its state; starts adb's server where none runs.

        Raises:
            DeviceError: the server does not start.
        """
        answer = self.ask("devices", "-l", timeout_s=_START_S)
        if answer.code:
            raise OutOfReachError(
                f"adb's server does not start ({first_line(answer.error + answer.text)}); try adb kill-server, "
                "or another port: ANDROID_ADB_SERVER_PORT=5038"
            )
        return parse_devices(answer.text)

    def connect(self, address: str) -> None:
        """Reach a phone over Wi-Fi.

        Args:
            address: HOST:PORT.
        Raises:
            DeviceError: it is no address, or the phone does not know this computer.
            OutOfReachError: nothing answers there.
        """
        if not is_address(address):
            raise DeviceError(f"{address!r} is no address of a phone: HOST:PORT, such as 192.168.1.20:5555")
        told = self.ask("connect", address, timeout_s=_START_S).text.strip()
        if told.startswith(("connected to", "already connected to")):
            return
        if "authenticate" in told:
            raise DeviceError(f"phone {address}: {listed_problem('unauthorized')}; over Wi-Fi: {self._how_to_pair()}")
        raise OutOfReachError(
            f"phone {address}: {first_line(told) or 'no answer'}; is it awake, in this network, and is that the port "
            f"of Wireless debugging in its developer options? The first time: {self._how_to_pair()}"
        )

    def pair(self, address: str, code: str) -> None:
        """Make this computer known to a phone, over Wi-Fi (Android 11 and newer).

        Args:
            address: HOST:PORT that the phone shows at "Pair device with pairing code". code: the six digits beside it.
        Raises:
            DeviceError: this adb is too old for it, or the phone refuses.
        """
        if not is_address(address):
            raise DeviceError(f"{address!r} is no address of a phone: HOST:PORT, such as 192.168.1.20:37215")
        if not self.pairs:
            raise DeviceError(self._how_to_pair())
        answer = self.ask("pair", address, code, timeout_s=_START_S)
        if answer.code or not answer.text.startswith("Successfully paired"):
            raise DeviceError(
                f"phone {address} did not pair ({first_line(answer.text + answer.error)}); address and code are those "
                "of Wireless debugging, Pair device with pairing code, which stays open meanwhile"
            )

    def _how_to_pair(self) -> str:
        if self.pairs:
            return f"{self.path} pair HOST:PORT, with address and code of Wireless debugging, Pair device"
        return (
            f"this adb ({self.version}) cannot pair with phones: from 30 on it can, which pip install "
            "'pocketgan[android]' brings (remove the older one from PATH); over USB this one does"
        )


def find_adb() -> Adb:
    """adb on PATH, else of the SDK in ANDROID_HOME or ANDROID_SDK_ROOT, else of the package adbutils.

    Raises:
        DeviceError: there is none; says how to get it.
    """
    candidates = [Path(found)] if (found := shutil.which("adb")) else []
    homes = [os.environ.get(name) for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT")]
    candidates += [Path(home) / "platform-tools" / "adb" for home in homes if home]
    # Found, not imported: the program is all that is wanted of the package, and its wheels alone have it.
    package = importlib.util.find_spec("adbutils")
    if package is not None and package.origin is not None:
        candidates.append(Path(package.origin).parent / "binaries" / "adb")
    for path in candidates:
        if path.is_file() and os.access(path, os.X_OK):
            return Adb(path)
    raise DeviceError(HOW_TO_GET_ADB)


def is_address(serial: str) -> bool:
    """Whether it is HOST:PORT, by which adb reaches phones over Wi-Fi."""
    return _ADDRESS.fullmatch(serial) is not None


def parse_devices(told: str) -> list[Listed]:
    """The phones of an `adb devices -l`."""
    phones = []
    for line in told.splitlines():
        found = _LINE.fullmatch(line)
        if found is None or line.startswith(("List of devices", "*")):
            continue
        details = dict(pair.split(":", 1) for pair in found["details"].split())
        phones.append(Listed(found["serial"], found["state"], details.get("model", "")))
    return phones


def choose_phone(adb: Adb, name: str | None = None) -> Listed:
    """The phone of that name, reachable now.

    Args:
        name: a serial, a model ("Pixel 7"), or HOST:PORT, which is connected to where it is not yet; None: the one of
            ANDROID_SERIAL, else the only one there.
    Raises:
        DeviceError: there is none, several, or it cannot be used; says what to do.
    """
    name = name or os.environ.get("ANDROID_SERIAL") or None
    phones = adb.phones()
    if name is None:
        return _only(phones)
    found = _named(phones, name)
    if not found and is_address(name):
        adb.connect(name)
        found = _named(adb.phones(), name)
    if not found:
        there = f"connected are {_listing(phones)}" if phones else _NO_PHONE
        raise DeviceError(f"there is no phone {name!r}; {there}")
    return _only(found)


def _named(phones: Sequence[Listed], name: str) -> list[Listed]:
    by_serial = [phone for phone in phones if phone.serial == name]
    return by_serial or [phone for phone in phones if phone.model and _plain(phone.model) == _plain(name)]


def _plain(model: str) -> str:
    return re.sub(r"[\W_]+", " ", model).casefold().strip()


def _only(phones: Sequence[Listed]) -> Listed:
    usable = [phone for phone in phones if phone.problem is None]
    if len(usable) == 1:
        return usable[0]
    if usable:
        raise DeviceError(f"there are several phones; name one, such as android:{usable[0].serial}: {_listing(usable)}")
    if phones:
        raise state_error(phones[0].serial, phones[0].state)
    raise DeviceError(_NO_PHONE)


def _listing(phones: Sequence[Listed]) -> str:
    return ", ".join(f"{phone.serial} ({phone.model.replace('_', ' ') or phone.state})" for phone in phones)
