"""One process at a time measures on a device."""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import psutil

from pocketgan.errors import DeviceBusyError, storage_errors
from pocketgan.files import cache_folder

_LONGEST_NAME = 100


@contextmanager
def device_lock(name: str, folder: Path | None = None) -> Iterator[None]:
    """Keep others from measuring on the device of that name, whatever characters it has, at the same time.

    The kernel releases the lock when its owner dies, so none goes stale.

    Args:
        folder: where the lock file lies; the user's cache folder if None.
    Raises:
        DeviceBusyError: another process has it; names that process.
        StorageError: the lock file cannot be written.
    """
    folder = folder or cache_folder()
    path = folder / f"{_file_name(name)}.lock"
    with storage_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DeviceBusyError(name, _owner(os.read(descriptor, 32).decode(errors="replace"))) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def _file_name(name: str) -> str:
    """No two names share one."""
    quoted = quote(name, safe="")
    return quoted if len(quoted) <= _LONGEST_NAME else sha256(name.encode()).hexdigest()


def _owner(written: str) -> str:
    """The process that has the lock, which wrote its number there: by its command, where the system tells it."""
    number = written.strip()
    called = "another pocketgan"
    try:
        words = psutil.Process(int(number)).cmdline()[1:]
        # Options may hold what is nobody's business, such as a database's password.
        plain = list(itertools.takewhile(lambda word: not word.startswith("-"), words))
        called = " ".join([Path(plain[0]).name, *plain[1:3]]) if plain else called
    except (ValueError, psutil.Error):
        pass
    return f"{called} (process {number or 'unknown'})"
