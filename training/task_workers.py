"""Who runs tasks: this process, or the workers of a Dask scheduler."""

from __future__ import annotations

import itertools
import os
import queue
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from pocketgan.errors import PocketganError
from pocketgan.training.task_replies import pack_error
from pocketgan.training.task_work import answer

# Workers of ours start again by themselves, on a busy computer in a minute or two.
WORKERLESS_S = 180.0


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


@dataclass(frozen=True)
class _Died:
    """In the place of a reply: the task's workers died."""

    tries: int

    @property
    def line(self) -> str:
        return (
            f"its worker died, {self.tries} times in all (killed, or out of memory?); run the same command to try again"
        )


class DaskWorkers:
    """Runs tasks on the workers of a Dask scheduler.

    Args:
        where: names the cluster to the user.
        retries: how often a task is given to others that Dask itself leaves waiting.
    """

    def __init__(self, client: Any, where: str, retries: int) -> None:
        self._client = client
        self._where = where
        self._retries = retries
        self._ended: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._futures: dict[str, Any] = {}
        self._requests: dict[str, dict[str, Any]] = {}
        self._there: set[str] = set()
        self._places: dict[str, str] = {}
        self._left: set[str] = set()
        self._given_again: Counter[str] = Counter()
        self._count = itertools.count()
        self._alone_since: float | None = None

    def slots(self) -> int:
        """Workers that there are now.

        Raises:
            PocketganError: there has been none for three minutes, or the scheduler is gone.
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
        self._give_to_others()
        return count

    def _give_to_others(self) -> None:
        """Submit again what waits for workers that are gone.

        Where several die at one moment, Dask moves their tasks to one that is about to go, too, and then leaves them to
        workers of the old addresses, which never come back.
        """
        placed = {name for name, place in self._places.items() if place not in self._there}
        if not placed:
            self._left.clear()
            return
        with self._scheduler_there():
            at = {key: worker for worker, keys in self._client.processing().items() for key in keys}
        waiting = set()
        for name in placed:
            future = self._futures[name]
            if future.key in at:
                self._places[name] = at[future.key]
            elif not future.done():
                waiting.add(name)
        # What ended has perhaps not been told yet: a task that waits does so the next time, too.
        for name in sorted(waiting & self._left):
            waiting.discard(name)
            future = self._futures.pop(name)
            with self._scheduler_there():
                future.cancel()
            del self._places[name]
            self._given_again[name] += 1
            if self._given_again[name] > self._retries:
                self._ended.put((name, _Died(self._given_again[name])))
            else:
                self.submit(name, self._requests[name])
        self._left = waiting

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
        self._requests[name] = dict(request)
        future.add_done_callback(lambda done: ended.put((name, done)))

    def reply(self, timeout_s: float) -> tuple[str, object] | None:
        try:
            name, future = self._ended.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(future, _Died):
            self._forget(name)
            return name, pack_error(future.line, "", 0.0)
        current = self._futures.get(name)
        if current is None or current is not future:  # it was given to others since
            return None
        self._forget(name)
        if future.status in ("cancelled", "lost"):
            raise self._lost()
        from distributed.scheduler import KilledWorker

        try:
            return name, future.result(timeout=WORKERLESS_S)
        except KilledWorker as error:
            return name, pack_error(_Died(error.allowed_failures + 1).line, "", 0.0)
        except Exception as error:  # what a worker without pocketgan says, for one
            if self._client.status != "running":
                raise self._lost() from error
            return name, pack_error(f"a worker could not run it: {type(error).__name__}: {error}", "", 0.0)

    def drop(self) -> None:
        # What still comes back lands in the old queue.
        self._ended = queue.SimpleQueue()
        for known in (self._futures, self._requests, self._places, self._left, self._given_again):
            known.clear()

    def _forget(self, name: str) -> None:
        for known in (self._futures, self._requests, self._places, self._given_again):
            known.pop(name, None)
        self._left.discard(name)

    @contextmanager
    def _scheduler_there(self) -> Iterator[None]:
        try:
            yield
        # Dask raises its own kinds, and asyncio's, where a connection breaks.
        except Exception as error:
            raise self._lost() from error

    def _lost(self) -> PocketganError:
        return PocketganError(f"{self._where} was lost; finished tasks are kept: run the same command again")
