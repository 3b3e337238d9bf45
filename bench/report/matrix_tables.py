"""The matrix of models and devices as the page, a pull request and programs read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pocketgan.bench.report import labels
from pocketgan.bench.report.markdown import table
from pocketgan.bench.report.matrix import Matrix, Rate, Row
from pocketgan.bench.report.tables import NOTHING, Cell, Column, Table

_LINE = 14


def matrix_table(matrix: Matrix) -> Table:
    """For the page, which sorts it."""
    columns = [Column("Model", number=False), Column("Best", "FPS")]
    for column in matrix.columns:
        many = (labels.plural(column.devices, "device"),) if column.devices > 1 else ()
        columns.append(Column(column.name, ", ".join(_unbroken(("FPS", *column.facts, *many)))))
    rows = []
    for row in matrix.rows:
        best = matrix.best(row)
        cells = [
            NOTHING if rate is None else _cell(rate, is_best=place == best) for place, rate in enumerate(row.rates)
        ]
        rows.append((_head(row, matrix), _best_cell(matrix, row), *cells))
    return Table("Frame rate of every model on every device", tuple(columns), tuple(rows), sortable=True)


def matrix_markdown(matrix: Matrix) -> list[str]:
    """Its lines, a table with the spread in brackets."""
    heads = ["model", "entry", "best on", *(column.label for column in matrix.columns)]
    rows = []
    for row in matrix.rows:
        best = matrix.best(row)
        entry = f"{row.drawn}, {row.input}" + ("" if row.mode == "latency" else f", {row.mode}")
        rates = ("-" if rate is None else _text(rate) for rate in row.rates)
        rows.append((row.model, entry, "-" if best is None else matrix.columns[best].label, *rates))
    return table(heads, rows)


def matrix_payload(matrix: Matrix) -> dict[str, Any]:
    """For --json: `rates` of a row are in the order of `devices`, null where nothing was measured."""
    return {
        "devices": [
            {"name": one.name, "facts": list(one.facts), "devices": one.devices, "pinned_clock": one.pinned}
            for one in matrix.columns
        ],
        "rows": [
            {
                "bundle": row.model,
                "digest": row.digest,
                "entry": row.entry,
                "concept": row.concept,
                "mode": row.mode,
                "input": row.input,
                "best_on": matrix.best(row),
                "rates": [None if rate is None else _payload(rate) for rate in row.rates],
            }
            for row in matrix.rows
        ],
    }


def _payload(rate: Rate) -> dict[str, Any]:
    return {
        "fps": rate.fps,
        "spread": None if rate.fps is None else [rate.low, rate.high],
        "devices": rate.devices,
        "runs": rate.runs,
        "comparable": rate.sound,
        "notes": list(rate.notes),
    }


def _head(row: Row, matrix: Matrix) -> Cell:
    """The model; with its digest where another has its name."""
    namesakes = {other.digest for other in matrix.rows if other.model == row.model}
    notes = [row.entry, row.input, *([] if row.mode == "latency" else [row.mode])]
    notes += [row.digest[:8]] if len(namesakes) > 1 else []
    return Cell(" ".join(filter(None, (row.model, row.concept))), ", ".join(notes), role=row.role)


def _best_cell(matrix: Matrix, row: Row) -> Cell:
    best = matrix.best(row)
    rate = None if best is None else row.rates[best]
    if best is None or rate is None or rate.fps is None:
        return NOTHING
    return Cell(labels.fps(rate.fps), matrix.columns[best].label, rate.fps)


def _cell(rate: Rate, is_best: bool) -> Cell:
    if rate.fps is None:
        return Cell("error", ", ".join(rate.notes), bad=True)
    notes = ", ".join((_spread(rate), *rate.notes))
    return Cell(labels.fps(rate.fps), notes, rate.fps, bad=not rate.sound, best=is_best)


def _spread(rate: Rate) -> str:
    """`71 to 85, 3 devices`; the runs of a single device."""
    if rate.devices > 1:
        over = labels.plural(rate.devices, "device")
    elif rate.runs > 1:
        over = labels.plural(rate.runs, "run")
    else:
        return "one run"
    low, high = labels.fps(rate.low), labels.fps(rate.high)
    return ", ".join(_unbroken((low if low == high else f"{low} to {high}", over)))


def _unbroken(parts: Sequence[str]) -> list[str]:
    """Each on one line of a narrow cell, where it is short enough for that."""
    return [part.replace(" ", "\u00a0") if len(part) <= _LINE else part for part in parts]


def _text(rate: Rate) -> str:
    if rate.fps is None:
        return "error"
    notes = "" if not rate.notes else f"; {', '.join(rate.notes)}"
    return f"{labels.fps(rate.fps)} ({_spread(rate)}{notes})"
