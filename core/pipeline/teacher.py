"""The stage `teacher`: the unpruned generator, trained by its program."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan.errors import ModelError
from pocketgan.files import sha256_file
from pocketgan.pipeline.networks import fresh_generator, input_channels, input_shape, teacher_spec
from pocketgan.pipeline.stage import Context, Stage
from pocketgan.pipeline.training import GeneratorFile, file_of_spec, train
from pocketgan.recipe.programs import TEACHER_PROGRAMS
from pocketgan.recipe.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

    from pocketgan.training.programs.method import Setting, TeacherMethod


def teacher_method(recipe: Recipe) -> TeacherMethod:
    """What the recipe's `teacher.program` stands for."""
    assert recipe.teacher is not None
    return import_module(TEACHER_PROGRAMS[recipe.teacher.program].module).METHOD


def teacher_setting(recipe: Recipe) -> Setting:
    """What the teacher is trained for."""
    from pocketgan.training.programs.method import Setting

    assert recipe.teacher is not None
    fresh: Callable[[int], nn.Module] = lambda seed: fresh_generator(recipe, seed)  # noqa: E731
    return Setting(
        recipe.teacher,
        channels=input_channels(recipe),
        size=recipe.teacher.crop_size or recipe.size,
        seed=recipe.seed,
        fresh_generator=fresh,
    )


def outside_training(recipe: Recipe, run: Path) -> Any:
    """Content of what the training reads outside the run: VGG weights, the file of the user's own generator."""
    stage = recipe.teacher
    assert stage is not None
    named = TEACHER_PROGRAMS[stage.program].files.items()
    files = [Path(getattr(stage, name)) for name, weight in named if getattr(stage, name) and getattr(stage, weight)]
    if stage.is_own:
        from pocketgan.training.generators.own import source_file

        files.append(source_file(stage.generator))
    return [sha256_file(path) for path in files if path.is_file()] or None


def _check(recipe: Recipe) -> None:
    """The generator takes the images, and what its losses need is there."""
    stage = recipe.teacher
    assert stage is not None
    if stage.is_own:
        from pocketgan.training.generators.own import check_generator

        check_generator(fresh_generator(recipe, recipe.seed), stage.generator, input_shape(recipe))
    else:
        from pocketgan.training.generators import check

        whole = teacher_spec(recipe)
        check(whole)
        for training in filter(None, (stage, recipe.distill)):
            spec = whole.at(*(training.crop_size or recipe.size))
            check(spec)
            smallest = (spec.height >> spec.levels) * (spec.width >> spec.levels)
            if spec.norm.startswith("batch") and smallest == 1 and training.batch_size == 1:
                raise ModelError(
                    f"at {spec.height}x{spec.width} the smallest map of {stage.generator} has one pixel, of which "
                    "batch norm makes nothing: choose a larger resolution, or a batch_size of at least 2"
                )
    teacher_method(recipe).check(stage)


def _train_teacher(context: Context) -> dict[str, Any]:
    recipe = context.recipe
    assert recipe.teacher is not None
    generator = fresh_generator(recipe, recipe.seed)
    task = teacher_method(recipe).teacher(teacher_setting(recipe), generator)
    return train(context, recipe.teacher, task, _file(recipe, generator))


def _file(recipe: Recipe, generator: nn.Module) -> GeneratorFile:
    stage = recipe.teacher
    assert stage is not None
    if not stage.is_own:
        return file_of_spec(generator, teacher_spec(recipe))
    from pocketgan.training.generators.own import load_weights, save_own

    function, shape = stage.generator, input_shape(recipe)
    return GeneratorFile(
        lambda path, facts: save_own(path, generator, function, shape, facts),
        lambda path: load_weights(fresh_generator(recipe, recipe.seed), path, function),
    )


def _version(recipe: Recipe) -> int:
    """2: IncRes-SPADE has CAT's own form."""
    return 2 if recipe.teacher is not None and recipe.teacher.generator == "incres-spade" else 1


STAGE = Stage(
    "teacher",
    _version,
    _train_teacher,
    inputs=("data",),
    slices=("data",),
    outside=outside_training,
    check=_check,
    parallel=True,
)
