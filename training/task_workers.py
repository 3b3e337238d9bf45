"""Who runs tasks: this process, or the workers of a Dask scheduler."""

from __future__ import annotations

import itertools
import os
import queue
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from pocketgan.errors import PocketganError
from pocketgan.training.task_replies import pack_error
from pocketgan.training.task_work import answer

WORKERLESS_S = 60.0


class Workers(Protocol):
    """Runs requests and gives back the replies, in whatever order they come."""

    def slots(self) -> int:
        """How many tasks it runs at once; 0 where it has nobody now."""

    def submit(self, name: str, request: Mapping[str, Any]) -> None:
        """Have a task run."""

    def reply(self, timeout_s: float) -> tuple[str, object] | None:
        """The next task that ended, and what came back; None if none did in that time."""

    def drop(self) -> None:
        """Forget what was submitted and has not come back."""


class InProcess:
    """Runs tasks in this process, one after the other, without Dask."""

    def __init__(self) -> None:
        self._waiting: list[tuple[str, Mapping[str, Any]]] = []

    def slots(self) -> int:
        return 1

    def submit(self, name: str, request: Mapping[str, Any]) -> None:
        self._waiting.append((name, request))

    def reply(self, timeout_s: float) -> tuple[str, object] | None:
        if not self._waiting:
            return None
        name, request = self._waiting.pop(0)
        return name, answer(request)

    def drop(self) -> None:
        self._waiting.clear()


class DaskWorkers:
    """Runs tasks on the workers of a Dask scheduler.

    Attributes:
        where: names the cluster to the user.
    """

    def __init__(self, client: Any, where: str) -> None:
        self._client = client
        self._where = where
        self._ended: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._futures: dict[str, Any] = {}
        self._there: set[str] = set()
        self._places: dict[str, str] = {}
        self._count = itertools.count()
        self._alone_since: float | None = None

    def slots(self) -> int:
        """Workers that there are now.

        Raises:
            PocketganError: there has been none for a minute, or the scheduler is gone.
        """
        with self._scheduler_there():
            self._there = set(self._client.nthreads())
        count = len(self._there)
        now = time.monotonic()
        self._alone_since = None if count else self._alone_since or now
        if self._alone_since is not None and now - self._alone_since > WORKERLESS_S:
            raise PocketganError(
                f"{self._where} has had no worker for {WORKERLESS_S:.0f} s; finished tasks are kept: start workers, "
                "and run the same command again"
            )
        return count

    def submit(self, name: str, request: Mapping[str, Any]) -> None:
        # A key of its own: Dask gives what it knows of an earlier task where the key is the same.
        key = f"pocketgan-{os.getpid()}-{next(self._count)}-{name}"
        # To a worker whose last result is here: where the next task kills it, no finished one is lost with it. Another
        # worker takes the task if this one goes.
        free = sorted(self._there - set(self._places.values()))[:1]
        # Dask forgets to run what was meant for a worker that was the last to die.
        if len(self._there) < 2:
            free = []
        if free:
            self._places[name] = free[0]
        with self._scheduler_there():
            future = self._client.submit(
                answer, dict(request), key=key, pure=False, workers=free or None, allow_other_workers=bool(free)
            )
        ended = self._ended
        self._futures[name] = future
        future.add_done_callback(lambda done: ended.put((name, done)))

    def reply(self, timeout_s: float) -> tuple[str, object] | None:
        try:
            name, future = self._ended.get(timeout=timeout_s)
        except queue.Empty:
            return None
        self._futures.pop(name, None)
        self._places.pop(name, None)
        if future.status in ("cancelled", "lost"):
            raise self._lost()
        from distributed.scheduler import KilledWorker

        try:
            return name, future.result(timeout=WORKERLESS_S)
        except KilledWorker as error:
            tries = error.allowed_failures + 1
            line = (
                f"its worker died, {tries} times in all (killed, or out of memory?); run the same command to try again"
            )
            return name, pack_error(line, "", 0.0)
        except Exception as error:  # what a worker without pocketgan says, for one
            if self._client.status != "running":
                raise self._lost() from error
            return name, pack_error(f"a worker could not run it: {type(error).__name__}: {error}", "", 0.0)

    def drop(self) -> None:
        # What still comes back lands in the old queue.
        self._ended = queue.SimpleQueue()
        self._futures.clear()
        self._places.clear()

    @contextmanager
    def _scheduler_there(self) -> Iterator[None]:
        try:
            yield
        # Dask raises its own kinds, and asyncio's, where a connection breaks.
        except Exception as error:
            raise self._lost() from error

    def _lost(self) -> PocketganError:
        return PocketganError(f"{self._where} was lost; finished tasks are kept: run the same command again")
