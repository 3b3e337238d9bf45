"""The whole way of a recipe, stage by stage, and what `pocketgan run` says at its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pocketgan import console
from pocketgan.errors import RecipeError
from pocketgan.pipeline import bench, bundle, compress, data, distill, export, report, teacher
from pocketgan.pipeline.processes import Processes
from pocketgan.pipeline.resume import StageReport, run_stages
from pocketgan.pipeline.stage import facts_of
from pocketgan.recipe.reading import load_recipe
from pocketgan.recipe.recipe import Recipe

# In the order in which they run; a recipe's keys are their names.
STAGES = (
    data.STAGE, teacher.STAGE, compress.STAGE, distill.STAGE, export.STAGE, bundle.STAGE, bench.STAGE, report.STAGE,
)  # fmt: skip


def check_before(recipe: Recipe) -> None:
    """Find out now what would only fail after hours: missing extras, an impossible budget, an unknown effect.

    Raises:
        PocketganError: says what to change.
    """
    for stage in STAGES:
        if stage.name in recipe.stages():
            stage.check(recipe)


def run_recipe(
    source: str, settings: Sequence[str], folder: Path | None, out: Path | None, until: str | None, group: Processes
) -> tuple[dict[str, Any], str]:
    """Run a recipe; returns the JSON object and the text for people.

    Raises:
        PocketganError: says what the user must do; finished stages stay.
    """
    recipe = load_recipe(source, settings)
    if folder is not None:
        recipe = _with_folder(recipe, folder)
    run = out or Path("runs") / recipe.name
    reports = run_stages(recipe, STAGES, run, until, group, check_before)
    return _payload(run, recipe, reports), _text(run, recipe, reports)


def _with_folder(recipe: Recipe, folder: Path) -> Recipe:
    if recipe.data is None or recipe.data.source != "folder":
        raise RecipeError(f"--data: the recipe {recipe.name} makes its own pairs; it would need data.source: folder")
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"folder": str(folder.resolve())})})


def _payload(run: Path, recipe: Recipe, reports: Sequence[StageReport]) -> dict[str, Any]:
    bundles = sorted(str(path) for path in (run / "bundle").glob("*.pgb"))
    page = run / "report" / report.REPORT
    student = run / "bundle" / f"{recipe.name}-student.pgb"
    return {
        "run": str(run),
        "bundle": str(student) if student.is_file() else None,
        "bundles": bundles,
        "report": str(page) if page.is_file() else None,
        "stages": [{"name": r.name, "skipped": r.skipped, "seconds": round(r.seconds, 3)} for r in reports],
    }


def _text(run: Path, recipe: Recipe, reports: Sequence[StageReport]) -> str:
    lines = [
        console.table(
            ["stage", "", "seconds"],
            [(r.name, "skipped" if r.skipped else "done", f"{r.seconds:.1f}") for r in reports],
        )
    ]
    quality = _quality(run)
    if quality:
        lines += ["", quality]
    payload = _payload(run, recipe, reports)
    lines += ["", *(f"bundle: {path}" for path in payload["bundles"])]
    if payload["report"]:
        lines.append(f"report: {Path(payload['report']).resolve()}")
    return "\n".join(lines)


def _quality(run: Path) -> str:
    """What is known of the pictures on validation images, and how many times fewer MACs the student has."""
    facts = facts_of(run, "distill") or facts_of(run, "teacher")
    lines = []
    if "to_teacher_l1" in facts:
        lines.append(f"L1 of the student's validation pictures to its teacher's: {facts['to_teacher_l1']:.4f}")
    elif "cycle_l1" in facts:
        lines.append(f"L1 of validation images to themselves, there and back: {facts['cycle_l1']:.4f}")
    elif facts:
        parts = [f"{who} {facts[key]:.4f}" for who, key in _distances(facts) if key in facts]
        lines.append(f"L1 to the target on validation images, on the scale [-1, 1]: {', '.join(parts)}")
    macs = facts_of(run, "compress")
    if macs:
        lines.append(
            f"MACs: student {macs['macs'] / 1e9:.3f} G, teacher {macs['teacher_macs'] / 1e9:.3f} G:"
            f" {macs['teacher_macs'] / macs['macs']:.1f} times fewer"
        )
    return "\n".join(lines)


def _distances(facts: dict[str, float]) -> list[tuple[str, str]]:
    own = "student" if "teacher_l1" in facts else "teacher"
    return [(own, "l1"), ("teacher", "teacher_l1"), ("input itself", "identity_l1")]
