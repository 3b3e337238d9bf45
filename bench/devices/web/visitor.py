"""One phone that opened the page: what it is asked, what it has answered, when it was heard. The server's loop and the
thread that measures on this phone share it."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from pocketgan.bench.devices.incoming import plain
from pocketgan.bench.devices.web.budget import LEFT_BEHIND, Budget
from pocketgan.bench.devices.web.facts import About
from pocketgan.bench.devices.web.request import RefusedError
from pocketgan.bench.schema.session import Session

Order = Literal["wait", "measure", "stop", "over"]

# Bytes that lie there for the host at a time, beside the line that comes: it looks for them five times a second.
_MOST_UNREAD = 1 << 20
_LONGEST_JOIN = 1 << 14
_MOST_BEATS, LONGEST_BEAT = 20_000, 512
# Requests: so many at once, then so many a second.
_BURST, _PER_S = 60.0, 20.0


class Visitor:
    """See above. Every method may be called from any thread.

    Args:
        mailbox: file for what it sends.
        wake: called when there is something new for the page.
    Attributes:
        about: what it says of itself.
    """

    def __init__(
        self, about: About, mailbox: Path, wake: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.about = about
        self._mailbox, self._wake, self._clock = mailbox, wake, clock
        self._lock = threading.RLock()
        self._page = ""
        self._order: Order = "wait"
        self._told: Order = "wait"
        self._words = ""
        self._run = ""
        self._session: dict[str, Any] | None = None
        self._held = self._bytes = self._beats = 0
        self._written = self._looked_at = 0
        self._budget = LEFT_BEHIND
        self._died: str | None = None
        self._refused: str | None = None
        self._heard_at = clock()
        self._tokens, self._tokens_at = _BURST, clock()
        self._mailbox.write_bytes(b"")

    # What the page does.

    def join(self, page: str, about: About, run: str, lines: bytes, crashed: str | None) -> dict[str, Any]:
        """A page was loaded; earlier ones of this phone count no more.

        Args:
            run: that it has lines of, which it kept. crashed: what it was at, where it died meanwhile.
        Returns:
            What there is to do; see `work`.
        Raises:
            RefusedError: it is not heard any more.
        """
        with self._lock:
            if self._refused is not None:
                raise RefusedError(403, self._refused)
            self.about, self._page = about, page
            self._heard_at = self._clock()
            if run and run == self._run:
                self._append(lines, 0)
                if crashed is not None and self._order == "measure":
                    self._died = plain(crashed) or "the page died"
            elif not self._run and self._order == "wait":
                self._clear()
                self._append(lines, 0)
            return self.work()

    def work(self) -> dict[str, Any]:
        """What there is to do."""
        with self._lock:
            self._told = self._order
            told: dict[str, Any] = {"state": self._order, "run": self._run, "have": self._held, "words": self._words}
            if self._order == "measure" and self._session is not None:
                told |= self._session
            return told

    def lines(self, page: str, run: str, first: int, data: bytes) -> dict[str, Any]:
        """Lines of results.jsonl, the first of which is number `first`; those that are here already count once.

        Raises:
            RefusedError: it is another tab's turn, the lines are of another run, more than was asked for, or more than
                the host has read.
        """
        with self._lock:
            self._hear(page)
            if self._written - self._looked_at > _MOST_UNREAD:
                raise RefusedError(429, "too much is sent at once: wait a little")
            if run and run == self._run:
                self._append(data, first)
            return self._brief()

    def beat(self, page: str, run: str, line: bytes) -> dict[str, Any]:
        """A sign of life; of one without a line nobody hears but this."""
        with self._lock:
            self._hear(page)
            if line and run == self._run and self._beats < _MOST_BEATS:
                if len(line) > LONGEST_BEAT or b"\n" in line:
                    raise RefusedError(413, "a beat is one short line")
                self._beats += 1
                self._write(line + b"\n")
            return self._brief()

    def heard(self, page: str, *, counts: bool = True) -> None:
        """A question for work; `counts` where it is a new one.

        Raises:
            RefusedError: it is another tab's turn, or there are too many.
        """
        with self._lock:
            self._hear(page, counts=counts)

    def longest_body(self, length: int) -> int:
        """Bytes of lines that it may send at once.

        Raises:
            RefusedError: so many are more than it may send in all.
        """
        with self._lock:
            left = max(0, self._budget.total_bytes - self._bytes)
            if length > left:
                self.refuse(f"{length:,} bytes, {left:,} were left")
            return min(left, self._budget.longest_body)

    # What the host does.

    @property
    def silent_s(self) -> float:
        """Since when nothing was heard of it."""
        with self._lock:
            return self._clock() - self._heard_at

    @property
    def refused(self) -> str | None:
        """Why it is not heard any more."""
        with self._lock:
            return self._refused

    @property
    def died(self) -> str | None:
        """What it was at when it crashed; None where it did not since the run began."""
        with self._lock:
            return self._died

    @property
    def knows(self) -> bool:
        """Whether its page was told what it is to do."""
        with self._lock:
            return self._told == self._order

    @property
    def order(self) -> Order:
        with self._lock:
            return self._order

    def hand_over(self, session: Session, files: Mapping[str, Mapping[str, Any]]) -> None:
        """What is to be measured next, and the SHA-256 and bytes of each file of its bundles."""
        with self._lock:
            self._session = {"session": session.model_dump(mode="json"), "files": files}
            jobs = [job for group in session.groups for job in group.jobs]
            self._budget = Budget.of(jobs)

    def begin(self) -> None:
        """Measure what was handed over."""
        with self._lock:
            self._clear()
            self._run, self._order, self._died = secrets.token_hex(8), "measure", None
        self._wake()

    def stop(self) -> None:
        """Measure no more."""
        with self._lock:
            if self._order == "measure":
                self._order = "stop"
        self._wake()

    def say(self, order: Order, words: str = "") -> None:
        """Wait for more, or be told why it is over."""
        with self._lock:
            self._order, self._words = order, words
            self._run, self._session = "", None
        self._wake()

    def read(self, offset: int) -> bytes:
        """What it sent, from that byte on."""
        with self._mailbox.open("rb") as file:
            file.seek(offset)
            data = file.read()
        with self._lock:
            self._looked_at = max(self._looked_at, offset + len(data))
        return data

    def last(self, count: int) -> bytes:
        """The last bytes that it sent, so many."""
        with self._lock, self._mailbox.open("rb") as file:
            file.seek(max(0, self._written - count))
            return file.read()

    @property
    def has_sent(self) -> bool:
        """Whether there is anything to read."""
        return self._mailbox.stat().st_size > 0

    def clear(self) -> None:
        """Forget what it sent."""
        with self._lock:
            self._clear()

    def _brief(self) -> dict[str, Any]:
        return {"state": self._order, "run": self._run, "have": self._held}

    def _hear(self, page: str, *, counts: bool = True) -> None:
        now = self._clock()
        if self._refused is not None:
            raise RefusedError(403, self._refused)
        if page != self._page:
            raise RefusedError(409, "another tab of this browser measures")
        if counts:
            self._tokens = min(_BURST, self._tokens + (now - self._tokens_at) * _PER_S)
            self._tokens_at = now
            if self._tokens < 1:
                raise RefusedError(429, "too many requests: wait a little")
            self._tokens -= 1
        self._heard_at = now

    def _append(self, data: bytes, first: int) -> None:
        # Nobody knows of which Jobs a page of yesterday has lines.
        budget = self._budget if self._run else LEFT_BEHIND
        # Counted before they are taken apart: a line of one byte would take thirty times as many.
        lines = data.count(b"\n")
        if first + lines > budget.lines:
            self.refuse(f"{first + lines:,} lines, {budget.lines:,} at most")
        *whole, half = data.split(b"\n")
        if half or first > self._held:
            raise RefusedError(400, "lines are whole, and none is left out")
        new = [line for line in whole[self._held - first :] if line]
        size = sum(len(line) + 1 for line in new)
        if self._bytes + size > budget.total_bytes:
            self.refuse(f"{self._bytes + size:,} bytes, {budget.total_bytes:,} at most")
        for excess in filter(None, map(budget.excess, new)):
            self.refuse(excess)
        self._held += len(new)
        self._bytes += size
        self._write(b"".join(line + b"\n" for line in new))

    def refuse(self, what: str) -> None:
        """Hear it no more; what it sent before counts.

        Args:
            what: that it sent too much of.
        Raises:
            RefusedError: always.
        """
        with self._lock:
            self._refused = f"it sent more than was asked for: {what}"
        raise RefusedError(413, self._refused)

    def _write(self, data: bytes) -> None:
        with self._mailbox.open("ab") as file:
            file.write(data)
        self._written += len(data)

    def _clear(self) -> None:
        self._held = self._bytes = self._beats = 0
        self._written = self._looked_at = 0
        self._mailbox.write_bytes(b"")


def joining(body: bytes) -> tuple[str, About, str, bytes, str | None]:
    """The parts of a page's first request: a line with its number, what it is, and of which run it has lines; then
    those. The line is short, so that reading it as JSON takes no more memory than the body.

    Raises:
        RefusedError: it is none.
    """
    head, _, lines = body.partition(b"\n")
    try:
        value: Any = json.loads(head) if len(head) <= _LONGEST_JOIN else None
        about = About.model_validate(value["about"], strict=True)
        page, run, crashed = value["page"], value["run"], value["crashed"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RefusedError(400, "this is no page of pocketgan's") from None
    texts = [page, run, *([] if crashed is None else [crashed])]
    if not all(isinstance(text, str) for text in texts) or not 0 < len(page) <= 64 or len(run) > 64:
        raise RefusedError(400, "this is no page of pocketgan's")
    return page, about, run, lines, crashed
