"""The generators that a recipe asks for: its teacher, and what users would ship otherwise."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from pocketgan.recipe.programs import TEACHER_PROGRAMS
from pocketgan.recipe.recipe import Recipe
from pocketgan.recipe.sections import TeacherStage

if TYPE_CHECKING:
    from torch import nn

    from pocketgan.bundle.manifest import Cost
    from pocketgan.training.generators import GeneratorSpec
    from pocketgan.training.supernet_space import Space

# Files of stages: the trained generator of teacher and distill, the searched one of compress.
GENERATOR = "generator.safetensors"
STUDENT = "student.safetensors"
# Beside an evolved student: its wider and its deeper teacher.
TEACHERS = ("wide.safetensors", "deep.safetensors")
# Of a teacher that is a runtime's file, as a bundle.
TEACHER_BUNDLE = "teacher.pgb"


def teacher_spec(recipe: Recipe) -> GeneratorSpec:
    """The unpruned architecture that the recipe trains, or that it begins with; of a supernet the largest network.

    Raises:
        ModelError: the generator's name is unknown, the file of its weights cannot be used, or it makes no supernet.
    """
    from pocketgan.training.trained import trained_spec

    stage = recipe.teacher
    assert stage is not None
    if stage.weights is not None:
        return trained_spec(Path(stage.weights), named_generator(stage), recipe.size)
    return supernet_space(recipe).whole if stage.program == "ugc" else _named_spec(recipe)


def supernet_space(recipe: Recipe) -> Space:
    """The sub-networks of the supernet that the recipe's teacher is.

    Raises:
        ModelError: the recipe's numbers or its generator make no supernet, or the trained one is another.
    """
    from pocketgan.training.supernet_space import Space, space_around

    stage = recipe.teacher
    assert stage is not None
    widths, depths = tuple(stage.supernet_widths), tuple(stage.supernet_depths)
    if stage.weights is not None:
        return space_around(teacher_spec(recipe), widths, depths, stage.supernet_expansion)
    return Space(_named_spec(recipe), widths, depths, stage.supernet_blocks, stage.supernet_expansion)


def _named_spec(recipe: Recipe) -> GeneratorSpec:
    """What the name of the teacher's generator stands for, at the recipe's size."""
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
        transformer_after=stage.transformer_after,
    )


def named_generator(stage: TeacherStage) -> str | None:
    """The generator that the recipe names; None where it leaves that to the file of weights."""
    return stage.generator if "generator" in stage.model_fields_set else None


def unpruned_name(recipe: Recipe) -> str:
    """The generator that users of the teacher's program would ship otherwise."""
    from pocketgan.training.generators import grid, spec_by_name

    assert recipe.teacher is not None
    *preferred, last = TEACHER_PROGRAMS[recipe.teacher.learns_as].unpruned
    for name in preferred:
        multiple, least = grid(spec_by_name(name))
        if not any(side % multiple or side < least for side in recipe.size):
            return name
    return last


def unpruned_spec(recipe: Recipe) -> GeneratorSpec:
    """Its architecture, at the recipe's size."""
    from pocketgan.training.generators import spec_by_name

    assert recipe.teacher is not None
    height, width = recipe.size
    ngf = recipe.teacher.ngf if TEACHER_PROGRAMS[recipe.teacher.learns_as].unpruned_takes_ngf else None
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


def teacher_cost(recipe: Recipe, run: Path) -> Cost | None:
    """Of the teacher that a run has; None where its runtime's file does not tell.

    Raises:
        ModelError: the user's own function gives no generator.
    """
    from pocketgan.training.cost import cost
    from pocketgan.training.generators.files import read_spec
    from pocketgan.training.generators.own import call_function, measured_cost

    stage = recipe.teacher
    assert stage is not None
    if stage.is_foreign:
        from pocketgan.bundle.reader import open_bundle

        with open_bundle(run / "teacher" / TEACHER_BUNDLE) as bundle:
            return bundle.manifest.cost
    if stage.is_own:
        return measured_cost(call_function(stage.generator), input_shape(recipe))
    return cost(read_spec(run / "teacher" / GENERATOR))


def input_shape(recipe: Recipe) -> tuple[int, int, int]:
    """(channels, height, width) of the teacher's input."""
    return (input_channels(recipe), *recipe.size)


def student_family(recipe: Recipe) -> GeneratorSpec:
    """The whole network of the family that the recipe names for the student.

    Raises:
        ModelError: the generator's name is unknown.
    """
    from pocketgan.training.generators import spec_by_name

    assert recipe.compress is not None
    assert recipe.compress.student is not None
    height, width = recipe.size
    return spec_by_name(recipe.compress.student, height=height, width=width, input_channels=input_channels(recipe))


def input_multiple(recipe: Recipe) -> tuple[int, int]:
    """What the height and the width of the teacher's input, and its student's, are a multiple of, in pixels."""
    from pocketgan.training.generators import grid

    assert recipe.teacher is not None
    if recipe.teacher.is_own or recipe.teacher.is_foreign:  # all that is known is the size that it is made for
        return recipe.size
    multiple, _ = grid(teacher_spec(recipe))
    if recipe.compress is not None and recipe.compress.student is not None:
        multiple = math.lcm(multiple, grid(student_family(recipe))[0])
    return multiple, multiple


def input_channels(recipe: Recipe) -> int:
    """Channels of what the recipe's data give a generator; those of a photo without data."""
    return 3 if recipe.data is None else recipe.data.input_channels
