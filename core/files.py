"""Files that are either whole or not there: atomic writes, atomic folders, content hashes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pocketgan.errors import NOTHING_LOST, StorageError, storage_errors


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


def write_atomic(path: Path, data: bytes | bytearray | memoryview | str, keeps: str = NOTHING_LOST) -> None:
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


def file_to_write(name: str | os.PathLike[str], what: str) -> Path:
    """A path that a file can be written to, found before the work whose outcome it shall hold.

    Args:
        what: names the path to the user, such as --out.
    Raises:
        StorageError: it is empty or a folder, lies under a file, or may not be written.
    """
    path = _named(name, what, "file")
    with _asking(path, what):
        if path.is_dir():
            raise StorageError(f"{what}: {path} is a folder; name a file in it")
        if path.exists() and not os.access(path, os.W_OK):
            raise StorageError(f"{what}: you may not write {path}; name another file")
        _check_above(path, what)
    return path


def folder_to_write(name: str | os.PathLike[str], what: str) -> Path:
    """A path that a folder can be written to; see `file_to_write`.

    Raises:
        StorageError: it is empty or a file, lies under a file, or may not be written.
    """
    path = _named(name, what, "folder")
    with _asking(path, what):
        if path.exists() and not path.is_dir():
            raise StorageError(f"{what}: {path} is a file; name a folder")
        _check_above(path, what)
    return path


def _named(name: str | os.PathLike[str], what: str, kind: str) -> Path:
    if not os.fspath(name):
        raise StorageError(f"{what} is empty (an unset variable?); name a {kind}")
    return Path(name)


@contextmanager
def _asking(path: Path, what: str) -> Iterator[None]:
    """What the system itself says of a path, such as that it is too long, is the user's to mend."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{what}: {path} cannot be written: {error.strerror}") from error


def _check_above(path: Path, what: str) -> None:
    """Whether the folders that are missing above `path` can be made."""
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        raise StorageError(f"{what}: {path} cannot be written: {above} is a file, not a folder")
    if not path.exists() and not os.access(above, os.W_OK | os.X_OK):
        raise StorageError(f"{what}: {path} cannot be written: you may not write in {above}")


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
