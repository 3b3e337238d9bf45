"""What an analysis leaves beside its arms: `table.json`, `table.md`, and `sheet.png` with the arms' pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan.analysis.comparison import Comparison
from pocketgan.files import write_atomic
from pocketgan.pairs.sheet import BLACK, write_tiles

if TYPE_CHECKING:
    from collections.abc import Callable

SIDE = 128
# Of a table: the title, and a row's cell.
Column = tuple[str, "Callable[[Mapping[str, Any]], str]"]
UNFINISHED = "not finished"


def write_tables(
    out: Path,
    title: str,
    comparison: Comparison,
    names: Sequence[str],
    columns: Sequence[Column],
    *,
    beside: str,
    more: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Write all three of the arms of those names, finished or not; what `table.json` holds.

    Args:
        beside: the arm that the others are compared with: `against` of a row is its metric over that arm's.
        more: what else is known of an arm, by its name.
    Raises:
        StorageError: the disk is full.
    """
    found = {name: comparison.arms.result(name) for name in names}
    metric, measure = comparison.facts["metric"], found.get(beside)
    rows = [
        {
            "arm": name,
            **result,
            "against": result[metric] / measure[metric] if measure and measure[metric] else None,
            **(more or {}).get(name, {}),
        }
        for name, result in found.items()
        if result is not None
    ]
    table = {
        **comparison.facts,
        "rows": rows,
        "unfinished": [name for name, result in found.items() if result is None],
    }
    write_atomic(out / "table.json", json.dumps(table, indent=1) + "\n")
    write_atomic(out / "table.md", markdown(title, table, names, columns))
    pictures = comparison.samples() | {row["arm"]: comparison.arms.pictures(row["arm"]) for row in rows}
    tiles = [
        [(column[index], name if index == 0 else "", BLACK) for name, column in pictures.items()]
        for index in range(min(map(len, pictures.values())))
    ]
    write_tiles(tiles, out / "sheet.png", SIDE)
    return table


def cells(table: Mapping[str, Any], names: Sequence[str], columns: Sequence[Column]) -> list[list[str]]:
    """A row an arm, its name first; arms that are not finished say so."""
    by_name = {row["arm"]: row for row in table["rows"]}
    blank = [UNFINISHED, *[""] * (len(columns) - 1)]
    return [[name, *([cell(by_name[name]) for _, cell in columns] if name in by_name else blank)] for name in names]


def markdown(title: str, table: Mapping[str, Any], names: Sequence[str], columns: Sequence[Column]) -> str:
    images, (height, width) = table["images"], table["size"]
    heads = ["", *(head for head, _ in columns)]
    lines = [
        f"# {title}",
        "",
        f"{table['concept']!r}: {table['steps']} steps of {table['batch_size']} at {height}x{width} on "
        f"{images['trained']} pairs, judged on {images['kept']} kept back; seed {table['seed']}.",
        "",
        f"| {' | '.join(heads)} |",
        f"|{'---|' * len(heads)}",
        *(f"| {' | '.join(row)} |" for row in cells(table, names, columns)),
    ]
    return "\n".join(lines) + "\n"


def quality_columns(metric: str, beside: str) -> list[Column]:
    """The metric, also as a multiple of that of the arm `beside`, and L1 where that is another one."""
    told = {"lpips": "LPIPS", "l1": "L1"}
    others = [] if metric == "l1" else [("L1", number("l1"))]
    return [(told[metric], number(metric)), (f"times that of {beside}", number("against", 3)), *others]


def number(key: str, digits: int = 4) -> Callable[[Mapping[str, Any]], str]:
    """A cell of that value; empty where the arm has none."""
    return lambda row: "" if row.get(key) is None else f"{row[key]:.{digits}f}"


def millions(key: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: "" if row.get(key) is None else f"{row[key] / 1e6:.3f} M"
