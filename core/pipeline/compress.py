"""The stages from images to a trained student, and what is checked before the first of them."""

from __future__ import annotations

import os
from typing import Any

from pocketgan.errors import ModelError, require
from pocketgan.pipeline.data import make_data, outside_data
from pocketgan.pipeline.programs import fresh_generator, teacher_spec
from pocketgan.pipeline.running import Context, Stage
from pocketgan.pipeline.training import GENERATOR, STUDENT, distill_student, outside_training, train_teacher
from pocketgan.recipe.recipe import Recipe


def check_before(recipe: Recipe) -> None:
    """Find out now what would only fail after hours: missing extras, an impossible budget, an unknown effect.

    Raises:
        PocketganError: says what to change.
    """
    from pocketgan.doctor import check_torch_pair

    if recipe.data is not None:
        require("train", "torch", "accelerate", "safetensors", "tensorboard", "cv2")
        check_torch_pair()
    if recipe.export is not None:
        require("export", "torch")
        from pocketgan.export.targets import TARGETS, pairs

        for name in recipe.export.targets:
            TARGETS[name].check_installed()
        pairs(recipe.export.targets, recipe.export.precisions)
    if recipe.data is not None and recipe.data.source == "builtin":
        from pocketgan.training.teachers.filters import check_effect

        check_effect(recipe.data.effect)
    if recipe.teacher is not None:
        _check_teacher(recipe)
    if recipe.compress is not None:
        from pocketgan.training.cost import cost_function
        from pocketgan.training.search import check_budget, check_prunable

        spec = teacher_spec(recipe)
        check_prunable(spec)
        stage = recipe.compress
        if stage.target is not None:
            from pocketgan.latency.measuring import Platform, check_platform

            check_platform(Platform(stage.target, stage.threads))
        if stage.by != "latency":
            check_budget(spec, cost_function(stage.by), stage.budget, stage.least_width)
    if recipe.distill is not None:
        from pocketgan.training.similarity import check_batch

        check_batch(recipe.distill.similarity, recipe.distill.batch_size // int(os.environ.get("WORLD_SIZE", "1")))


def _check_teacher(recipe: Recipe) -> None:
    """The generator takes the images, and the weights that its losses need are there."""
    stage, data = recipe.teacher, recipe.data
    assert stage is not None
    assert data is not None
    if stage.is_own:
        from pocketgan.training.generators.own import check_generator

        check_generator(fresh_generator(recipe, recipe.seed), stage.generator, (data.input_channels, *recipe.size))
    else:
        from pocketgan.training.generators import check

        spec = teacher_spec(recipe)
        check(spec)
        smallest = (spec.height >> spec.levels) * (spec.width >> spec.levels)
        alone = min(training.batch_size for training in (stage, recipe.distill) if training is not None)
        if spec.norm.startswith("batch") and smallest == 1 and alone == 1:
            raise ModelError(
                f"at {spec.height}x{spec.width} the smallest map of {stage.generator} has one pixel, of which batch "
                "norm makes nothing: choose a larger resolution, or a batch_size of at least 2"
            )
    if stage.program == "gaugan" and stage.lambda_vgg:
        from pocketgan.training.vgg import load_vgg

        load_vgg(stage.vgg_weights)


def search_student(context: Context) -> dict[str, Any]:
    """Prune the teacher to the budget; the student is written with fresh weights."""
    from pocketgan.latency.search import Wish, find_student
    from pocketgan.training.cost import cost
    from pocketgan.training.generators import build
    from pocketgan.training.generators.files import load_generator, save_generator

    recipe, stage = context.recipe, context.recipe.compress
    assert stage is not None
    teacher = load_generator(context.run / "teacher" / GENERATOR)
    widths = None if stage.widths is None else str(stage.widths)
    wish = Wish(stage.by, stage.budget, stage.least_width, widths, stage.target, stage.threads)
    student = find_student(teacher.module, teacher.spec, wish)
    found = student.found
    save_generator(context.folder / STUDENT, build(found.spec, recipe.seed + 1), found.spec, {"trained": "no"})
    return {
        "cost": found.cost,
        "budget": stage.budget,
        "seconds": found.seconds,
        "evaluations": found.evaluations,
        "macs": cost(found.spec).macs,
        "teacher_macs": cost(teacher.spec).macs,
        "rule": found.rule,
        "predicted_ms": student.predicted_ms,
        "measured_ms": student.measured_ms,
    }


TRAINING_STAGES = (
    Stage("data", 1, make_data, outside=outside_data),
    Stage("teacher", 1, train_teacher, inputs=("data",), slices=("data",), outside=outside_training, parallel=True),
    Stage("compress", 1, search_student, inputs=("teacher",)),
    Stage(
        "distill",
        1,
        distill_student,
        inputs=("data", "teacher", "compress"),
        slices=("data", "teacher"),
        outside=outside_training,
        parallel=True,
    ),
)
