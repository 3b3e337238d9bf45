"""Temporary folders that are gone afterwards: after success and failure at once, after a kill at the next start."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX, _LOCK = "pocketgan-scratch-", "lock"
_swept: set[str] = set()


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a new folder below the temporary one.

    The first of a process removes those of processes that were killed: the kernel releases the lock that each holds on
    its folder when it dies, whatever its number or its container.
    """
    root = tempfile.gettempdir()
    if root not in _swept:
        _swept.add(root)
        sweep(Path(root))
    # It has its lock before it has a name that others sweep.
    made = Path(tempfile.mkdtemp(prefix="pocketgan-new-", dir=root))
    folder = made.with_name(made.name.replace("pocketgan-new-", _PREFIX))
    descriptor = os.open(made / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        made.rename(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(made, ignore_errors=True)
        os.close(descriptor)


def sweep(root: Path) -> None:
    """Remove the scratch folders in `root` whose processes are gone."""
    for folder in root.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(folder / _LOCK, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
