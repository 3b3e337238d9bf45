"""Commands about concepts: effects that a base learns, each in a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pocketgan import api, console
from pocketgan.cli.learning import Coreset, chosen_pictures, chosen_ranks
from pocketgan.cli.options import Json, OutFile, parse_size
from pocketgan.cli.text import Encoder
from pocketgan.errors import DataError, ModelError
from pocketgan.files import file_to_write, folder_to_write
from pocketgan.recipe.choices import TrainingPrecision

if TYPE_CHECKING:
    from pocketgan.training.concept_factory import AdaptedConcepts, ConceptOutcome

Base = Annotated[Path, typer.Argument(metavar="BASE", help="The model file of an e2gan.")]


def adapt(
    base: Base,
    out: Annotated[
        str, typer.Option("--out", metavar="FILE|DIR", help="The adapter's file, or with --concepts a folder for all.")
    ],
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Pairs of the concept, train/ and val/.")
    ] = None,
    text: Annotated[str | None, typer.Option("--text", help="What the effect is, such as 'a comic in ink'.")] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="What the concept is called.", show_default="that of the file")
    ] = None,
    concepts: Annotated[
        Path | None,
        typer.Option("--concepts", metavar="FILE", help="Many concepts instead: a list in YAML (docs/concepts.md)."),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Optimiser steps, of each concept.")] = None,
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
    discriminator_learning_rate: Annotated[
        float | None,
        typer.Option(
            "--discriminator-learning-rate",
            min=1e-9,
            help="Its own: LoRA bears higher rates than a discriminator.",
            show_default="that of --learning-rate",
        ),
    ] = None,
    ndf: Annotated[int, typer.Option("--ndf", min=1, help="Channels of the discriminator's first layer.")] = 64,
    precision: Annotated[
        TrainingPrecision, typer.Option("--precision", help="bf16 pays where `pocketgan doctor` says so.")
    ] = "fp32",
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="HxW", help="Pixels to train at.", show_default="the base's own"),
    ] = None,
    direction: Annotated[
        Literal["AtoB", "BtoA"], typer.Option("--direction", help="Whether A or B of a pair is the input.")
    ] = "AtoB",
    coreset: Coreset = None,
    full: Annotated[
        bool, typer.Option("--full", help="Train all of the base's weights instead, and write a whole model file.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    old: Annotated[
        Path | None,
        typer.Option(
            "--old",
            metavar="DIR",
            help="--concepts: what the base was trained on, looked at with each adapter on.",
        ),
    ] = None,
    lpips_weights: Annotated[
        Path | None,
        typer.Option(
            "--lpips-weights",
            metavar="FILE",
            help="--old: torchvision's AlexNet, .safetensors or .pth; without it L1 is measured.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            help="--concepts: processes, each with a concept at a time; 0: this one.",
            show_default="one a core",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option("--threads", help="--concepts: of each concept.", show_default="workers share the cores"),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="ADDRESS",
            help="--concepts: a Dask scheduler, tls://HOST:PORT or tcp://HOST:PORT, trusted in full.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Learn effects: LoRA on a base, a small file each.

    One with --data and --text, many with --concepts. The base stays as it is. What was stopped goes on with the same
    command.
    """
    if full and ranks is not None:
        raise ModelError("--ranks are LoRA's, and --full trains all weights without it; leave one of them out")
    pixels = None if size is None else parse_size(size, "--size")
    photos, chosen = chosen_pictures(coreset), None if ranks is None else chosen_ranks(ranks)
    if concepts is None:
        path = file_to_write(out, "--out")
        of_many = {
            "--old": old, "--lpips-weights": lpips_weights, "--workers": workers, "--threads": threads,
            "--address": address,
        }  # fmt: skip
        _refuse(of_many, "for many concepts: name a list with --concepts FILE")
        if data is None or text is None or steps is None:
            raise DataError("a concept needs --data, --text and --steps; a list of many goes with --concepts FILE")
        found = api.adapt(
            base, data, text, path, steps=steps, name=name, encoder=encoder, ranks=chosen, batch_size=batch_size,
            learning_rate=learning_rate, discriminator_learning_rate=discriminator_learning_rate, ndf=ndf,
            precision=precision, size=pixels, direction=direction, photos=photos,
            full=full, seed=seed,
        )  # fmt: skip
        console.result(
            found.to_json(),
            f"{found.concept}: {found.trained_parameters:,} parameters ({found.trained_share:.2%} of the base), "
            f"{found.bytes / 1e3:,.0f} kB, learnt from {found.images} pairs; L1 {found.l1:.3f} on those for "
            f"validation, {found.identity_l1:.3f} of the inputs themselves; written to {path}",
        )
        return
    folder = folder_to_write(out, "--out")
    _refuse({"--data": data, "--text": text, "--name": name}, "for one concept; those of --concepts say it themselves")
    _refuse({"--full": full or None}, "for one concept; --concepts makes adapters")
    ended = api.adapt_concepts(
        base, concepts, folder, steps=steps, encoder=encoder, ranks=chosen, batch_size=batch_size,
        learning_rate=learning_rate, discriminator_learning_rate=discriminator_learning_rate, ndf=ndf,
        precision=precision, size=pixels, direction=direction, photos=photos,
        seed=seed, old=old, lpips_weights=lpips_weights, workers=workers, threads=threads, address=address,
    )  # fmt: skip
    console.result(ended.to_json(), _text(ended))
    if not ended.ok:
        raise typer.Exit(1)


