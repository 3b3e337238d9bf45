"""What every test leaves behind, a console that speaks plainly, and what all share: workers that export."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from pocketgan import console
from pocketgan.errors import PocketganError
from pocketgan.export import pool


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two processes take whole files in this order: those with slow tests first, so that no core waits for one of them
    at the end."""
    tests = Counter(item.path for item in items)
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (-slow[item.path], -tests[item.path]))


@pytest.fixture(autouse=True)
def plain_console() -> Iterator[None]:
    yield
    console.use_json(False)
    console.use_quiet(False)


@pytest.fixture(scope="session", autouse=True)
def kept_workers() -> Iterator[None]:
    """The tests of a process share their export workers, each of which imports torch and the exporters for 10 s.

    A worker imports a module of a user's once, so that modules of several tests have several names.
    """
    kept: list[pool._Worker] = []
    start, end = pool.Pool.__init__, pool.Pool.__exit__

    def started(self: pool.Pool, count: int, command: Sequence[str] = pool.COMMAND) -> None:
        if command is not pool.COMMAND:
            return start(self, count, command)
        wanted = 1 if "PYTEST_XDIST_WORKER" in os.environ else count  # another process of tests has the other core
        taken = [kept.pop() for _ in range(min(wanted, len(kept)))]
        start(self, wanted - len(taken))
        self._workers += taken
        return None

    def ended(self: pool.Pool, kind: type[BaseException] | None, *about: Any) -> None:
        # One that answered with an error waits for more; of several, the others may be at work still.
        idle = kind is None or (len(self._workers) == 1 and issubclass(kind, PocketganError))
        sound = [one for one in self._workers if one._process.args is pool.COMMAND and one._process.poll() is None]
        if idle and len(sound) == len(self._workers):
            kept.extend(sound)
        else:
            end(self, kind, *about)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool.Pool, "__init__", started)
        patch.setattr(pool.Pool, "__exit__", ended)
        yield
    for worker in kept:
        worker.kill()
