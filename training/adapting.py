"""Adapting a base to one concept: pix2pix's losses on its pairs, with LoRA's branches in the generator's place."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from torch import nn

from pocketgan.errors import require
from pocketgan.recipe.choices import Direction, GanMode, TrainingPrecision
from pocketgan.training.adapter import (
    Adapter,
    Concept,
    Ranks,
    default_ranks,
    merge,
    trained_parameters,
    trained_share,
)
from pocketgan.training.adapter_files import save_adapter
from pocketgan.training.base_and_pairs import BaseAndPairs, checkpoints_beside
from pocketgan.training.data.samples import Samples
from pocketgan.training.discriminators import PatchDiscriminator
from pocketgan.training.fit import FitOptions, fit
from pocketgan.training.generators import GeneratorSpec
from pocketgan.training.generators.files import LoadedGenerator
from pocketgan.training.lora import Adapted
from pocketgan.training.measuring import Measuring
from pocketgan.training.processes import join
from pocketgan.training.programs import Optimiser, Program
from pocketgan.training.programs.pix2pix import Pix2Pix
from pocketgan.training.text.concept import check_encoder

if TYPE_CHECKING:
    from accelerate import Accelerator

Learning = TypeVar("Learning", bound=Pix2Pix)


@dataclass(frozen=True)
class AdaptOptions:
    """How long and how a concept is learnt. Rates and betas are E2GAN's (section 4.1), the weights pix2pix's.

    Attributes:
        steps: optimiser steps.
        ranks: of the five parts; `default_ranks` of the base's spec where None.
        batch_size: images a step (paper: 32).
        learning_rate: of what is trained of the base.
        discriminator_learning_rate: the same where None.
        decay: last share of the steps, with rates falling to 0.
        lambda_l1, lambda_gan: weights of the distance to the target and of the discriminator's verdict; 0 trains
            without a discriminator.
        ndf: channels of the discriminator's first layer.
        flip: mirror half of the images.
        seed: of branches, discriminator, order and mirroring.
        checkpoint_every: steps that a kill can cost at most.
        precision: of the networks; losses stay float32.
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
    precision: TrainingPrecision = "fp32"
    discriminator_learning_rate: float | None = None

    def ranks_for(self, spec: GeneratorSpec) -> Ranks:
        """Those that a base of this spec is adapted with."""
        return default_ranks(spec) if self.ranks is None else self.ranks

    @property
    def lengths(self) -> FitOptions:
        return FitOptions(self.steps, self.batch_size, self.seed, self.checkpoint_every)

    def to_json(self) -> dict[str, Any]:
        """All that decides what is learnt."""
        told = {**asdict(self), "checkpoint_every": None}
        if self.discriminator_learning_rate is None:
            del told["discriminator_learning_rate"]
        return told


class Adaptation(Pix2Pix):
    """pix2pix whose generator is a base with branches: these alone are optimised, averaged and in checkpoints."""

    generator: Adapted

    def networks(self) -> dict[str, nn.Module]:
        return {**super().networks(), "generator": self.generator.branches, "adapted": self.generator}


def concept_program(kind: type[Learning], generator: nn.Module, spec: GeneratorSpec, options: AdaptOptions) -> Learning:
    """pix2pix as a concept is learnt, around what is trained of a base: a fresh discriminator, the options' losses."""
    judge = PatchDiscriminator(spec.input_channels + spec.output_channels, options.ndf, seed=options.seed)
    return kind(
        generator,
        judge,
        gan_mode=options.gan_mode,
        lambda_l1=options.lambda_l1,
        lambda_gan=options.lambda_gan,
        optimiser=Optimiser((), options.learning_rate, options.betas, options.decay),
        discriminator_learning_rate=options.discriminator_learning_rate,
    )


def adaptation(base: LoadedGenerator, concept: Concept, options: AdaptOptions) -> Adaptation:
    """The program around a fresh adapter, for `fit` as any other.

    Raises:
        ModelError: the base cannot be adapted, or was trained with another text encoder's tokens.
        MissingExtraError: peft is not installed.
    """
    check_encoder(base.metadata, concept.encoder, "the base")
    branches = Adapted(base, concept, options.ranks_for(base.spec), options.seed)
    return concept_program(Adaptation, branches, base.spec, options)


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
    fit(program, data, options.lengths, folder, f"adapt {concept.name}", accelerator, picture, measuring)
    return program.generator.cpu().adapter()


@dataclass(frozen=True)
class AdaptedConcept:
    """What `adapt_folder`, or `fine_tuning.fine_tune_folder`, found out.

    Attributes:
        concept: its name.
        path: the adapter's file, or the whole generator's.
        bytes: of it.
        base_digest: of the base's weights.
        trained_parameters, trained_share: how many were trained; as a share of the base's parameters.
        images: pairs that were trained on.
        l1, identity_l1: mean absolute difference to the targets of the validation pairs, of what was learnt
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
    only: Collection[str] | None = None,
) -> AdaptedConcept:
    """Adapt a base to the pairs of a folder and write the adapter's file: paths and numbers in, a file and numbers out.

    A killed one is gone on with by the same call: its checkpoints lie in a folder beside `out`, named after it, which
    goes when the file is there. Checkpoints of another base, data, concept or options are not taken up.

    Args:
        base: a model file.
        data: pairs as `training.data.paired` finds them; those for validation are looked at once, when all is trained.
        size: (height, width) in pixels that is trained at; the base's own where None.
        only: names of the pictures that are trained on, such as a coreset's; all where None.
    Raises:
        PocketganError: something that is given cannot be used, or the training diverges or cannot be written.
    """
    require("adapt", "peft")
    given = BaseAndPairs.read(base, data, size=size, direction=direction, only=only)
    given.check_batch(options.batch_size)
    options = replace(options, ranks=options.ranks_for(given.spec))
    folder = checkpoints_beside(out, {**given.told(concept), "options": options.to_json()})
    accelerator = join(options.precision)
    images = given.images(given.train, flip=options.flip)
    adapter = adapt(given.base, images, concept, options, folder, accelerator)
    network = merge(given.base, adapter).module.to(accelerator.device)
    distances = given.l1(network, accelerator.device)
    # The checkpoints last: until the file is there, a kill costs nothing that is trained.
    save_adapter(out, adapter)
    shutil.rmtree(folder, ignore_errors=True)
    return AdaptedConcept(
        concept.name,
        str(out),
        out.stat().st_size,
        given.digest,
        trained_parameters(given.spec, adapter.ranks),
        trained_share(given.spec, adapter.ranks),
        len(given.train),
        *distances,
    )
