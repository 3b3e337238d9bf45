"""The whole way of a recipe, stage by stage, and what it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketgan.errors import RecipeError
from pocketgan.pipeline import adapt, bench, bundle, compress, data, distill, export, report, teacher
from pocketgan.pipeline.processes import Processes, join_processes
from pocketgan.pipeline.resume import StageReport, run_stages
from pocketgan.pipeline.roles import bundle_name
from pocketgan.pipeline.stage import Stage, facts_of
from pocketgan.pipeline.workers import AS_IT_COMES, WorkersWanted
from pocketgan.recipe.recipe import Recipe

# In the order in which they run; a recipe's keys are their names.
STAGES = (
    data.STAGE, teacher.STAGE, compress.STAGE, distill.STAGE, adapt.STAGE, export.STAGE, bundle.STAGE, bench.STAGE,
    report.STAGE,
)  # fmt: skip


def check_recipe(recipe: Recipe, done: Sequence[str] = ()) -> None:
    """Find out now what would only fail after hours: missing extras, an impossible budget, an unknown effect.

    Nothing that the recipe names is imported or called. A budget in milliseconds times the layers of the teacher's
    shapes, where this device's cache does not have them.

    Args:
        done: names of stages that will not run any more.
    Raises:
        PocketganError: says what to change.
    """
    for stage in _asked(recipe, done):
        stage.check(recipe)


def check_before(recipe: Recipe, done: Sequence[str] = ()) -> None:
    """`check_recipe`, and a first call of the user's own generator, with a note that says of which file.

    Raises:
        PocketganError: says what to change.
    """
    check_recipe(recipe, done)
    for stage in _asked(recipe, done):
        stage.call(recipe)


def _asked(recipe: Recipe, done: Sequence[str]) -> list[Stage]:
    return [stage for stage in STAGES if stage.name in recipe.stages() and stage.name not in done]


@dataclass(frozen=True)
class RunSummary:
    """What a run left.

    Attributes:
        run: its directory.
        stages: how each went, in order.
        bundle: the student's, of the `bundles`; None where there is none.
        report: the page; None where the recipe makes none.
    """

    run: Path
    stages: tuple[StageReport, ...]
    bundle: Path | None
    bundles: tuple[Path, ...]
    report: Path | None

    def facts(self, stage: str) -> Mapping[str, Any]:
        """What a stage found out, such as `l1` or `macs`; empty where it has not run."""
        return facts_of(self.run, stage)


def run_recipe(
    recipe: Recipe,
    run: Path,
    until: str | None = None,
    group: Processes | None = None,
    restart: bool = False,
    workers: WorkersWanted = AS_IT_COMES,
) -> RunSummary:
    """Run a recipe's stages in the directory `run`.

    Args:
        until: the last stage to run; all where None.
        group: the processes that run it together; those that this one belongs to where None.
        restart: train again, and discard what was trained, where it does not fit the recipe any more.
        workers: who judges the candidates of an evolution.
    Raises:
        PocketganError: says what the user must do; finished stages stay.
    """

    def check(recipe: Recipe, done: Sequence[str]) -> None:
        check_before(recipe, done)
        workers.check(recipe, "compress" in done)

    workers.check(recipe, done=True)
    reports = run_stages(recipe, STAGES, run, until, group or join_processes(), check, restart, workers)
    student, page = run / "bundle" / f"{bundle_name(recipe, 'student')}.pgb", run / "report" / report.REPORT
    return RunSummary(
        run,
        tuple(reports),
        bundle=student if student.is_file() else None,
        bundles=tuple(sorted((run / "bundle").glob("*.pgb"))),
        report=page if page.is_file() else None,
    )


def with_folder(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe reading that data folder.

    Raises:
        RecipeError: it reads none.
    """
    if recipe.data is None or recipe.data.source != "folder":
        raise RecipeError(f"--data: the recipe {recipe.name} makes its own pairs; it would need data.source: folder")
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"folder": str(folder.resolve())})})
