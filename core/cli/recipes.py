"""`pocketgan run` and `pocketgan recipe`: the whole way, and what describes it."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer

from pocketgan import console
from pocketgan.cli.options import Json, Settings

recipe = typer.Typer(name="recipe", help="Recipes: list, show, check, and their JSON Schema.", no_args_is_help=True)

Source = Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe file, or a shipped name such as demo.")]


def run(
    source: Source,
    out: Annotated[Path | None, typer.Option("--out", help="Run directory; runs/NAME where absent.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Folder of pairs for a recipe that reads one.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="STAGE", help="Stop after this stage.")] = None,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """The whole way from images to a measured bundle; finished stages are skipped, killed ones resumed."""
    from pocketgan.pipeline.processes import join_processes
    from pocketgan.pipeline.way import run_recipe

    group = join_processes()
    console.use_quiet(not group.first)
    payload, text = run_recipe(source, settings or [], data, out, until, group)
    console.result(payload, text)


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
    """Whether a recipe can run: its fields, its budget, the installed extras."""
    from pocketgan.pipeline.way import check_before
    from pocketgan.recipe.reading import load_recipe

    loaded = load_recipe(source, settings or [])
    check_before(loaded)
    stages = loaded.stages()
    console.result({"ok": True, "stages": stages}, f"{source}: good; stages {', '.join(stages)}")
