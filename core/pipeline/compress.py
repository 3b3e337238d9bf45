"""The stage `compress`: the student's architecture, searched within the budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pocketgan.errors import ModelError
from pocketgan.pipeline import evolve
from pocketgan.pipeline.networks import GENERATOR, STUDENT, student_family, teacher_cost, teacher_spec
from pocketgan.pipeline.processes import is_first
from pocketgan.pipeline.stage import Context, Stage
from pocketgan.recipe.recipe import Recipe


def _check(recipe: Recipe) -> None:
    """The network can be pruned, and the budget be reached.

    Latency needs the spec alone: the layers are timed now, where the cache does not have them, not after the training.
    """
    from pocketgan.latency.platform import Platform, check_platform
    from pocketgan.training.cost import cost_function
    from pocketgan.training.generators import check, prunable
    from pocketgan.training.search import check_budget

    stage = recipe.compress
    assert stage is not None
    if stage.method == "evolve":
        evolve.check(recipe)
        return
    spec = teacher_spec(recipe) if stage.student is None else student_family(recipe)
    check(spec)
    if not prunable(spec):
        raise _not_prunable(stage.student, spec.norm)
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


def _not_prunable(student: str | None, norm: str) -> ModelError:
    if student is not None:
        return ModelError(
            f"compress.student: the norms of {student} ({norm}) have no scales to search by; choose incres9, "
            "resnet9-bn, unet256 or incres-spade"
        )
    return ModelError(
        f"this teacher cannot be pruned: its norms ({norm}) have no scales; name a family for the student, "
        "compress.student: incres9, or train a teacher of norm 'batch' or 'instance-affine'"
    )


def _search_student(context: Context) -> dict[str, Any]:
    """Prune the teacher, or the whole network of the student's family, to the budget.

    The student is written with fresh weights, or with those of the teacher's that survive.
    """
    from pocketgan.latency.search import Wish, find_student
    from pocketgan.training import removal
    from pocketgan.training.cost import cost
    from pocketgan.training.even import even_network
    from pocketgan.training.generators import build
    from pocketgan.training.generators.files import load_generator, save_generator

    recipe, stage = context.recipe, context.recipe.compress
    assert stage is not None
    if stage.method == "evolve":
        return evolve.evolve_student(context)
    if stage.student is None:
        loaded = load_generator(context.run / "teacher" / GENERATOR)
        whole, spec = loaded.module, loaded.spec
    else:
        spec = student_family(recipe)
        whole = even_network(spec)
    wish = Wish(
        stage.by,
        stage.budget,
        least_width=stage.least_width,
        widths=None if stage.widths is None else str(stage.widths),
        target=stage.target,
        threads=stage.threads,
    )
    student = find_student(whole, spec, wish)
    result = student.result
    module = removal.inherit(whole, spec, result.spec) if stage.inherit else build(result.spec, recipe.seed + 1)
    save_generator(context.folder / STUDENT, module, result.spec, {"trained": "no"})
    return {
        "cost": result.cost,
        "budget": stage.budget,
        "seconds": result.seconds,
        "evaluations": result.evaluations,
        "macs": cost(result.spec).macs,
        "teacher_macs": _teacher_macs(context),
        "rule": result.rule,
        "predicted_ms": student.predicted_ms,
        "measured_ms": student.measured_ms,
    }


def _teacher_macs(context: Context) -> int | None:
    """Executed MACs of the teacher; None where its runtime's file does not tell."""
    cost = teacher_cost(context.recipe, context.run)
    return None if cost is None else cost.macs


def _outside(recipe: Recipe, run: Path) -> Any:
    """What an evolution judges by; a pruning reads the teacher alone."""
    assert recipe.compress is not None
    return evolve.outside(recipe, run) if recipe.compress.method == "evolve" else None


STAGE = Stage("compress", 1, _search_student, inputs=("teacher",), outside=_outside, check=_check)
