"""The functions of the Python API about concepts: `from pocketgan import api`."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from pocketgan.outcomes import MergedConcept

if TYPE_CHECKING:
    from pocketgan.recipe.choices import Direction, TrainingPrecision
    from pocketgan.training.adapter import Ranks
    from pocketgan.training.adapting import AdaptedConcept
    from pocketgan.training.concept_factory import AdaptedConcepts

FilePath = str | PathLike[str]


def adapt(
    base: FilePath,
    data: FilePath,
    text: str,
    out: FilePath,
    *,
    steps: int,
    name: str | None = None,
    encoder: str = "sentence",
    ranks: str | Sequence[int] | Ranks | None = None,
    batch_size: int = 4,
    learning_rate: float = 2e-4,
    discriminator_learning_rate: float | None = None,
    ndf: int = 64,
    precision: TrainingPrecision = "fp32",
    size: tuple[int, int] | None = None,
    direction: Direction = "AtoB",
    photos: Collection[str] | None = None,
    full: bool = False,
    seed: int = 0,
) -> AdaptedConcept:
    """Learn an effect: LoRA on a base, in one small file. A call that was killed goes on with the same arguments.

    Args:
        base: the model file of an e2gan; stays as it is.
        data: a folder of pairs.
        text: what the effect is, such as "a comic drawn in ink".
        out: the adapter's file.
        steps: optimiser steps.
        name: of the concept; that of the file where None.
        encoder: "sentence", the folder or hub id of a CLIP model, or a .safetensors file of `pocketgan text`.
        ranks: of Downsample, DS, TB, US and Upsample, such as "1,4,1,8,8", which None stands for, or as much less as
            trains at most 1.2 % of the base.
        batch_size: images a step.
        learning_rate: of Adam.
        discriminator_learning_rate: the same where None.
        ndf: channels of the discriminator's first layer.
        precision: "bf16" pays where `pocketgan doctor` says so.
        size: (height, width) in pixels to train at; the base's own where None.
        direction: "AtoB", or "BtoA".
        photos: names of those that are trained on, such as a coreset's; all where None.
        full: train all of the base's weights instead; `out` is then a whole model file.
    Raises:
        PocketganError: base, pairs, text or a setting cannot be used, or the training diverges.
    """
    from pocketgan.errors import require
    from pocketgan.files import file_to_write

    path = file_to_write(out, "out")
    require("train", "torch") if full else require("adapt", "torch", "peft")
    from pocketgan.training.adapter import Concept
    from pocketgan.training.adapting import AdaptOptions, adapt_folder
    from pocketgan.training.fine_tuning import fine_tune_folder
    from pocketgan.training.text.sources import open_encoder

    options = AdaptOptions(
        steps,
        _ranks(ranks),
        batch_size=batch_size,
        learning_rate=learning_rate,
        discriminator_learning_rate=discriminator_learning_rate,
        ndf=ndf,
        seed=seed,
        precision=precision,
    )
    opened = open_encoder(encoder)
    tokens = opened.encode([text])[0]
    concept = Concept(path.stem if name is None else name, text.strip(), opened.identity, tokens)
    learn = fine_tune_folder if full else adapt_folder
    return learn(Path(base), Path(data), concept, options, path, size=size, direction=direction, only=photos)


def adapt_concepts(
    base: FilePath,
    concepts: FilePath,
    out: FilePath,
    *,
    steps: int | None = None,
    encoder: str = "sentence",
    ranks: str | Sequence[int] | Ranks | None = None,
    batch_size: int = 4,
    learning_rate: float = 2e-4,
    discriminator_learning_rate: float | None = None,
    ndf: int = 64,
    precision: TrainingPrecision = "fp32",
    size: tuple[int, int] | None = None,
    direction: Direction = "AtoB",
    photos: Collection[str] | None = None,
    seed: int = 0,
    old: FilePath | None = None,
    lpips_weights: FilePath | None = None,
    workers: int | None = None,
    threads: int | None = None,
    address: str | None = None,
) -> AdaptedConcepts:
    """Learn many effects of one base, several at a time. A call that was killed goes on with the same arguments.

    A script must call this under `if __name__ == "__main__":`, as workers import it, unless `workers` is 0.

    Args:
        concepts: a list of concepts (docs/concepts.md); what it says of one goes before the arguments here.
        out: a folder for NAME.safetensors of each, and concepts.json.
        steps, encoder, ranks, batch_size, learning_rate, discriminator_learning_rate, ndf, precision, size,
            direction, photos, seed: as `adapt`, for all.
        old: a folder of the concepts that the base was trained on, which are looked at with every new adapter on.
        lpips_weights: torchvision's AlexNet, by which the old ones are judged; by L1 where None.
        workers: processes on this computer, as many as cores where None; 0 works in this process, without Dask.
        threads: of each concept; workers share the cores where None.
        address: of a Dask scheduler instead, which is trusted in full: whoever reaches it runs code here.
    Returns:
        How each concept ended; one that failed is among them, with its line.
    Raises:
        PocketganError: something that concerns all concepts cannot be used. What is finished is kept.
    """
    from pocketgan.errors import DataError, require
    from pocketgan.files import folder_to_write

    folder = folder_to_write(out, "out")
    if lpips_weights is not None and old is None:
        raise DataError("--lpips-weights is for --old: it judges what the base still knows of its own concepts")
    require("adapt", "torch", "peft")
    from pocketgan.training.concept_factory import adapt_concepts as adapt_all
    from pocketgan.training.forgetting import OldConcepts
    from pocketgan.training.parallel import open_pool
    from pocketgan.training.text.sources import open_encoder
    from pocketgan.training.wanted_concepts import Defaults, wanted_concepts

    told = Defaults(
        steps, _ranks(ranks), batch_size, learning_rate, seed, direction, precision,
        None if photos is None else tuple(sorted(photos)), ndf,
        discriminator_learning_rate,
    )  # fmt: skip
    wanted = wanted_concepts(Path(concepts), told)
    if workers is None:
        workers = 0 if address is not None else min(os.cpu_count() or 1, len(wanted))
    known = None if old is None else OldConcepts(Path(old), None if lpips_weights is None else Path(lpips_weights))
    with open_pool(workers, threads, address) as pool:
        return adapt_all(Path(base), wanted, open_encoder(encoder), folder, pool, size=size, old=known)


def merge(base: FilePath, adapter: FilePath, out: FilePath) -> MergedConcept:
    """Make a base and a concept's adapter one plain generator, with no trace of LoRA: exported as any other.

    Args:
        base: the model file that the adapter was trained on.
        out: the generator's model file.
    Raises:
        ModelError: a file cannot be used, or the adapter is of another base; both are named by digest.
    """
    from pocketgan.errors import require
    from pocketgan.files import file_to_write

    path = file_to_write(out, "out")
    require("train", "torch", "safetensors")
    from pocketgan.training.adapter import merge as merged_of
    from pocketgan.training.adapter_files import load_adapter
    from pocketgan.training.generators.files import load_generator, save_generator

    loaded = load_adapter(Path(adapter))
    merged = merged_of(load_generator(Path(base)), loaded)
    save_generator(path, merged.module, merged.spec, merged.metadata)
    concept = loaded.concept
    return MergedConcept(
        path,
        path.stat().st_size,
        concept.name,
        concept.text,
        concept.encoder.name,
        concept.encoder.digest,
        loaded.base_digest,
        loaded.ranks.to_json(),
    )


def _ranks(told: str | Sequence[int] | Ranks | None) -> Ranks | None:
    from pocketgan.training.adapter import Ranks

    if told is None or isinstance(told, Ranks):
        return told
    return Ranks.parse(told if isinstance(told, str) else ",".join(map(str, told)))
