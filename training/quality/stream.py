"""Decoding and resizing in threads, ahead of the network that takes the batches."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")
MOST_WORKERS = 16


def default_workers() -> int:
    """One thread per core, 16 at most. Pillow and numpy release the interpreter lock while they work on pixels."""
    return min(os.cpu_count() or 1, MOST_WORKERS)


def batches(
    items: Sequence[Item], prepare: Callable[[Item], Prepared], batch_size: int, workers: int | None = None
) -> Iterator[list[Prepared]]:
    """Lists of up to `batch_size` prepared items, in order; the next two batches are prepared meanwhile.

    An error of `prepare` is raised at its item's batch; what was not begun is dropped.
    """
    source = iter(items)
    pool = ThreadPoolExecutor(workers or default_workers(), thread_name_prefix="quality")
    try:
        ahead: deque[Future[Prepared]] = deque(pool.submit(prepare, item) for item in islice(source, 3 * batch_size))
        while ahead:
            batch = [ahead.popleft().result() for _ in range(min(batch_size, len(ahead)))]
            ahead.extend(pool.submit(prepare, item) for item in islice(source, len(batch)))
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)
