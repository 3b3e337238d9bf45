"""The stage `distill`: the student, trained against its teacher."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan.files import sha256_file
from pocketgan.pipeline.choosing import check_judges, content_of_judge
from pocketgan.pipeline.networks import STUDENT, TEACHERS, student_family, teacher_spec
from pocketgan.pipeline.processes import world_size
from pocketgan.pipeline.stage import Context, Stage
from pocketgan.pipeline.teacher import outside_training, teacher_method, teacher_setting, weighs
from pocketgan.pipeline.training import check_trainable, file_of_spec, train, trained_teacher
from pocketgan.recipe.programs import STUDENT_PROGRAMS
from pocketgan.recipe.recipe import Recipe

if TYPE_CHECKING:
    from pocketgan.training.programs.method import StudentMethod


def _method(recipe: Recipe) -> StudentMethod:
    assert recipe.distill is not None
    return import_module(STUDENT_PROGRAMS[recipe.distill.program].module).METHOD


def _outside(recipe: Recipe, run: Path) -> Any:
    found = [*(outside_training(recipe, run) or ()), *content_of_judge(recipe.distill)]
    return [*found, *_content_of_losses(recipe)] or None


def _content_of_losses(recipe: Recipe) -> list[str]:
    """Content of the files that the program's losses read."""
    stage, teacher = recipe.distill, recipe.teacher
    assert stage is not None
    assert teacher is not None
    named = STUDENT_PROGRAMS[stage.program].files.items()
    files = [getattr(stage, name) or getattr(teacher, name) for name, weights in named if weighs(stage, weights)]
    return [sha256_file(Path(file)) for file in files if file is not None and Path(file).is_file()]


def _check(recipe: Recipe) -> None:
    from pocketgan.training.similarity import check_batch

    stage, compress = recipe.distill, recipe.compress
    assert stage is not None
    assert compress is not None
    assert recipe.teacher is not None
    check_batch(stage.similarity, stage.batch_size // world_size())
    if compress.student is not None:
        check_trainable("distill", stage, compress.student, student_family(recipe))
    else:
        check_trainable("distill", stage, recipe.teacher.generator, teacher_spec(recipe))
    check_judges(recipe, "distill")
    _method(recipe).check(teacher_setting(recipe), teacher_method(recipe), stage)


def _distill_student(context: Context) -> dict[str, Any]:
    from pocketgan.training.generators import use_dropout
    from pocketgan.training.generators.files import load_generator
    from pocketgan.training.programs.method import DISCRIMINATOR

    recipe, stage = context.recipe, context.recipe.distill
    assert stage is not None
    student = load_generator(context.run / "compress" / STUDENT)
    if stage.dropout:
        use_dropout(student.module, student.spec)
    searched = {Path(name).stem: context.run / "compress" / name for name in TEACHERS}
    evolved = recipe.compress is not None and recipe.compress.method == "evolve"
    task = _method(recipe).task(
        teacher_setting(recipe, context.run),
        teacher_method(recipe),
        stage,
        student=student.module,
        teacher=trained_teacher(recipe, context.run),
        inherited=context.run / "teacher" / f"{DISCRIMINATOR}.safetensors",
        teachers={name: load_generator(path).module for name, path in searched.items()} if evolved else None,
    )
    return train(context, stage, task, file_of_spec(student.module, student.spec))


def _version(recipe: Recipe) -> int:
    """2: averages catch up with what they are of."""
    assert recipe.distill is not None
    return 2 if recipe.distill.average_decay else 1


STAGE = Stage(
    "distill",
    _version,
    _distill_student,
    inputs=("data", "teacher", "compress"),
    slices=("data", "teacher"),
    outside=_outside,
    check=_check,
    trains=True,
    parallel=True,
)
