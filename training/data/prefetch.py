"""Decoding the next batches while the present one trains."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")

AHEAD = 4  # batches decoded before they are needed
THREADS = 2  # Pillow decodes and resizes outside the interpreter's lock


def prefetched(load: Callable[[int], Item], start: int, stop: int, ahead: int = AHEAD) -> Generator[Item, None, None]:
    """`load(start)`, ..., `load(stop - 1)`, in that order, each loaded by a thread up to `ahead` items early.

    What `load` raises is raised here when its turn comes. Closing the iterator waits for what is being loaded and
    drops the rest.
    """
    waiting: deque[Future[Item]] = deque()
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="prefetch")
    try:
        upcoming = iter(range(start, stop))
        for index in upcoming:
            waiting.append(pool.submit(load, index))
            if len(waiting) > ahead:
                break
        while waiting:
            item = waiting.popleft().result()
            for index in upcoming:
                waiting.append(pool.submit(load, index))
                break
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
