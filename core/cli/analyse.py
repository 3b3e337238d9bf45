"""`pocketgan analyse`: experiments on a base, repeated for the user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketgan import console
from pocketgan.cli import learning
from pocketgan.cli.concepts import Base
from pocketgan.cli.options import Json, output_folder, parse_size
from pocketgan.cli.text import Encoder
from pocketgan.errors import require

if TYPE_CHECKING:
    from pocketgan.analysis.tables import Column

analyse = typer.Typer(name="analyse", no_args_is_help=True, help="Experiments on a base: parts, place of attention.")
Out = Annotated[
    Path,
    typer.Option(
        "--out",
        parser=output_folder("--out"),
        metavar="DIR",
        help="Folder of the tables and pictures; the same command goes on in it.",
    ),
]
Steps = Annotated[int, typer.Option("--steps", min=1, help="Optimiser steps of every training.")]


@analyse.command("parts")
def parts(
    base: Base,
    data: learning.Pairs,
    text: learning.Text,
    out: Out,
    steps: Steps = 1000,
    part: Annotated[
        str | None, typer.Option("--parts", help="Which to freeze, with commas, such as rb,tb.", show_default="all")
    ] = None,
    metric: learning.Metric = "lpips",
    lpips_weights: learning.LpipsWeights = None,
    encoder: Encoder = "sentence",
    batch_size: learning.BatchSize = 4,
    learning_rate: learning.LearningRate = 2e-4,
    size: learning.Size = None,
    coreset: learning.Coreset = None,
    seed: learning.Seed = 0,
    json: Json = False,
) -> None:
    """What each part of a base is worth to a concept: fine-tune it with the parts frozen in turn.

    The parts are stem, downsample, rb, ds, tb, us, upsample and head. Every training is judged on 15 % of the training
    pairs, which it does not see.
    """
    require("train", "torch", "safetensors", "accelerate")
    from pocketgan.analysis.parts import analyse_parts, columns
    from pocketgan.training.adapting import AdaptOptions

    pixels = None if size is None else parse_size(size, "--size")
    table = analyse_parts(
        base,
        data,
        learning.open_concept("analysis", text, encoder),
        AdaptOptions(steps, batch_size=batch_size, learning_rate=learning_rate, seed=seed),
        out,
        parts=_listed(part),
        metric=metric,
        lpips_weights=lpips_weights,
        size=pixels,
        only=learning.chosen_pictures(coreset),
    )
    _tell(out, table, "frozen", columns(metric))


@analyse.command("transformer")
def transformer(
    data: learning.Pairs,
    text: learning.Text,
    out: Out,
    generator: Annotated[str, typer.Option("--generator", help="e2gan or e2gan-mobile.")] = "e2gan-mobile",
    ngf: Annotated[
        int | None,
        typer.Option("--ngf", min=2, help="Channels of the first layer.", show_default="the generator's own"),
    ] = None,
    place: Annotated[
        str | None,
        typer.Option("--places", help="After which parts, with commas, such as ds,us.", show_default="all"),
    ] = None,
    steps: Steps = 1000,
    threads: Annotated[int, typer.Option("--threads", min=0, help="Of ONNX Runtime; 0 times no frames.")] = 1,
    metric: learning.Metric = "lpips",
    lpips_weights: learning.LpipsWeights = None,
    encoder: Encoder = "sentence",
    batch_size: learning.BatchSize = 4,
    learning_rate: learning.LearningRate = 2e-4,
    size: learning.Size = None,
    coreset: learning.Coreset = None,
    seed: learning.Seed = 0,
    json: Json = False,
) -> None:
    """Where the transformer block should stand: train each place from scratch, and time its frames.

    The places are after downsample, rb1, rb2, ds (the middle), us and rb3. Judged as `analyse parts`.
    """
    require("train", "torch", "safetensors", "accelerate")
    if threads:
        require("export", "onnx", "onnxscript")
    from pocketgan.analysis.transformer import analyse_transformer, columns
    from pocketgan.training.adapting import AdaptOptions
    from pocketgan.training.generators import spec_by_name

    height, width = (None, None) if size is None else parse_size(size, "--size")
    table = analyse_transformer(
        spec_by_name(generator, ngf=ngf, height=height, width=width),
        data,
        learning.open_concept("analysis", text, encoder),
        AdaptOptions(steps, batch_size=batch_size, learning_rate=learning_rate, seed=seed),
        out,
        places=_listed(place),
        metric=metric,
        lpips_weights=lpips_weights,
        only=learning.chosen_pictures(coreset),
        threads=threads or None,
    )
    _tell(out, table, "after", columns(metric))


def _listed(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",")]


def _tell(out: Path, table: Mapping[str, Any], what: str, columns: Sequence[Column]) -> None:
    from pocketgan.analysis.tables import cells

    rows = cells(table, [row["arm"] for row in table["rows"]], columns)
    console.result(
        {"out": str(out), **table},
        console.table([what, *(head for head, _ in columns)], rows) + f"\n\ntable.md and sheet.png written to {out}",
    )
