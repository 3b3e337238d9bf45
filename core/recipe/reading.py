"""Reads recipes: YAML files and shipped ones, and overrides."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from pocketgan.errors import RecipeError
from pocketgan.recipe.documents import parse_document, repeated_key
from pocketgan.recipe.recipe import STAGES, Recipe


def shipped() -> dict[str, str]:
    """Text of the recipes that come with pocketgan, by name."""
    folder = resources.files("pocketgan.recipes")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name)
    return {file.name.removesuffix(".yaml"): file.read_text("utf-8") for file in files}


def load_recipe(source: str, settings: Iterable[str] = ()) -> Recipe:
    """Read a recipe from a file, or by the name of a shipped one.

    Args:
        source: path of a YAML file, or a shipped name such as `demo`.
        settings: overrides such as `teacher.steps=50`, values in YAML.
    Raises:
        RecipeError: names file, line, field and what was expected, one line a problem.
    """
    text, label = _read(source)
    document = parse_document(text, label)
    if not isinstance(document.content, dict):
        raise RecipeError(f"{label}: expected a mapping with the keys name, {', '.join(STAGES)}")
    for setting in settings:
        _override(document.content, setting)
    return document.read(Recipe, "recipe")


def _read(source: str) -> tuple[str, str]:
    path = Path(source)
    if path.is_file():
        try:
            return path.read_text("utf-8"), source
        except (UnicodeDecodeError, OSError) as error:
            raise RecipeError(f"{source} is not a readable text file: {error}") from error
    recipes = shipped()
    if source in recipes:
        return recipes[source], f"{source} (shipped)"
    raise RecipeError(
        f"there is no recipe file {source}, and no shipped recipe of that name; shipped: {', '.join(recipes)}"
    )


def _override(raw: dict[str, Any], setting: str) -> None:
    key, equals, value = setting.partition("=")
    parts = key.split(".")
    if not equals or not all(parts):
        raise RecipeError(f"--set takes key=value such as teacher.steps=50, got {setting!r}")
    place = raw
    for part in parts[:-1]:
        if place.get(part) is None:
            place[part] = {}
        place = place[part]
        if not isinstance(place, dict):
            raise RecipeError(f"--set {setting}: {part} is a single value and has no fields")
    try:
        node = yaml.compose(value, Loader=yaml.SafeLoader)
        place[parts[-1]] = yaml.safe_load(value)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise RecipeError(f"--set {setting}: the value is not valid YAML") from error
    repeated = repeated_key(node)
    if repeated is not None:
        raise RecipeError(f"--set {setting}: {repeated[0]} is there twice; keep one of them")