def merge(
    base: Base,
    adapter: Annotated[Path, typer.Argument(metavar="ADAPTER", help="A concept's adapter, trained on that base.")],
    out: OutFile,
    json: Json = False,
) -> None:
    """Make a base and a concept's adapter one plain generator.

    It takes images alone, and is exported as any other.
    """
    merged = api.merge(base, adapter, out)
    console.result(
        merged.to_json(), f"{merged.concept} ({merged.text!r}) merged into its base; written to {merged.path}"
    )


def _refuse(options: Mapping[str, object], why: str) -> None:
    told = [option for option, value in options.items() if value is not None]
    if told:
        raise DataError(f"{', '.join(told)} {'is' if len(told) == 1 else 'are'} {why}")


def _text(ended: AdaptedConcepts) -> str:
    looked = [(one.name, old) for one in ended.concepts if one.record is not None for old in one.record.old or []]
    judge = {"lpips": "LPIPS", "l1": "L1"}[looked[0][1].judge] if looked else ""
    columns = ["concept", "state", "seconds", "L1", "of the inputs", "kB"]
    columns += [f"old concepts, at worst ({judge})"] * bool(looked)
    blocks = [console.table(columns, [_row(one, bool(looked)) for one in ended.concepts])]
    flagged = [
        (name, old.name, f"{old.base:.3f}", f"{old.adapted:.3f}", _times(old.ratio))
        for name, old in looked
        if old.flagged
    ]
    if flagged:
        blocks.append(
            f"Adapters that overwrite old concepts, {judge} above 1.2 times the base's own:\n"
            + console.table(("adapter", "old concept", "base", "with it on", "times"), flagged)
        )
    learnt = sum(one.record is not None for one in ended.concepts)
    blocks += [f"{one.name}: {one.error}" for one in ended.concepts if one.error]
    blocks.append(f"{learnt} of {len(ended.concepts)} concepts in {ended.folder}, listed in concepts.json")
    return "\n\n".join(blocks)


def _row(one: ConceptOutcome, looked: bool) -> list[str]:
    if one.record is None:
        return [one.name, one.state, f"{one.seconds:.0f}", *["-"] * (3 + looked)]
    figures, old = one.record.figures, one.record.old
    row = [one.name, one.state, f"{one.seconds:.0f}", f"{figures.l1:.3f}", f"{figures.identity_l1:.3f}"]
    row.append(f"{one.record.adapter.bytes / 1e3:.0f}")
    if looked and old:
        worst = max(old, key=lambda each: float("inf") if each.ratio is None else each.ratio)
        row.append(f"{_times(worst.ratio)} {worst.name}{' (flagged)' * worst.flagged}")
    return row + ["-"] * (looked and not old)


def _times(ratio: float | None) -> str:
    return "more" if ratio is None else f"{ratio:.2f}"
