"""Files that are either whole or not there: atomic writes, atomic folders, content hashes."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pocketgan.errors import NOTHING_LOST, storage_errors


@contextmanager
def atomic_file(path: Path, keeps: str = NOTHING_LOST) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; it is flushed to disk and renamed to `path` only if the block succeeds.

    Raises:
        StorageError: the disk is full or read-only; the sibling is removed and `path` is as it was.
    """
    with storage_errors(path, keeps):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes | str, keeps: str = NOTHING_LOST) -> None:
    """Write the whole file or nothing; `keeps` tells the user what is intact if the disk is full."""
    with atomic_file(path, keeps) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def append_text(path: Path, text: str) -> None:
    """Add text to the end of a file, which is made if it is not there.

    Raises:
        StorageError: the disk is full or read-only.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(text)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a new empty sibling folder that takes the place of `path` only if the block succeeds.

    Raises:
        StorageError: the disk is full or read-only; the sibling is removed and `path` is as it was.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o755)
            replace_folder(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def replace_folder(source: Path, target: Path) -> None:
    """Move `source` to `target`; an old `target` is removed only once the new one stands in its place.

    A process killed in between leaves `.<name>.old` beside it; `recover_folder` puts that back.
    """
    old = _old_name(target)
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    source.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def recover_folder(target: Path) -> None:
    """Undo a `replace_folder` that was killed between its two renames."""
    old = _old_name(target)
    if old.exists() and not target.exists():
        old.rename(target)


def _old_name(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def cache_folder() -> Path:
    """Where pocketgan keeps what it may make or fetch again; it need not exist yet.

    Under XDG_CACHE_HOME or ~/.cache where that can be written, else under the temporary folder.
    """
    root = os.environ.get("XDG_CACHE_HOME")
    folder = Path(root) if root else Path.home() / ".cache"
    if not os.access(folder if folder.exists() else folder.parent, os.W_OK):
        folder = Path(tempfile.gettempdir())
    return folder / "pocketgan"


def other_kinds(folder: Path, known: Collection[str]) -> str:
    """For the end of a message that a folder holds no images: what it holds instead; empty where that is nothing.

    Args:
        known: suffixes of images, in lower case with their dot.
    """
    # The first ten thousand tell enough of a folder that was not meant.
    files = (path for path in itertools.islice(folder.rglob("*"), 10_000) if path.is_file())
    suffixes = (path.suffix.lower() for path in files if not path.name.startswith("."))
    counts = Counter(suffix or "without a suffix" for suffix in suffixes if suffix not in known)
    if not counts:
        return ""
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(5))
    return f"; its files are of other kinds ({kinds}), which are not read: convert them to JPEG or PNG"


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of a JSON value in its canonical form."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces, the same text for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
