"""Results of tasks in a folder: one folder a finished task, whole or not there, named by all that decided about it.

out/<digest>/result.json          {"form": 1, "task": ..., "value": {...}, "seconds": 1.5, "files": {...}}
out/<digest>/adapter.safetensors
out/<digest>.partial/             what a task keeps that was killed or failed, to go on from (`work_folder`)
out/<digest>.failed.json          the line and the traceback of its last failure; gone once it succeeds
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pocketgan.errors import PocketganError, storage_errors
from pocketgan.files import atomic_folder, canonical_json, sha256_file, sha256_json, write_atomic
from pocketgan.training.task_replies import Product, Reply, ReplyError, read_json

_FORM = 1
_RESULT = "result.json"


@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    Attributes:
        name: the task's.
        value: the JSON object that it gave back; empty where it failed.
        files: where the files are that it gave back, by name.
        seconds: how long it ran.
        error: the one line that says why it failed; empty where it did not.
        kept: whether it was finished before, and was not run again.
    """

    name: str
    value: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    kept: bool = False

    @property
    def ok(self) -> bool:
        """Whether the task succeeded."""
        return not self.error


class ResultsFolder:
    """The results that are kept in one folder; made by `results_folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, digest: str, name: str) -> Outcome | None:
        """What a task gave back earlier; None where it is not finished, or its files are not as they were written."""
        folder = self.folder / digest
        try:
            record = read_json((folder / _RESULT).read_bytes())
            if record["form"] != _FORM:
                return None
            files = {file: folder / file for file in record["files"]}
            if any(sha256_file(path) != record["files"][file] for file, path in files.items()):
                return None
            return Outcome(name, dict(record["value"]), files, float(record["seconds"]), kept=True)
        except (OSError, ReplyError, KeyError, TypeError, ValueError):
            return None

    def keep(self, digest: str, name: str, product: Product, seconds: float) -> Outcome:
        """Write a checked product, whole or not at all.

        Raises:
            StorageError: the disk is full or read-only.
        """
        folder = self.folder / digest
        with atomic_folder(folder) as temporary:
            for file, data in product.files.items():
                (temporary / file).write_bytes(data)
            record: dict[str, Any] = {
                "form": _FORM,
                "task": name,
                "value": product.value,
                "seconds": round(seconds, 3),
                "files": {file: sha256_file(temporary / file) for file in product.files},
            }
            (temporary / _RESULT).write_text(canonical_json(record), encoding="utf-8")
        self._failure(digest).unlink(missing_ok=True)
        shutil.rmtree(self.partial(digest), ignore_errors=True)
        files = {file: folder / file for file in product.files}
        return Outcome(name, dict(product.value), files, record["seconds"])

    def fail(self, digest: str, name: str, reply: Reply) -> Outcome:
        """Keep why a task failed, for who looks for it; the task is run again the next time."""
        record = {"form": _FORM, "task": name, "error": reply.error, "trace": reply.trace}
        write_atomic(self._failure(digest), json.dumps(record, indent=2))
        return Outcome(name, seconds=reply.seconds, error=reply.error)

    def partial(self, digest: str) -> Path:
        """The folder of a task's own, which it makes itself if it needs one."""
        return self.folder / f"{digest}.partial"

    def drop_partial(self) -> None:
        """Remove what is kept of tasks that nobody asks for any more."""
        for folder in self.folder.glob("*.partial"):
            shutil.rmtree(folder, ignore_errors=True)

    def _failure(self, digest: str) -> Path:
        return self.folder / f"{digest}.failed.json"


@contextmanager
def results_folder(folder: Path) -> Iterator[ResultsFolder]:
    """The results in `folder`, which is made if it is not there; one process at a time may write them.

    Raises:
        PocketganError: another process does.
        StorageError: the folder cannot be written.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PocketganError(
                f"another process fills {folder}; wait for it to end, or name another folder"
            ) from error
        # What a driver left that was killed while it wrote.
        for left in (*folder.glob(".*.tmp"), *folder.glob(".*.old")):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
        yield ResultsFolder(folder)
    finally:
        os.close(lock)


class Contents:
    """Digests of files and folders by their content; what has not changed since is not read again."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, int, int], str] = {}

    def digest(self, path: Path) -> str:
        """Hex SHA-256 of a file's bytes, or of the names and bytes of all files in a folder.

        Raises:
            PocketganError: it is not there or cannot be read.
        """
        try:
            if not path.is_dir():
                return self._file(path)
            inside = sorted(file for file in path.rglob("*") if file.is_file())
            return sha256_json({file.relative_to(path).as_posix(): self._file(file) for file in inside})
        except OSError as error:
            raise PocketganError(f"{path} cannot be read: {error.strerror}") from error

    def _file(self, path: Path) -> str:
        facts = path.stat()
        key = (str(path), facts.st_size, facts.st_mtime_ns)
        if key not in self._files:
            self._files[key] = sha256_file(path)
        return self._files[key]
