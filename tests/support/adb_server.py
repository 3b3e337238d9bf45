"""Real adb servers for tests: each of a port and a home of its own, blind to what is plugged into this computer."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pocketgan.bench.devices.adb import Adb

# The oldest and the newest that are used, where they are there: Debian's on PATH, and the one inside of adbutils.
SOURCES = ("PATH", "adbutils")
HOW_TO_GET_ADB = "make android-tools, or pip install 'pocketgan[android]'"


def program(source: str) -> Path | None:
    """The adb of that source; None where it is not there."""
    if source == "PATH":
        found = shutil.which("adb")
        return Path(found) if found else None
    package = importlib.util.find_spec("adbutils")
    path = Path(package.origin).parent / "binaries" / "adb" if package and package.origin else None
    return path if path is not None and path.is_file() else None


def until(true: Callable[[], bool]) -> None:
    """Wait for what takes a moment."""
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@contextmanager
def adb_server(path: Path, home: Path) -> Iterator[Adb]:
    """The server of that adb, while the context is open; the environment leads every adb to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        patch.setenv("HOME", str(home))  # its key lies there
        patch.setenv("ADB_LOCAL_TRANSPORT_MAX_PORT", "5554")  # no emulator of the developer's
        patch.setenv("ADB_USB", "0")  # nor a phone
        patch.setenv("ADB_MDNS", "0")
        patch.setenv("ADB_MDNS_AUTO_CONNECT", "0")
        patch.delenv("ANDROID_SERIAL", raising=False)
        adb = Adb(path)
        adb.ask("start-server")
        try:
            yield adb
        finally:
            adb.ask("kill-server")
