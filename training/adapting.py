"""Adapting a base to one concept: pix2pix's losses on its pairs, with LoRA's branches in the generator's place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from pocketgan import console
from pocketgan.errors import DataError, ModelError, require
from pocketgan.files import sha256_json, write_atomic
from pocketgan.recipe.choices import Direction, GanMode
from pocketgan.training.adapter import (
    Adapter,
    Concept,
    Ranks,
    default_ranks,
    merge,
    trained_parameters,
    trained_share,
    weights_digest,
)
from pocketgan.training.adapter_files import save_adapter
from pocketgan.training.data.folders import content_hashes
from pocketgan.training.data.paired import Pair, PairedImages, find_pairs
from pocketgan.training.data.samples import Samples
from pocketgan.training.discriminators import PatchDiscriminator
from pocketgan.training.fit import FitOptions, fit
from pocketgan.training.generators import GeneratorSpec, check
from pocketgan.training.generators.files import LoadedGenerator, load_generator
from pocketgan.training.lora import Adapted
from pocketgan.training.measuring import Measuring
from pocketgan.training.processes import join
from pocketgan.training.programs import Optimiser, Program
from pocketgan.training.programs.pix2pix import Pix2Pix
from pocketgan.training.quality.distance import l1_distance
from pocketgan.training.text.concept import check_encoder

if TYPE_CHECKING:
    from accelerate import Accelerator

_WHAT = "what.json"


@dataclass(frozen=True)
class AdaptOptions:
    """How long and how a concept is learnt. Rates and betas are E2GAN's (section 4.1), the weights pix2pix's.

    Attributes:
        steps: optimiser steps.
        ranks: of the five parts; `default_ranks` of the base's spec where None.
        batch_size: images a step (paper: 32).
        learning_rate: of branches and discriminator alike.
        decay: last share of the steps, with rates falling to 0.
        lambda_l1, lambda_gan: weights of the distance to the target and of the discriminator's verdict; 0 trains
            without a discriminator.
        ndf: channels of the discriminator's first layer.
        flip: mirror half of the images.
        seed: of branches, discriminator, order and mirroring.
        checkpoint_every: steps that a kill can cost at most.
    """

    steps: int
    ranks: Ranks | None = None
    batch_size: int = 4
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    decay: float = 0.5
    gan_mode: GanMode = "hinge"
    lambda_l1: float = 100.0
    lambda_gan: float = 1.0
    ndf: int = 64
    flip: bool = True
    seed: int = 0
    checkpoint_every: int = 200

    def ranks_for(self, spec: GeneratorSpec) -> Ranks:
        """Those that a base of this spec is adapted with."""
        return default_ranks(spec) if self.ranks is None else self.ranks


class Adaptation(Pix2Pix):
    """pix2pix whose generator is a base with branches: these alone are optimised, averaged and in checkpoints."""

    generator: Adapted

    def networks(self) -> dict[str, nn.Module]:
        return {**super().networks(), "generator": self.generator.branches, "adapted": self.generator}


def adaptation(base: LoadedGenerator, concept: Concept, options: AdaptOptions) -> Adaptation:
    """The program around a fresh adapter, for `fit` as any other.

    Raises:
        ModelError: the base cannot be adapted, or was trained with another text encoder's tokens.
        MissingExtraError: peft is not installed.
    """
    spec = base.spec
    check_encoder(base.metadata, concept.encoder, "the base")
    judge = PatchDiscriminator(spec.input_channels + spec.output_channels, options.ndf, seed=options.seed)
    return Adaptation(
        Adapted(base, concept, options.ranks_for(spec), options.seed),
        judge,
        gan_mode=options.gan_mode,
        lambda_l1=options.lambda_l1,
        lambda_gan=options.lambda_gan,
        optimiser=Optimiser((), options.learning_rate, options.betas, options.decay),
    )


def adapt(
    base: LoadedGenerator,
    data: Samples,
    concept: Concept,
    options: AdaptOptions,
    folder: Path,
    accelerator: Accelerator,
    picture: Callable[[Program], np.ndarray] | None = None,
    measuring: Measuring | None = None,
) -> Adapter:
    """Train branches for one concept; the base is left as it is.

    Goes on from the checkpoint in `folder`, which must be of this very training; the other arguments are `fit`'s.

    Args:
        data: pairs of the concept.
    Raises:
        PocketganError: the base cannot be adapted, or the training diverges or cannot be written.
    """
    program = adaptation(base, concept, options)
    lengths = FitOptions(options.steps, options.batch_size, options.seed, options.checkpoint_every)
    fit(program, data, lengths, folder, f"adapt {concept.name}", accelerator, picture, measuring)
    return program.generator.cpu().adapter()


@dataclass(frozen=True)
class AdaptedConcept:
    """What `adapt_folder` found out.

    Attributes:
        concept: its name.
        path: the adapter's file.
        bytes: of it.
        base_digest: of the base's weights.
        trained_parameters, trained_share: of the branches; as a share of the base's parameters.
        images: pairs that were trained on.
        l1, identity_l1: mean absolute difference to the targets of the validation pairs, of the adapted base's pictures
            and of the inputs themselves; in [-1, 1].
    """

    concept: str
    path: str
    bytes: int
    base_digest: str
    trained_parameters: int
    trained_share: float
    images: int
    l1: float
    identity_l1: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def adapt_folder(
    base: Path,
    data: Path,
    concept: Concept,
    options: AdaptOptions,
    out: Path,
    *,
    size: tuple[int, int] | None = None,
    direction: Direction = "AtoB",
) -> AdaptedConcept:
    """Adapt a base to the pairs of a folder and write the adapter's file: paths and numbers in, a file and numbers out.

    A killed one is gone on with by the same call: its checkpoints lie in a folder beside `out`, named after it, which
    goes when the file is there. Checkpoints of another base, data, concept or options are not taken up.

    Args:
        base: a model file.
        data: pairs as `training.data.paired` finds them; those for validation are looked at once, when all is trained.
        size: (height, width) in pixels that is trained at; the base's own where None.
    Raises:
        PocketganError: something that is given cannot be used, or the training diverges or cannot be written.
    """
    require("adapt", "peft")
    loaded = load_generator(base)
    spec = spec_at(loaded.spec, size, base)
    options = replace(options, ranks=options.ranks_for(spec))
    splits = find_pairs(data)
    pairs = splits["train"]
    if len(pairs) < options.batch_size:
        raise DataError(
            f"{data} holds {len(pairs)} pairs to train on, fewer than the {options.batch_size} of a step; add pairs or "
            "lower the batch size"
        )
    digest = weights_digest(loaded.module)
    folder = out.with_name(f"{out.name}.partial")
    framed = (spec.height, spec.width)
    _take_up(folder, {"base": digest, "size": framed, **_told(data, pairs, direction, concept, options)})
    accelerator = join()
    images = PairedImages(pairs, direction, framed, flip=options.flip)
    adapter = adapt(loaded, images, concept, options, folder, accelerator)
    val = PairedImages(splits["val"], direction, framed)
    network = merge(loaded, adapter).module.to(accelerator.device)
    distances = [l1_distance(made, val, accelerator.device) for made in (network, lambda images: images)]
    # The checkpoints last: until the file is there, a kill costs nothing that is trained.
    save_adapter(out, adapter)
    shutil.rmtree(folder, ignore_errors=True)
    return AdaptedConcept(
        concept.name,
        str(out),
        out.stat().st_size,
        digest,
        trained_parameters(spec, options.ranks_for(spec)),
        trained_share(spec, options.ranks_for(spec)),
        len(pairs),
        *distances,
    )


def spec_at(spec: GeneratorSpec, size: tuple[int, int] | None, base: Path) -> GeneratorSpec:
    """The base's spec at a size of pictures, its own where None.

    Raises:
        ModelError: it does not take pictures, or none of that size.
    """
    spec = spec if size is None else spec.at(*size)
    if (spec.input_channels, spec.output_channels) != (3, 3):
        raise ModelError(
            f"{base} takes {spec.input_channels} channels and gives {spec.output_channels}; pictures have 3"
        )
    check(spec)
    return spec


def _told(
    data: Path, pairs: list[Pair], direction: Direction, concept: Concept, options: AdaptOptions
) -> dict[str, Any]:
    """All that the training depends on beside the base, as JSON."""
    hashes = content_hashes([file for pair in pairs for file in pair.files()], data, {})
    words = [concept.name, concept.text, concept.encoder.digest]
    return {
        "pictures": {name: row[0] for name, row in hashes.items()},
        "direction": direction,
        "concept": sha256_json([words, concept.tokens.tolist()]),
        "options": {**asdict(options), "checkpoint_every": None},
    }


def _take_up(folder: Path, told: dict[str, Any]) -> None:
    """Keep the folder's checkpoints where they are of the same training; else begin with an empty one."""
    digest = sha256_json(told)
    try:
        found = json.loads((folder / _WHAT).read_text())["digest"]
    except (OSError, ValueError, KeyError, TypeError):
        found = None
    if found == digest:
        return
    if folder.exists():
        console.note(f"{folder} is of another training (base, data, text or options); starting again")
        shutil.rmtree(folder)
    write_atomic(folder / _WHAT, json.dumps({"digest": digest}))
