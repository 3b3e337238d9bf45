"""Options of the commands that learn a concept from pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Coreset = Annotated[
    Path | None,
    typer.Option(
        "--coreset",
        metavar="FILE",
        help="Train on these pictures alone: what `pocketgan coreset` wrote, or one name a line.",
        show_default="all of --data",
    ),
]


def chosen_pictures(coreset: Path | None) -> list[str] | None:
    """Names of the pictures of `--coreset`; None where all are taken.

    Raises:
        DataError: the file names none.
    """
    if coreset is None:
        return None
    from pocketgan.training.coreset import read_chosen

    return read_chosen(coreset)
