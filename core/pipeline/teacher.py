"""The stage `teacher`: the unpruned generator, trained by its program, or one that is trained already."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan import console
from pocketgan.errors import ModelError
from pocketgan.files import sha256_file
from pocketgan.pipeline.choosing import check_judges, content_of_judge
from pocketgan.pipeline.given import check_channels, check_foreign, given_network, take_teacher
from pocketgan.pipeline.networks import fresh_generator, input_channels, input_shape, teacher_spec
from pocketgan.pipeline.prompts import features_of
from pocketgan.pipeline.stage import Context, Stage
from pocketgan.pipeline.training import check_trainable, teacher_file, train
from pocketgan.recipe.programs import TEACHER_PROGRAMS
from pocketgan.recipe.recipe import Recipe
from pocketgan.recipe.sections import Training

if TYPE_CHECKING:
    from torch import nn

    from pocketgan.training.programs.method import Setting, TeacherMethod


def teacher_method(recipe: Recipe) -> TeacherMethod:
    """What the recipe's `teacher.program` stands for."""
    assert recipe.teacher is not None
    return import_module(TEACHER_PROGRAMS[recipe.teacher.program].module).METHOD


def teacher_setting(recipe: Recipe, run: Path | None = None) -> Setting:
    """What the teacher is trained for, with what the data stage left in `run`; without that where None."""
    from pocketgan.training.programs.method import Setting

    assert recipe.teacher is not None
    fresh: Callable[[int], nn.Module] = lambda seed: fresh_generator(recipe, seed)  # noqa: E731
    return Setting(
        recipe.teacher,
        channels=input_channels(recipe),
        size=recipe.teacher.crop_size or recipe.size,
        seed=recipe.seed,
        data="paired" if recipe.data is None else recipe.data.kind,
        fresh_generator=fresh,
        spec=lambda: teacher_spec(recipe),
        texts=None if run is None else features_of(recipe, run),
    )


def outside_training(recipe: Recipe, run: Path) -> Any:
    """Content of what the stage reads outside the run: the trained teacher, VGG weights, the file of the user's own
    generator."""
    stage = recipe.teacher
    assert stage is not None
    named = {**TEACHER_PROGRAMS[stage.learns_as].files, **TEACHER_PROGRAMS[stage.program].files}.items()
    files = [Path(getattr(stage, name)) for name, weights in named if getattr(stage, name) and weighs(stage, weights)]
    if stage.is_own:
        from pocketgan.training.generators.own import source_file

        files.append(source_file(stage.generator))
    if stage.weights is not None:
        if stage.is_foreign:
            from pocketgan.foreign.teacher import teacher_files

            files += teacher_files(stage.weights)
        else:
            files.append(Path(stage.weights))
    return [sha256_file(path) for path in files if path.is_file()] or None


def weighs(stage: Training, weights: str | tuple[str, ...]) -> bool:
    """Whether one of the fields of weights is not 0."""
    return any(getattr(stage, name) for name in ([weights] if isinstance(weights, str) else weights))


def _outside(recipe: Recipe, run: Path) -> Any:
    return [*(outside_training(recipe, run) or ()), *content_of_judge(recipe.teacher)] or None


def _check(recipe: Recipe) -> None:
    """The generator is there and takes the images, and what its losses need is there; nothing of the user's is run."""
    from pocketgan.training.generators import check

    stage = recipe.teacher
    assert stage is not None
    if stage.weights is not None and not Path(stage.weights).is_file():
        raise ModelError(f"teacher.weights: there is no file {stage.weights}")
    if stage.is_own:
        from pocketgan.training.generators.own import source_file

        source_file(stage.generator)
    elif not stage.is_foreign:
        whole = teacher_spec(recipe)
        check(whole)
        if stage.is_given:
            check_channels(recipe, whole)
        else:
            check_trainable("teacher", stage, stage.generator, whole)
    teacher_method(recipe).check(stage)
    check_judges(recipe, "teacher")


def _call(recipe: Recipe) -> None:
    """What only a call can tell: that the user's own generator, or a file of a runtime's, takes the images."""
    stage = recipe.teacher
    assert stage is not None
    if stage.is_own:
        from pocketgan.training.generators.own import check_generator, check_maps_pictures, source_file

        console.note(f"teacher: calling {stage.generator}, a function of {source_file(stage.generator)}")
        if stage.is_given:
            check_maps_pictures(given_network(recipe), stage.generator, input_shape(recipe))
        else:
            check_generator(fresh_generator(recipe, recipe.seed), stage.generator, input_shape(recipe))
    elif stage.is_foreign:
        check_foreign(recipe)


def _make_teacher(context: Context) -> dict[str, Any]:
    recipe = context.recipe
    assert recipe.teacher is not None
    if recipe.teacher.is_given:
        return take_teacher(context) if context.processes.first else {}
    generator = fresh_generator(recipe, recipe.seed)
    task = teacher_method(recipe).teacher(teacher_setting(recipe, context.run), generator)
    return train(context, recipe.teacher, task, teacher_file(recipe, context.run, generator))


def _version(recipe: Recipe) -> int:
    """2: IncRes-SPADE has CAT's own form. 3: averages catch up with what they are of."""
    stage = recipe.teacher
    assert stage is not None
    if stage.average_decay:
        return 3
    return 2 if stage.generator == "incres-spade" else 1


STAGE = Stage(
    "teacher",
    _version,
    _make_teacher,
    inputs=("data",),
    slices=("data",),
    outside=_outside,
    check=_check,
    call=_call,
    trains=True,
    parallel=True,
)
