"""What the user sees: results on standard output, progress and notes on standard error.

On a terminal and in a notebook long work shows a Rich bar; elsewhere (CI, a file) it prints a plain line now and then.
With `--json` standard output carries exactly one JSON object.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

PLAIN_INTERVAL_S = 10.0
_SHOWN_FAILURES = 10


@dataclass
class _State:
    json: bool = False
    quiet: bool = False
    emitted: bool = False


_state = _State()


def use_json(on: bool = True) -> None:
    """From now on standard output is one JSON object."""
    _state.json = on
    _state.emitted = False


def use_quiet(on: bool = True) -> None:
    """No notes and no progress: for the processes of a parallel run that are not the first."""
    _state.quiet = on


@contextmanager
def quiet() -> Iterator[None]:
    """No notes and no progress within: of one task among many, whose table is shown instead."""
    before = _state.quiet
    _state.quiet = True
    try:
        yield
    finally:
        _state.quiet = before


def note(text: str) -> None:
    """A line for people on standard error."""
    if not _state.quiet:
        print(text, file=sys.stderr, flush=True)


def result(payload: dict[str, Any], text: str) -> None:
    """What a command found: `payload` under --json, `text` otherwise, on standard output."""
    if _state.quiet:
        return
    if _state.json:
        if _state.emitted:
            raise RuntimeError("a command gives one result")
        _state.emitted = True
        print(json.dumps(payload, indent=2, allow_nan=False))
    elif text:
        print(text, flush=True)


def error(text: str) -> None:
    """The one line (or few) that tells the user what to do: an object under --json, standard error otherwise."""
    if _state.quiet:
        return
    if _state.json and not _state.emitted:
        _state.emitted = True
        print(json.dumps({"error": text}, indent=2))
    else:
        print(f"pocketgan: {text}", file=sys.stderr, flush=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A plain aligned table; columns whose cells are all numbers are right-aligned.

    On a terminal that is narrower, one cell a line, row after row.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max([len(name), *(len(row[i]) for row in cells)]) for i, name in enumerate(columns)]
    if sys.stdout.isatty() and sum(widths) + 2 * (len(widths) - 1) > shutil.get_terminal_size().columns:
        return _stacked(columns, cells)
    numeric = [bool(cells) and all(_is_number(row[i]) for row in cells) for i in range(len(columns))]

    def line(values: Sequence[str]) -> str:
        parts = [v.rjust(w) if right else v.ljust(w) for v, w, right in zip(values, widths, numeric, strict=True)]
        return "  ".join(parts).rstrip()

    return "\n".join([line(list(columns)), line(["-" * w for w in widths]), *(line(row) for row in cells)])


def _stacked(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    wide = max(map(len, columns))
    rows = [[f"{name:<{wide}}  {cell}".rstrip() for name, cell in zip(columns, row, strict=True)] for row in cells]
    return "\n\n".join("\n".join(row) for row in rows)


def _is_number(cell: str) -> bool:
    head = cell.split(" ")[0].rstrip("xMGKB%")
    try:
        float(head.replace(",", ""))
    except ValueError:
        return cell in {"", "-"}
    return True


@dataclass
class Progress:
    """Counts work that takes long; made by `progress`."""

    label: str
    total: int
    done: int = 0
    _started: float = field(default_factory=time.monotonic)
    _last_line: float = field(default_factory=time.monotonic)
    _bar: Any = None
    _task: Any = None

    def advance(self, count: int = 1, detail: str = "") -> None:
        """`count` more units are done; `detail` stands behind the bar."""
        self.done += count
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, detail=detail)
            return
        now = time.monotonic()
        if now - self._last_line >= PLAIN_INTERVAL_S:
            self._last_line = now
            note(f"{self.label}: {self.done}/{self.total} after {now - self._started:.0f} s  {detail}".rstrip())


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this, with the widgets that Rich draws its bars in."""
    return "ipykernel" in sys.modules and importlib.util.find_spec("ipywidgets") is not None


@contextmanager
def progress(label: str, total: int, done: int = 0) -> Iterator[Progress]:
    """Show work of `total` units, `done` of which were finished earlier."""
    state = Progress(label, total, done)
    if _state.quiet or not (sys.stderr.isatty() or _in_notebook()):
        yield state
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}"),
    )
    with RichProgress(*columns, console=Console(stderr=True), transient=sys.stderr.isatty()) as bar:
        state._bar = bar
        state._task = bar.add_task(label, total=total, completed=done, detail="")
        yield state
        bar.refresh()


@dataclass
class TaskTable:
    """Which tasks of many run and which failed; made by `task_table`."""

    label: str
    total: int
    done: int = 0
    running: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    _started: float = field(default_factory=time.monotonic)
    _last_line: float = field(default_factory=time.monotonic)
    _live: Any = None

    def start(self, name: str) -> None:
        """A task begins, or waits for the next free worker."""
        self.running[name] = time.monotonic()

    def end(self, name: str, error: str = "") -> None:
        """A task is done, or failed for the reason that the line `error` says."""
        self.running.pop(name, None)
        if error:
            self.failures[name] = error
            if self._live is None:
                note(f"{self.label}: {name} failed: {error}")
        else:
            self.done += 1
        self.tick()

    def tick(self) -> None:
        """Show how it stands, if it is time to."""
        if self._live is None and time.monotonic() - self._last_line >= PLAIN_INTERVAL_S:
            self._last_line = time.monotonic()
            note(f"{self.summary()} after {self._last_line - self._started:.0f} s")

    def summary(self) -> str:
        """How it stands, in one line."""
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"{self.label}: {self.done}/{self.total} done{failed}"

    def __rich__(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        shown = Table(title=Text(self.summary()), title_justify="left", box=None, pad_edge=False)
        for column in (self.label, "state", "seconds"):
            shown.add_column(column, justify="right" if column == "seconds" else "left")
        # Text, never markup: names and errors may hold brackets.
        hidden = len(self.failures) - _SHOWN_FAILURES
        for name, error in list(self.failures.items())[-_SHOWN_FAILURES:]:
            shown.add_row(Text(name), Text(f"failed: {error}"), "")
        if hidden > 0:
            shown.add_row(Text(f"and {hidden} before"), "failed", "")
        for name, since in self.running.items():
            shown.add_row(Text(name), "runs", f"{time.monotonic() - since:.0f}")
        return shown


@contextmanager
def task_table(label: str, total: int, done: int = 0) -> Iterator[TaskTable]:
    """Show `total` tasks, `done` of which were finished earlier; the failures, and a summary, stay on the screen."""
    state = TaskTable(label, total, done)
    if _state.quiet or not (sys.stderr.isatty() or _in_notebook()):
        yield state
        return
    from rich.console import Console
    from rich.live import Live

    with Live(state, console=Console(stderr=True), refresh_per_second=2, transient=sys.stderr.isatty()) as live:
        state._live = live
        yield state
    for name, error in state.failures.items():
        note(f"{label}: {name} failed: {error}")
    note(state.summary())
