"""Exceptions that nobody foresaw: one line for the user, and the traceback in a file for whoever mends it."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path

from pocketgan import __version__
from pocketgan.files import cache_folder

# EX_SOFTWARE of sysexits.h. Never 1, with which a gate says no.
EXIT_CODE = 70


def record(fault: BaseException) -> str:
    """Write the traceback of `fault` to a file of its own, and return the line that tells the user so.

    The command's arguments are not in it: a file that is sent around shall hold no password of a database.
    """
    summary = " ".join(f"{type(fault).__name__}: {fault}".split())[:200]
    versions = f"pocketgan {__version__}, Python {platform.python_version()}, {platform.platform()}"
    text = f"{versions}\n\n{''.join(traceback.format_exception(fault))}"
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.txt"
    for folder in (cache_folder() / "faults", Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError:
            continue
        return f"this is a fault of pocketgan, not of yours: {summary}; please report it with {folder / name}"
    print(text, file=sys.stderr)
    return f"this is a fault of pocketgan, not of yours: {summary}; its traceback could not be written and stands above"
