"""Decoding ahead: order, errors, overlap."""

import threading
import time

import pytest

from pocketgan.training.data.prefetch import prefetched


def test_items_come_in_order_whatever_takes_longest():
    def load(index):
        time.sleep(0.02 if index % 3 == 0 else 0)
        return index

    assert list(prefetched(load, 4, 20)) == list(range(4, 20))
    assert list(prefetched(load, 5, 5)) == []


def test_the_next_items_load_while_one_is_used():
    loaded = []

    def load(index):
        loaded.append(index)
        return index

    items = prefetched(load, 0, 100, ahead=3)
    assert next(items) == 0
    deadline = time.monotonic() + 5
    while len(loaded) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert loaded == [0, 1, 2, 3, 4]  # and no further than asked
    items.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def test_an_error_comes_at_its_turn():
    def load(index):
        if index == 2:
            raise ValueError("broken image")
        return index

    items = prefetched(load, 0, 10)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(ValueError, match="broken image"):
        next(items)
