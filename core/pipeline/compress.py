"""The stage `compress`: the student's architecture, searched within the budget."""

from __future__ import annotations

from typing import Any

from pocketgan.pipeline.networks import GENERATOR, STUDENT, teacher_spec
from pocketgan.pipeline.processes import is_first
from pocketgan.pipeline.stage import Context, Stage
from pocketgan.recipe.recipe import Recipe


def _check(recipe: Recipe) -> None:
    """The network can be pruned, and the budget be reached.

    Latency needs the spec alone: the layers are timed now, where the cache does not have them, not after the training.
    """
    from pocketgan.latency.platform import Platform, check_platform
    from pocketgan.training.cost import cost_function
    from pocketgan.training.search import check_budget, check_prunable

    stage, spec = recipe.compress, teacher_spec(recipe)
    assert stage is not None
    check_prunable(spec)
    platform = None if stage.target is None else Platform(stage.target, stage.threads)
    if platform is not None:
        check_platform(platform)
    multiple = stage.widths if isinstance(stage.widths, int) else 1
    if stage.by != "latency":
        check_budget(spec, cost_function(stage.by), stage.budget, stage.least_width, multiple=multiple)
    elif is_first():  # two processes that time at once would disturb each other
        from pocketgan.latency.measuring import latency_model

        assert platform is not None
        model = latency_model(spec, platform)
        check_budget(spec, model, stage.budget, stage.least_width, " ms", multiple)


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
