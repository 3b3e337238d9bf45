"""Text of strangers in Markdown: what results and manifests say stays text in a pull request.

Neither HTML nor a table's bar nor a link comes of it, and no mention of a person or an issue, which would be told.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# GitHub looks for mentions, issues and links in the finished page, where an escaped character is a plain one again; a
# space of no width behind it breaks them.
_NO_WIDTH = "&#8203;"
_ENTITIES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": f"@{_NO_WIDTH}", "#": f"#{_NO_WIDTH}", "|": "\\|"}
    | {mark: f"\\{mark}" for mark in "\\`*_~[]$"}
)


def escaped(text: str) -> str:
    """`text` on one line, as it is read."""
    plain = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
    found = plain.translate(_ENTITIES)
    return re.sub(r"(?i)\b(https?|ftp|mailto|www|gh)(?=[:.-])", rf"\1{_NO_WIDTH}", found)


def line(cells: Sequence[str]) -> str:
    """A row of a table."""
    return f"| {' | '.join(map(escaped, cells))} |"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    return [line(columns), line(["---"] * len(columns)), *map(line, rows)]
