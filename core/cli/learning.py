"""Options of the commands that learn a concept from pairs, and what they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from pocketgan.training.adapter import Concept, Ranks

Pairs = Annotated[Path, typer.Option("--data", metavar="DIR", help="Pairs of a concept, train/ and val/.")]
Text = Annotated[str, typer.Option("--text", help="What the effect is, such as 'a comic in ink'.")]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1, help="Images a step.")]
LearningRate = Annotated[float, typer.Option("--learning-rate", min=1e-9, help="Of Adam.")]
Size = Annotated[
    str | None,
    typer.Option("--size", metavar="HxW", help="Pixels to train at.", show_default="the generator's own"),
]
Seed = Annotated[int, typer.Option("--seed", help="Of weights, order, and the pictures kept for choosing.")]
Metric = Annotated[
    Literal["lpips", "l1"],
    typer.Option("--metric", help="What judges pictures; l1 where nobody has the weights that LPIPS needs."),
]
LpipsWeights = Annotated[
    Path | None,
    typer.Option(
        "--lpips-weights", metavar="FILE", help="LPIPS's backbone (AlexNet).", show_default="torchvision's download"
    ),
]
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


def chosen_ranks(text: str) -> Ranks:
    """`1,4,1,8,8`, or those of a file of `pocketgan ranks`.

    Raises:
        PocketganError: it is neither.
    """
    from pocketgan.training.adapter import Ranks
    from pocketgan.training.rank_judge import read_ranks

    file = Path(text)
    return read_ranks(file) if file.suffix == ".json" or file.is_file() else Ranks.parse(text)


def open_concept(name: str, text: str, encoder: str) -> Concept:
    """A concept by its text, encoded.

    Raises:
        PocketganError: the encoder is not to be had, does not know the text, or the text is empty.
    """
    from pocketgan.training.adapter import Concept
    from pocketgan.training.text.sources import open_encoder

    opened = open_encoder(encoder)
    return Concept(name, text.strip(), opened.identity, opened.encode([text])[0])
