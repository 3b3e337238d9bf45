"""Commands about concepts: effects that a base learns, each in a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pocketgan import console
from pocketgan.cli.learning import Coreset, chosen_pictures, chosen_ranks
from pocketgan.cli.options import Json, OutFile, parse_size
from pocketgan.cli.text import Encoder
from pocketgan.errors import ModelError, require
from pocketgan.recipe.choices import TrainingPrecision

Base = Annotated[Path, typer.Argument(metavar="BASE", help="The model file of an e2gan.")]


def adapt(
    base: Base,
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="Pairs of the concept, train/ and val/.")],
    text: Annotated[str, typer.Option("--text", help="What the effect is, such as 'a comic in ink'.")],
    steps: Annotated[int, typer.Option("--steps", min=1, help="Optimiser steps.")],
    out: OutFile,
    name: Annotated[
        str | None, typer.Option("--name", help="What the concept is called.", show_default="that of the file")
    ] = None,
    encoder: Encoder = "sentence",
    ranks: Annotated[
        str | None,
        typer.Option(
            "--ranks",
            metavar="D,DS,TB,US,U",
            help="LoRA's, of Downsample, DS, TB, US and Upsample; or a file of `pocketgan ranks`.",
            show_default="1,4,1,8,8, or as much less as trains at most 1.2 % of the base",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Images a step.")] = 4,
    learning_rate: Annotated[float, typer.Option("--learning-rate", min=1e-9, help="Of Adam.")] = 2e-4,
    precision: Annotated[
        TrainingPrecision, typer.Option("--precision", help="bf16 pays where `pocketgan doctor` says so.")
    ] = "fp32",
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="HxW", help="Pixels to train at.", show_default="the base's own"),
    ] = None,
    coreset: Coreset = None,
    full: Annotated[
        bool, typer.Option("--full", help="Train all of the base's weights instead, and write a whole model file.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    json: Json = False,
) -> None:
    """Learn an effect: LoRA on a base, in one small file.

    The base stays as it is. A training that was stopped goes on with the same command.
    """
    if full and ranks is not None:
        raise ModelError("--ranks are LoRA's, and --full trains all weights without it; leave one of them out")
    require("train", "torch") if full else require("adapt", "peft")
    from pocketgan.training.adapter import Concept
    from pocketgan.training.adapting import AdaptOptions, adapt_folder
    from pocketgan.training.fine_tuning import fine_tune_folder
    from pocketgan.training.text.sources import open_encoder

    only = chosen_pictures(coreset)
    chosen = None if ranks is None else chosen_ranks(ranks)
    pixels = None if size is None else parse_size(size, "--size")
    opened = open_encoder(encoder)
    tokens = opened.encode([text])[0]
    concept = Concept(out.stem if name is None else name, text.strip(), opened.identity, tokens)
    options = AdaptOptions(
        steps, chosen, batch_size=batch_size, learning_rate=learning_rate, seed=seed, precision=precision
    )
    learn = fine_tune_folder if full else adapt_folder
    found = learn(base, data, concept, options, out, size=pixels, only=only)
    console.result(
        found.to_json(),
        f"{found.concept}: {found.trained_parameters:,} parameters ({found.trained_share:.2%} of the base), "
        f"{found.bytes / 1e3:,.0f} kB, learnt from {found.images} pairs; L1 {found.l1:.3f} on those for validation, "
        f"{found.identity_l1:.3f} of the inputs themselves; written to {out}",
    )


def merge(
    base: Base,
    adapter: Annotated[Path, typer.Argument(metavar="ADAPTER", help="A concept's adapter, trained on that base.")],
    out: OutFile,
    json: Json = False,
) -> None:
    """Make a base and a concept's adapter one plain generator.

    It takes images alone, and is exported as any other.
    """
    require("train", "torch", "safetensors")
    from pocketgan.training.adapter import merge as merged_of
    from pocketgan.training.adapter_files import load_adapter
    from pocketgan.training.generators.files import load_generator, save_generator

    concept = load_adapter(adapter)
    merged = merged_of(load_generator(base), concept)
    save_generator(out, merged.module, merged.spec, merged.metadata)
    told = concept.concept
    payload = {
        "path": str(out),
        "bytes": out.stat().st_size,
        "concept": told.name,
        "text": told.text,
        "text_encoder": told.encoder.name,
        "text_encoder_digest": told.encoder.digest,
        "base_sha256": concept.base_digest,
        "ranks": concept.ranks.to_json(),
    }
    console.result(payload, f"{told.name} ({told.text!r}) merged into its base; written to {out}")
