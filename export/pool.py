"""The host's end of the export workers: starts them, hands out tasks, and says which task a dead one was at.

Workers are started as modules of their own, not by multiprocessing, so that a caller's `__main__` is never imported
again; each imports torch and the exporters once (10 s or more) and serves many tasks.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import IO

import psutil

from pocketgan import errors
from pocketgan.errors import ExportError, MissingExtraError, ParityError, PocketganError
from pocketgan.export.exchange import Answer, Task
from pocketgan.export.worker import run_task
from pocketgan.scratch import scratch_folder

# Peak of a worker that has imported all exporters and lowers a full-size generator: 1.3 GB measured.
WORKER_BYTES = 1_500_000_000
COMMAND = (sys.executable, "-P", "-m", "pocketgan.export.worker")
STDERR_BYTES = 4096
# Errors of one task, which say nothing of the others.
OF_ITS_TASK = (ExportError, ParityError)
OnFailed = Callable[[int, PocketganError], None]
# Told of a part of the task of that index that is done.
OnTaskStep = Callable[[int, str], None]
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def worker_count(asked: int, tasks: int) -> int:
    """How many workers to start: at most `asked`, one a task, one a core, and what fits into the free memory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    fitting = psutil.virtual_memory().available // WORKER_BYTES
    return max(1, min(asked, tasks, cores, fitting))


class Pool:
    """`count` workers; use it in a `with` statement, at whose end they are gone."""

    def __init__(self, count: int, command: Sequence[str] = COMMAND) -> None:
        self._workers = [_Worker(command) for _ in range(count)]

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.kill()

    def run(
        self,
        tasks: Sequence[tuple[str, Task]],
        on_done: Callable[[int, Answer], None],
        on_failed: OnFailed | None = None,
        on_step: OnTaskStep = lambda index, step: None,
    ) -> None:
        """Carry out tasks, each with a name for people; `on_done(index, answer)` is called here as answers come.

        Args:
            on_failed: `on_failed(index, error)` is called for a task that cannot be carried out or whose worker died,
                and the others go on; the first such error is raised where None.
            on_step: `on_step(index, step)` is called here as parts of a task are done.
        Raises:
            PocketganError: the first that concerns more than its task, such as a full disk; tasks that have not started
                then never do.
            ExportError: a worker died; names its task.
            RuntimeError: a defect in a worker, with its traceback.
        """
        waiting: queue.SimpleQueue[tuple[int, str, Task] | None] = queue.SimpleQueue()
        for index, (name, task) in enumerate(tasks):
            waiting.put((index, name, task))
        answers: queue.SimpleQueue[tuple[int, str, Answer]] = queue.SimpleQueue()
        for worker in self._workers:
            waiting.put(None)
            arguments = (waiting, answers, on_failed is not None)
            threading.Thread(target=worker.serve, args=arguments, daemon=True).start()
        left = len(tasks)
        while left:
            index, name, answer = answers.get()
            if "step" in answer:
                on_step(index, answer["step"])
                continue
            left -= 1
            if "error" not in answer:
                on_done(index, answer)
                continue
            if on_failed is None or not isinstance(error := _exception(answer), OF_ITS_TASK):
                raise _exception(answer, name)
            on_failed(index, error)


class ThisProcess:
    """Carries out tasks here, for models that no other process can load."""

    def __enter__(self) -> ThisProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing was started."""

    def run(
        self,
        tasks: Sequence[tuple[str, Task]],
        on_done: Callable[[int, Answer], None],
        on_failed: OnFailed | None = None,
        on_step: OnTaskStep = lambda index, step: None,
    ) -> None:
        """As a Pool's, one after the other."""
        for index, (name, task) in enumerate(tasks):
            try:
                answer = run_task(task, partial(on_step, index))
            except MissingExtraError:
                raise
            except PocketganError as error:
                if on_failed is None or not isinstance(error, OF_ITS_TASK):
                    raise type(error)(f"{name}: {error}") from error
                on_failed(index, error)
            else:
                on_done(index, answer)


class _Worker:
    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed in kill)
        self._folders = contextlib.ExitStack()
        # What the exporters leave in the temporary folder, and clean up as a process ends in peace, goes with it.
        self._folder = str(self._folders.enter_context(scratch_folder()))
        self._lock = threading.Lock()  # of the process and of whether it is wanted
        self._wanted = True
        self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **_ONE_THREAD, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), self._folder)},
            start_new_session=True,  # Ctrl-C is the parent's business
        )

    def serve(
        self,
        waiting: queue.SimpleQueue[tuple[int, str, Task] | None],
        answers: queue.SimpleQueue[tuple[int, str, Answer]],
        go_on: bool,
    ) -> None:
        """Carry out waiting tasks until there are none, or until one fails where `go_on` is False."""
        while (item := waiting.get()) is not None:
            index, name, task = item
            for answer in self._asked(task):
                answers.put((index, name, answer))
                if "error" in answer and not go_on:
                    return

    def _asked(self, task: Task) -> Iterator[Answer]:
        """Its steps, then the answer."""
        with self._lock:
            wanted = self._wanted
            if wanted and self._process.poll() is not None:  # the task before was its end
                self._close()
                self._process = self._started()
        if not wanted:
            yield {"error": "was stopped", "kind": "death"}
            return
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(task).encode() + b"\n")
            self._process.stdin.flush()
            while line := self._process.stdout.readline():
                answer: Answer = json.loads(line)
                yield answer
                if "step" not in answer:
                    return
        except (OSError, ValueError):
            pass
        yield {"error": self._death(), "kind": "death"}

    def _death(self) -> str:
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return "closed its output"
        if code == -signal.SIGKILL:
            return "was killed (out of memory? --workers 1 needs less)"
        if code < 0:
            return f"died of signal {-code}{self._last_line()}"
        return f"ended with exit code {code}{self._last_line()}"

    def _last_line(self) -> str:
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - STDERR_BYTES))
        lines = [line.strip() for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        return f": {lines[-1]}" if lines else ""

    def kill(self) -> None:
        """End the process and wait for it."""
        with self._lock:
            self._wanted = False
            self._process.kill()
            self._process.wait()
            self._close()
            self._errors.close()

    def _close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._folders.close()


def _exception(answer: Answer, name: str | None = None) -> Exception:
    """What the answer tells, of the task of that name where it is given."""
    text, kind = answer["error"], answer["kind"]
    if kind == "death":
        return ExportError(f"the process that worked on {name or 'it'} {text}")
    if kind == "defect":
        return RuntimeError(f"a defect of pocketgan while it worked on {name}:\n{text}")
    raised = getattr(errors, kind, None)
    if isinstance(raised, type) and issubclass(raised, PocketganError) and raised is not errors.MissingExtraError:
        return raised(f"{name}: {text}" if name else text)
    return ExportError(f"{name}: {text}" if name else text)
