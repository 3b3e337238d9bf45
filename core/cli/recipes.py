"""`pocketgan run` and `pocketgan recipe`: the whole way, and what describes it."""

from __future__ import annotations

import json as jsonlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketgan import console
from pocketgan.cli.options import Json, Settings, output_folder

if TYPE_CHECKING:
    from pocketgan.pipeline.way import RunSummary

recipe = typer.Typer(name="recipe", help="Recipes: list, show, check, and their JSON Schema.", no_args_is_help=True)

Source = Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe file, or a shipped name such as demo.")]


def run(
    source: Source,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", parser=output_folder("--out"), metavar="DIR", help="Run directory; runs/NAME where absent."
        ),
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Folder of pairs for a recipe that reads one.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="STAGE", help="Stop after this stage.")] = None,
    settings: Settings = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Train again, and discard what was trained with another recipe or data.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=0,
            help="compress.method evolve: processes that judge candidates on this computer; 0: this one alone.",
            show_default="one a core",
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="ADDRESS",
            help="Instead, a Dask scheduler, tls://HOST:PORT or tcp://HOST:PORT, trusted in full.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """The whole way from images to a measured bundle.

    Finished stages are skipped, killed ones resumed.
    """
    from pocketgan import api
    from pocketgan.pipeline.processes import is_first

    # Before torch is loaded: threads that wait for each other fall asleep after 10,000 turns. Beside other work on two
    # cores a training step takes 0.5 s so, 24 s with OpenMP's default of 300,000; alone 0.18 and 0.17 s.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    console.use_quiet(not is_first())
    summary = api.run(
        api.load_recipe(source, settings or []),
        out=out, data=data, until=until, restart=restart, workers=workers, address=address,
    )  # fmt: skip
    payload = {
        "run": str(summary.run),
        "bundle": None if summary.bundle is None else str(summary.bundle),
        "bundles": list(map(str, summary.bundles)),
        "report": None if summary.report is None else str(summary.report),
        "stages": [{"name": r.name, "skipped": r.skipped, "seconds": round(r.seconds, 3)} for r in summary.stages],
    }
    console.result(payload, _text(summary))


def _text(summary: RunSummary) -> str:
    rows = [(r.name, "skipped" if r.skipped else "done", f"{r.seconds:.1f}") for r in summary.stages]
    lines = [console.table(["stage", "", "seconds"], rows)]
    quality = _quality(summary)
    if quality:
        lines += ["", *quality]
    lines += ["", *(f"bundle: {path}" for path in summary.bundles)]
    if summary.report is not None:
        lines.append(f"report: {summary.report.resolve()}")
    return "\n".join(lines)


def _quality(summary: RunSummary) -> list[str]:
    """What is known of the pictures on validation images, and how many times fewer MACs the student has."""
    from pocketgan.bundle.manifest import Origin

    facts = summary.facts("distill") or summary.facts("teacher")
    origin = summary.facts("teacher").get("origin")
    lines = [] if origin is None else [f"teacher: {Origin.model_validate(origin)}"]
    if "to_teacher_l1" in facts:
        known = facts.get("identity_to_teacher_l1")
        itself = "" if known is None else f" (of the photos themselves: {known:.4f})"
        lines.append(f"L1 of the student's validation pictures to its teacher's: {facts['to_teacher_l1']:.4f}{itself}")
    if "cycle_l1" in facts:
        lines.append(f"L1 of validation images to themselves, there and back: {facts['cycle_l1']:.4f}")
    if "l1" in facts:
        own = "student" if "teacher_l1" in facts else "teacher"
        columns = ((own, "l1"), ("teacher", "teacher_l1"), ("input itself", "identity_l1"))
        parts = [f"{who} {facts[key]:.4f}" for who, key in columns if key in facts]
        lines.append(f"L1 to the target on validation images, on the scale [-1, 1]: {', '.join(parts)}")
    macs = summary.facts("compress")
    if macs:
        student, teacher = macs["macs"], macs["teacher_macs"]
        other = macs.get("compared_with", "teacher")
        times = "" if teacher is None else f", {other} {teacher / 1e9:.3f} G: {teacher / student:.1f} times fewer"
        lines.append(f"MACs: student {student / 1e9:.3f} G{times}")
    return lines


@recipe.command("list")
def list_recipes(json: Json = False) -> None:
    """Names of the recipes that come with pocketgan."""
    from pocketgan.recipe.reading import shipped

    summaries = {name: text.splitlines()[0].lstrip("# ") for name, text in shipped().items()}
    console.result({"recipes": summaries}, console.table(["recipe", "what it does"], summaries.items()))


@recipe.command("show")
def show(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Text of a shipped recipe, to copy and change."""
    from pocketgan.errors import RecipeError
    from pocketgan.recipe.reading import shipped

    recipes = shipped()
    if name not in recipes:
        raise RecipeError(f"no shipped recipe is called {name!r}; there are {', '.join(recipes)}")
    print(recipes[name], end="")


@recipe.command("schema")
def schema() -> None:
    """JSON Schema of recipes, for editors."""
    from pocketgan.recipe.recipe import Recipe

    print(jsonlib.dumps(Recipe.model_json_schema(), indent=2))


@recipe.command("check")
def check(source: Source, settings: Settings = None, json: Json = False) -> None:
    """Whether a recipe can run.

    Its fields, its budget, the installed extras. A budget in milliseconds times the teacher's layers on this device,
    once: a minute or two. Nothing that the recipe names is imported or called.
    """
    from pocketgan.pipeline.way import check_recipe
    from pocketgan.recipe.reading import load_recipe

    loaded = load_recipe(source, settings or [])
    check_recipe(loaded)
    stages, teacher = loaded.stages(), loaded.teacher
    if teacher is not None and teacher.is_own:
        console.note(f"{teacher.generator} was found and not called: whether it gives a generator, `run` finds out")
    console.result({"ok": True, "stages": stages}, f"{source}: good; stages {', '.join(stages)}")
