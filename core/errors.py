"""What can go wrong, said to the user: what was expected, what was found, and what to do next.

Every error that a user can cause is a `PocketganError`; the command line prints its one line and ends with its exit
code. Anything else that escapes is a defect of pocketgan, whose traceback is kept in a file (`pocketgan.faults`).
"""

from __future__ import annotations

import errno
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOTHING_LOST = "nothing was half-written"
_KINDS = {
    errno.EISDIR: "a folder is in the place of a file",
    errno.ENOTDIR: "a file is in the place of a folder",
    errno.ENAMETOOLONG: "the name is too long",
}


class PocketganError(Exception):
    """The user or the environment must act. `exit_code` is what the process ends with."""

    exit_code = 2


class RecipeError(PocketganError):
    """A recipe that cannot be used: names file, line, field and what was expected."""


class DataError(PocketganError):
    """A data folder or image that cannot be used."""


class BudgetError(PocketganError):
    """A search budget outside what the teacher can be pruned to."""


class ModelError(PocketganError):
    """A model file, generator name or shape that cannot be used."""


class BundleError(PocketganError):
    """A bundle that is damaged, hostile, too new or does not hold what was asked of it."""


class ExportError(PocketganError):
    """A module that a target cannot express, or a target that is unknown."""


class ParityError(PocketganError):
    """An exported file that does not compute what its source module computes."""

    exit_code = 1


class DeviceError(PocketganError):
    """A device or a runtime on it that is missing, locked or has failed."""


class DeviceBusyError(DeviceError):
    """A device that another process measures on. `owner` names it, as "process 4711 (pocketgan bench student.pgb)"."""

    def __init__(self, device: str, owner: str) -> None:
        super().__init__(
            f"device {device} is measuring for {owner}; wait for it to end, or let it be waited for: --wait 10m"
        )
        self.owner = owner


class ResultsError(PocketganError):
    """A results file that is broken or foreign."""


class StorageError(PocketganError):
    """The disk is full or refuses to be written to."""


class MissingExtraError(PocketganError):
    """A command that needs an optional part which is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"this needs {module}, which is not installed; get it with: pip install 'pocketgan[{extra}]'")
        self.extra = extra


def require(extra: str, *modules: str) -> None:
    """Raise MissingExtraError unless every module can be found (nothing is imported)."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(module, extra)


@contextmanager
def storage_errors(path: Path | str, keeps: str = NOTHING_LOST) -> Iterator[None]:
    """Turn a full or read-only disk, or a file where a folder should be, into one line that names the path."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(
                f"the disk is full while writing {path}; {keeps}. Free some space and run again"
            ) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise StorageError(
                f"cannot write {path}: {error.strerror}; choose a folder that you may write to"
            ) from error
        # Of a rename, the second name is the one that was asked for.
        name = error.filename2 or error.filename or path
        # What mkdir says where a file has the name.
        kind = errno.ENOTDIR if error.errno == errno.EEXIST and Path(str(name)).is_file() else error.errno
        if kind in _KINDS:
            raise StorageError(f"{name}: {_KINDS[kind]}; choose another name") from error
        raise
