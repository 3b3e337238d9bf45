"""The generators that a recipe asks for: its teacher, and what users would ship otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pocketgan.recipe.programs import TEACHER_PROGRAMS
from pocketgan.recipe.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

    from pocketgan.training.generators import GeneratorSpec

# Files of stages: the trained generator of teacher and distill, the searched one of compress.
GENERATOR = "generator.safetensors"
STUDENT = "student.safetensors"


def teacher_spec(recipe: Recipe) -> GeneratorSpec:
    """The unpruned architecture that the recipe trains.

    Raises:
        ModelError: the generator's name is unknown.
    """
    from pocketgan.training.generators import spec_by_name

    stage = recipe.teacher
    assert stage is not None
    height, width = recipe.size
    return spec_by_name(
        stage.generator,
        ngf=stage.ngf,
        norm=stage.norm,
        height=height,
        width=width,
        input_channels=input_channels(recipe),
    )


def unpruned_name(recipe: Recipe) -> str:
    """The generator that users of the teacher's program would ship otherwise."""
    assert recipe.teacher is not None
    return TEACHER_PROGRAMS[recipe.teacher.program].unpruned


def unpruned_spec(recipe: Recipe) -> GeneratorSpec:
    """Its architecture, at the recipe's size."""
    from pocketgan.training.generators import spec_by_name

    assert recipe.teacher is not None
    height, width = recipe.size
    ngf = recipe.teacher.ngf if TEACHER_PROGRAMS[recipe.teacher.program].unpruned_takes_ngf else None
    return spec_by_name(
        unpruned_name(recipe), ngf=ngf, height=height, width=width, input_channels=input_channels(recipe)
    )


def fresh_generator(recipe: Recipe, seed: int) -> nn.Module:
    """The teacher's architecture with fresh weights.

    Raises:
        ModelError: a generator of the user's own that is no generator.
    """
    from pocketgan.training.generators import build, use_dropout
    from pocketgan.training.generators.own import call_function

    assert recipe.teacher is not None
    if recipe.teacher.is_own:
        return call_function(recipe.teacher.generator, seed=seed)
    spec = teacher_spec(recipe)
    generator = build(spec, seed)
    if recipe.teacher.dropout:
        use_dropout(generator, spec)
    return generator


def input_shape(recipe: Recipe) -> tuple[int, int, int]:
    """(channels, height, width) of the teacher's input."""
    return (input_channels(recipe), *recipe.size)


def input_multiple(recipe: Recipe) -> tuple[int, int]:
    """What the height and the width of the teacher's input are a multiple of, in pixels."""
    from pocketgan.training.generators import grid

    assert recipe.teacher is not None
    if recipe.teacher.is_own:  # all that is known is the size that it is made for
        return recipe.size
    multiple, _ = grid(teacher_spec(recipe))
    return multiple, multiple


def input_channels(recipe: Recipe) -> int:
    """Channels of what the recipe's data give a generator; those of a photo without data."""
    return 3 if recipe.data is None else recipe.data.input_channels
