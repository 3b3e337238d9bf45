"""The stage `compress`: the student's architecture, searched within the budget."""

from __future__ import annotations

from typing import Any

from pocketgan.pipeline.networks import GENERATOR, STUDENT, teacher_spec
from pocketgan.pipeline.stage import Context, Stage
from pocketgan.recipe.recipe import Recipe


def _check(recipe: Recipe) -> None:
    from pocketgan.training.cost import cost_function
    from pocketgan.training.search import check_budget, check_prunable

    stage, spec = recipe.compress, teacher_spec(recipe)
    assert stage is not None
    check_prunable(spec)
    if stage.target is not None:
        from pocketgan.latency.platform import Platform, check_platform

        check_platform(Platform(stage.target, stage.threads))
    if stage.by != "latency":
        check_budget(spec, cost_function(stage.by), stage.budget, stage.least_width)


def _search_student(context: Context) -> dict[str, Any]:
    """Prune the teacher to the budget; the student is written with fresh weights, or with those that survive."""
    from pocketgan.latency.search import Wish, find_student
    from pocketgan.training import removal
    from pocketgan.training.cost import cost
    from pocketgan.training.generators import build
    from pocketgan.training.generators.files import load_generator, save_generator

    recipe, stage = context.recipe, context.recipe.compress
    assert stage is not None
    teacher = load_generator(context.run / "teacher" / GENERATOR)
    wish = Wish(
        stage.by,
        stage.budget,
        least_width=stage.least_width,
        widths=None if stage.widths is None else str(stage.widths),
        target=stage.target,
        threads=stage.threads,
    )
    student = find_student(teacher.module, teacher.spec, wish)
    result = student.result
    if stage.inherit:
        module = removal.inherit(teacher.module, teacher.spec, result.spec)
    else:
        module = build(result.spec, recipe.seed + 1)
    save_generator(context.folder / STUDENT, module, result.spec, {"trained": "no"})
    return {
        "cost": result.cost,
        "budget": stage.budget,
        "seconds": result.seconds,
        "evaluations": result.evaluations,
        "macs": cost(result.spec).macs,
        "teacher_macs": cost(teacher.spec).macs,
        "rule": result.rule,
        "predicted_ms": student.predicted_ms,
        "measured_ms": student.measured_ms,
    }


STAGE = Stage("compress", 1, _search_student, inputs=("teacher",), check=_check)
