"""The stage `report`: one HTML page of all results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pocketgan.pipeline.bench import RESULTS
from pocketgan.pipeline.roles import bundle_name, roles, trained_in
from pocketgan.pipeline.stage import Context, Stage, facts_of
from pocketgan.recipe.recipe import Recipe

REPORT = "report.html"


def _evaluations(recipe: Recipe, run: Path) -> Any:
    """What was measured while the models were trained; None where nothing was."""
    stages = [stage for role in roles(recipe) if (stage := trained_in(recipe, role)) is not None]
    return {stage: facts["evaluations"] for stage in stages if "evaluations" in (facts := facts_of(run, stage))} or None


def _make_report(context: Context) -> dict[str, Any]:
    from pocketgan.bench.report import write_report
    from pocketgan.bench.report.training import Course

    recipe, stage = context.recipe, context.recipe.report
    assert stage is not None
    evaluations = _evaluations(recipe, context.run) or {}
    courses = []
    for role in roles(recipe):
        made_by = trained_in(recipe, role)
        if made_by is not None and made_by in evaluations:
            found = evaluations[made_by]
            values = [(one["step"], {name: v for name, v in one.items() if name != "step"}) for one in found["values"]]
            courses.append(
                Course(
                    name=bundle_name(recipe, role),
                    role=role,
                    steps=getattr(recipe, made_by).steps,
                    values=values,
                    shipped_step=found["shipped_step"],
                    best_by=found["best_by"],
                    images=found["images"],
                )
            )
    write_report([context.run / "bench" / RESULTS], context.folder / REPORT, stage.title, courses)
    return {}


STAGE = Stage("report", 1, _make_report, inputs=("bench",), outside=_evaluations)
