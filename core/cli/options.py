"""Options that several commands share, so that they read and behave the same everywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object on standard output.")]
OutFolder = Annotated[Path, typer.Option("--out", help="Folder to write; it appears whole or not at all.")]
OutFile = Annotated[Path, typer.Option("--out", help="File to write; it appears whole or not at all.")]
EntryId = Annotated[str | None, typer.Option("--entry", help="One entry only, such as onnx-fp32.")]
StoreAt = Annotated[
    str,
    typer.Option(
        "--store", envvar="POCKETGAN_STORE", help="SQLite file, or a database's URL such as postgresql://host/name."
    ),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe's field: teacher.steps=50.")
]


def parse_share(text: str, option: str) -> float:
    """`3%` -> 0.03.

    Raises:
        ResultsError: it is no percentage; names the option.
    """
    from pocketgan.errors import ResultsError

    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text.strip())
    if match is None:
        raise ResultsError(f"{option} is a percentage such as 3%, not {text!r}")
    return float(match[1]) / 100
