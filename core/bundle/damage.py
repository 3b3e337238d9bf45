"""What is wrong with files from strangers, and which names are safe to write."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pocketgan.errors import BundleError

_SAFE_NAME = re.compile(r"[A-Za-z0-9_.+@ -]+(/[A-Za-z0-9_.+@ -]+)*")


class DamageError(Exception):
    """What is wrong with a bundle; `reading` adds whose it is."""


class NotABundleError(BundleError):
    """Nothing that could be a bundle, rather than a damaged one."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever hostile bytes can cause into a BundleError that names the bundle."""
    try:
        yield
    except DamageError as damage:
        raise BundleError(f"{path}: {damage}") from damage
    except RecursionError as error:
        raise BundleError(f"{path}: is nested too deeply") from error
    except MemoryError as error:
        raise BundleError(f"{path}: does not fit into memory") from error
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, OverflowError, struct.error) as error:
        raise BundleError(f"{path}: is damaged: {quote(str(error))}") from error


def quote(text: str) -> str:
    """Foreign text on one line, without characters that a terminal would obey."""
    shown = ascii(text)
    return shown if len(shown) <= 120 else shown[:117] + "..."


def must_be_safe(name: str) -> None:
    """DamageError if a file of that name could land outside the target, or is not the same name to all systems."""
    reason = _unsafe(name)
    if reason:
        raise DamageError(f"file name {quote(name)} {reason}")


def _unsafe(name: str) -> str | None:
    if not name or "\0" in name:
        return "is empty or holds a zero byte"
    if name.startswith("/"):
        return "is absolute"
    if re.match(r"[A-Za-z]:", name):
        return "has a drive letter"
    if "\\" in name:
        return "holds a backslash"
    if name.endswith("/"):
        return "is a folder; a bundle holds files only"
    if any(part in {"", ".", ".."} for part in name.split("/")):
        return "has an empty, . or .. part"
    if not _SAFE_NAME.fullmatch(name):
        return "holds characters other than A-Z a-z 0-9 _ . + @ - and space"
    return None


def must_differ(names: Iterable[str]) -> None:
    """DamageError if two names would be one file on a system that ignores case (names are ASCII, see must_be_safe)."""
    lowered: set[str] = set()
    for name in names:
        if name.lower() in lowered:
            raise DamageError(f"holds {name} twice (upper and lower case count as equal)")
        lowered.add(name.lower())
