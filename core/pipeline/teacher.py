"""The stage `teacher`: the unpruned generator, trained by its program."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan import console
from pocketgan.errors import ModelError
from pocketgan.files import sha256_file
from pocketgan.pipeline.choosing import check_judges, content_of_judge
from pocketgan.pipeline.networks import fresh_generator, input_channels, input_shape, teacher_spec
from pocketgan.pipeline.processes import world_size
from pocketgan.pipeline.stage import Context, Stage
from pocketgan.pipeline.training import GeneratorFile, file_of_spec, train
from pocketgan.recipe.programs import TEACHER_PROGRAMS
from pocketgan.recipe.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

    from pocketgan.training.generators import GeneratorSpec
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


def _outside(recipe: Recipe, run: Path) -> Any:
    return [*(outside_training(recipe, run) or ()), *content_of_judge(recipe.teacher)] or None


def _check(recipe: Recipe) -> None:
    """The generator is there and takes the images, and what its losses need is there; nothing of the user's is run."""
    stage = recipe.teacher
    assert stage is not None
    if stage.is_own:
        from pocketgan.training.generators.own import source_file

        source_file(stage.generator)
    else:
        from pocketgan.training.generators import check, takes_dropout

        whole = teacher_spec(recipe)
        check(whole)
        for name, training in (("teacher", stage), ("distill", recipe.distill)):
            if training is not None:
                spec = whole.at(*(training.crop_size or recipe.size))
                check(spec)
                _check_smallest_map(spec, stage.generator, training.batch_size // world_size())
                if training.dropout and not takes_dropout(spec):
                    raise ModelError(f"{name}.dropout is of unet128 and unet256; {stage.generator} has none")
    teacher_method(recipe).check(stage)
    check_judges(recipe, "teacher")


def _check_smallest_map(spec: GeneratorSpec, generator: str, images: int) -> None:
    """Raises ModelError where a norm would see one number alone, in a step of `images` a process."""
    from pocketgan.training.generators import smallest_norm

    batch = spec.norm.startswith("batch")
    if smallest_norm(spec) > 1 or (batch and images > 1):
        return
    raise ModelError(
        f"at {spec.height}x{spec.width} the smallest map of {generator} has one pixel, of which "
        f"{'batch' if batch else 'instance'} norm makes nothing: choose a larger resolution"
        + (", or a batch_size of at least 2 a process" if batch else ", or batch norm")
    )


def _call_own(recipe: Recipe) -> None:
    """The user's own generator takes the images."""
    stage = recipe.teacher
    assert stage is not None
    if stage.is_own:
        from pocketgan.training.generators.own import check_generator, source_file

        console.note(f"teacher: calling {stage.generator}, a function of {source_file(stage.generator)}")
        check_generator(fresh_generator(recipe, recipe.seed), stage.generator, input_shape(recipe))


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
    """2: IncRes-SPADE has CAT's own form. 3: averages catch up with what they are of."""
    stage = recipe.teacher
    assert stage is not None
    if stage.average_decay:
        return 3
    return 2 if stage.generator == "incres-spade" else 1


STAGE = Stage(
    "teacher",
    _version,
    _train_teacher,
    inputs=("data",),
    slices=("data",),
    outside=_outside,
    check=_check,
    call=_call_own,
    trains=True,
    parallel=True,
)
