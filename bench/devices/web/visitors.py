"""All phones that opened the page of one session."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pocketgan.bench.devices.web.facts import About
from pocketgan.bench.devices.web.request import RefusedError
from pocketgan.bench.devices.web.visitor import Visitor

_MOST = 64


class Bell:
    """Rung from any thread, heard in the server's loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()

    def belongs_to(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def ring(self) -> None:
        """Whoever waits now goes on."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._swap)

    async def wait(self, timeout_s: float) -> None:
        """Until it is rung, or so long."""
        try:
            await asyncio.wait_for(self._event.wait(), timeout_s)
        except TimeoutError:
            return

    def _swap(self) -> None:
        rung, self._event = self._event, asyncio.Event()
        rung.set()


class Visitors:
    """See above.

    Args:
        folder: for what they send.
        most: how many are measured; those that come later are told so.
    Attributes:
        arrivals: each one that has to be measured, once it asks for work.
    """

    def __init__(self, folder: Path, most: Callable[[], int]) -> None:
        self.bell = Bell()
        self.arrivals: queue.Queue[Visitor] = queue.Queue()
        self._folder, self._most = folder, most
        self._lock = threading.Lock()
        self._known: dict[str, Visitor] = {}
        self._measured: set[str] = set()

    def join(self, page: str, about: About, run: str, lines: bytes, crashed: str | None) -> dict[str, Any]:
        """A page was loaded, and what it is told; see Visitor.join. New phones are to be measured, and so are those
        that were given up.

        Raises:
            RefusedError: there are too many, or this one is not heard any more.
        """
        with self._lock:
            visitor = self._known.get(about.id)
            if visitor is None:
                if len(self._known) >= _MOST:
                    raise RefusedError(429, "this session has too many phones")
                visitor = Visitor(about, self._folder / f"{about.id}.jsonl", self.bell.ring)
                self._known[about.id] = visitor
            is_new = about.id not in self._measured
            if is_new and len(self._measured) >= self._most():
                visitor.say("over", "this session has all the phones that it waits for")
            elif is_new:
                self._measured.add(about.id)
                visitor.say("wait")
            try:
                told = visitor.join(page, about, run, lines, crashed)
            except RefusedError:
                # Who is refused takes no place of a phone that is not.
                self._measured.discard(about.id)
                raise
            if is_new and visitor.order == "wait":
                self.arrivals.put(visitor)
            return told

    def find(self, number: str) -> Visitor | None:
        """The phone of that number."""
        with self._lock:
            return self._known.get(number)

    def give_up(self, visitor: Visitor) -> None:
        """It is not measured any more, and may come back."""
        with self._lock:
            self._measured.discard(visitor.about.id)

    def everyone(self) -> list[Visitor]:
        """All who ever came."""
        with self._lock:
            return list(self._known.values())
