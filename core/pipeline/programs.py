"""Networks and programs that a recipe asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan.recipe.recipe import Recipe
from pocketgan.recipe.sections import TeacherStage, Training

if TYPE_CHECKING:
    from torch import nn

    from pocketgan.training.generators import GeneratorSpec
    from pocketgan.training.programs import Optimiser, Program
    from pocketgan.training.programs.adversarial import Adversarial

DISCRIMINATOR = "discriminator"


@dataclass(frozen=True)
class Task:
    """A program, the generator that it trains, and what else of it is kept.

    Attributes:
        kept: networks that are written beside the generator when the training is over, by file name without suffix.
        shown: networks whose pictures stand beside the generator's in samples.
    """

    program: Program
    generator: nn.Module
    kept: Mapping[str, nn.Module]
    shown: Mapping[str, nn.Module] = field(default_factory=dict)


def teacher_spec(recipe: Recipe) -> GeneratorSpec:
    """The unpruned architecture that the recipe trains.

    Raises:
        ModelError: the generator's name is unknown.
    """
    from pocketgan.training.generators import spec_by_name

    stage = recipe.teacher
    assert stage is not None
    height, width = recipe.size
    channels = 3 if recipe.data is None else recipe.data.input_channels
    return spec_by_name(
        stage.generator, ngf=stage.ngf, norm=stage.norm, height=height, width=width, input_channels=channels
    )


def unpruned_spec(recipe: Recipe) -> GeneratorSpec:
    """What a user would ship otherwise: GauGAN for the task of that name, at the teacher's width; else ResNet-9."""
    from pocketgan.training.generators import spec_by_name

    assert recipe.data is not None
    assert recipe.teacher is not None
    height, width = recipe.size
    name, ngf = ("gaugan", recipe.teacher.ngf) if recipe.teacher.program == "gaugan" else ("resnet9", None)
    return spec_by_name(name, ngf=ngf, height=height, width=width, input_channels=recipe.data.input_channels)


def teacher_task(recipe: Recipe, generator: nn.Module, channels: int) -> Task:
    """The teacher's program around a fresh generator of `channels` input channels."""
    from pocketgan.training.programs.pix2pix import Pix2Pix

    stage, seed = recipe.teacher, recipe.seed
    assert stage is not None
    judge = discriminator(stage, channels, seed)
    optimiser, judges_rate = optimiser_of(stage), stage.discriminator_learning_rate
    if stage.program == "cyclegan":
        from pocketgan.training.programs.cyclegan import CycleGan

        back, judge_back = fresh_generator(recipe, seed + 1), discriminator(stage, channels, seed + 1)
        program = CycleGan(
            generator,
            back,
            judge,
            judge_back,
            (3, *recipe.size),
            stage.gan_mode,
            stage.lambda_cycle,
            stage.lambda_identity,
            optimiser,
            judges_rate,
            stage.pool_size,
        )
        return Task(program, generator, {DISCRIMINATOR: judge, "generator_back": back})
    task: Adversarial = (
        _gaugan(stage, stage, generator, judge)
        if stage.program == "gaugan"
        else Pix2Pix(generator, judge, stage.gan_mode, stage.lambda_l1, optimiser, judges_rate)
    )
    return Task(task, generator, {DISCRIMINATOR: judge})


def student_task(recipe: Recipe, student: nn.Module, teacher: nn.Module, inherited: Path, channels: int) -> Task:
    """The student's program; its discriminator starts from the teacher's, in the file `inherited`."""
    from safetensors.torch import load_file

    from pocketgan.training.programs.distill import Distill, Unaligned, feature_channels
    from pocketgan.training.programs.pix2pix import Pix2Pix
    from pocketgan.training.similarity import FeatureDistance

    stage, made_by = recipe.distill, recipe.teacher
    assert stage is not None
    assert made_by is not None
    judge = discriminator(made_by, channels, recipe.seed)
    judge.load_state_dict(load_file(inherited))
    rest = (optimiser_of(stage), stage.discriminator_learning_rate)
    task: Adversarial
    if made_by.program == "gaugan":
        task = _gaugan(stage, made_by, student, judge)
    elif made_by.program == "cyclegan":
        task = Unaligned(student, judge, stage.gan_mode, stage.lambda_recon, *rest)
    else:
        task = Pix2Pix(student, judge, stage.gan_mode, stage.lambda_recon, *rest)
    distance = FeatureDistance(stage.similarity)
    if stage.similarity == "mse":
        ours, theirs = (feature_channels(network, channels, *recipe.size) for network in (student, teacher))
        distance = FeatureDistance("mse", ours, theirs, recipe.seed)
    program = Distill(task, teacher, distance, stage.lambda_distill)
    return Task(program, student, {DISCRIMINATOR: judge}, {"teacher": teacher})


def fresh_generator(recipe: Recipe, seed: int) -> nn.Module:
    """The teacher's architecture with fresh weights.

    Raises:
        ModelError: a generator of the user's own that is no generator.
    """
    from pocketgan.training.generators import build
    from pocketgan.training.generators.own import call_function

    assert recipe.teacher is not None
    if recipe.teacher.is_own:
        return call_function(recipe.teacher.generator, seed=seed)
    return build(teacher_spec(recipe), seed)


def discriminator(stage: TeacherStage, channels: int, seed: int) -> nn.Module:
    """PatchGAN on input and output (pix2pix) or on the output alone (cyclegan), or SPADE's at two scales (gaugan)."""
    from pocketgan.training.discriminators import MultiScaleDiscriminator, PatchDiscriminator

    if stage.program == "gaugan":
        return MultiScaleDiscriminator(channels + 3, stage.ndf, seed=seed)
    if stage.program == "cyclegan":
        return PatchDiscriminator(3, stage.ndf, norm="instance", seed=seed)
    return PatchDiscriminator(channels + 3, stage.ndf, seed=seed)


def optimiser_of(stage: Training) -> Optimiser:
    from pocketgan.training.programs import Optimiser

    return Optimiser((), stage.learning_rate, stage.adam_betas, stage.decay)


def _gaugan(stage: Training, teacher: TeacherStage, generator: nn.Module, judge: nn.Module) -> Any:
    from pocketgan.training.programs.gaugan import GauGan
    from pocketgan.training.vgg import load_vgg

    return GauGan(
        generator,
        judge,
        load_vgg(teacher.vgg_weights) if teacher.lambda_vgg else None,
        stage.gan_mode,
        teacher.lambda_feature,
        teacher.lambda_vgg,
        optimiser_of(stage),
        stage.discriminator_learning_rate,
    )
