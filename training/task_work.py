"""One task where it runs: in a worker, or in the driver itself. Whatever happens in it ends in a reply."""

from __future__ import annotations

import fcntl
import importlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pocketgan import __version__, console
from pocketgan.errors import PocketganError
from pocketgan.scratch import scratch_folder
from pocketgan.training.task_replies import Product, ReplyError, check_product, one_line, pack, pack_error

# Each read once, when its library loads.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Task:
    """What one task is about.

    Attributes:
        arguments: a JSON object: all that decides about the result, but for what `paths` hold.
        paths: files and folders that it reads, by the name that the function knows them by. Their content decides about
            the result, not where they are. On a cluster every worker must see them under the same path.
        kept: a folder of the task's own for what a killed one goes on from (`work_folder`). It is in no digest; whoever
            runs the task names it.
    """

    arguments: Mapping[str, Any] = field(default_factory=dict)
    paths: Mapping[str, Path] = field(default_factory=dict)
    kept: Path | None = None


# It draws all that is random from the seed, its second argument.
TaskFunction = Callable[[Task, int], Product]

# PyTorch's number of threads is a process's, and random states are too: never two tasks at once in one.
_alone = threading.RLock()


@contextmanager
def work_folder(task: Task) -> Iterator[Path]:
    """The task's own folder, with what an earlier run of it left that was killed; gone once its result is kept.

    A temporary one where there is none, where it cannot be written here, and where another worker, which the scheduler
    has lost sight of, still runs the same task.
    """
    with ExitStack() as stack:
        yield _locked(task.kept, stack) or stack.enter_context(scratch_folder())


def _locked(folder: Path | None, stack: ExitStack) -> Path | None:
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        stack.callback(os.close, lock)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return None
    return folder


def name_of(function: TaskFunction) -> str:
    """`package.module:function`, by which a worker finds it.

    Raises:
        TypeError: it is no function at the top of a module that can be imported: a fault of the program.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    found = getattr(sys.modules.get(module or ""), name, None)
    if module == "__main__" or found is not function:
        raise TypeError(f"{function!r} is not at the top of a module that workers can import")
    return f"{module}:{name}"


def answer(request: Mapping[str, Any]) -> bytes:
    """Run a task and pack what it made, or the line that says why not.

    Args:
        request: `function`, `arguments`, `paths`, `seed`, `threads` (or None), `largest` (bytes of a product),
            `kept` (the task's own folder) and `version` (of pocketgan, where the request was written).
    """
    started = time.perf_counter()
    try:
        with _alone, console.quiet(), _threads(request["threads"]):
            product = _run(request)
        check_product(product, request["largest"])
        return pack(product, time.perf_counter() - started)
    # A task that ends its process politely is a failed task, and the worker goes on.
    except (Exception, SystemExit) as error:
        line = str(error) if isinstance(error, PocketganError) else f"{type(error).__name__}: {error}"
        trace = "".join(traceback.format_exception(error))
        return pack_error(one_line(line) or type(error).__name__, trace, time.perf_counter() - started)


def _run(request: Mapping[str, Any]) -> Product:
    if request["version"] != __version__:
        raise PocketganError(
            f"this worker has pocketgan {__version__}, and {request['version']} asks; install the same version on both"
        )
    paths = {name: Path(path) for name, path in request["paths"].items()}
    for path in paths.values():
        if not path.exists():
            raise PocketganError(f"the worker does not see {path}; paths must be the same for every worker")
    module, _, name = request["function"].partition(":")
    task = Task(request["arguments"], paths, Path(request["kept"]))
    product = getattr(importlib.import_module(module), name)(task, request["seed"])
    if not isinstance(product, Product):
        raise ReplyError(f"{request['function']} gave back {type(product).__name__}, not a Product")
    return product


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """`count` threads for PyTorch and those who are still to be loaded; None leaves them as they are."""
    if count is None:
        yield
        return
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else None
    variables = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(count)))
    if torch:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        for name, value in variables.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if torch:
            torch.set_num_threads(before)
