"""Reads recipes: YAML files and shipped ones, overrides, and what is wrong told with file, line and field."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from pocketgan.errors import RecipeError
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
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        raw = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{label}:{mark.line + 1}" if mark else label
        raise RecipeError(f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from error
    repeated = _repeated_key(node)
    if repeated is not None:
        field, first, second = repeated
        raise RecipeError(f"{label}:{second}: {field}: this key is in line {first} already; keep one of them")
    if not isinstance(raw, dict):
        raise RecipeError(f"{label}: expected a mapping with the keys name, {', '.join(STAGES)}")
    for setting in settings:
        _override(raw, setting)
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        lines = _lines(node)
        raise RecipeError("\n".join(_describe(problem, label, lines, raw) for problem in error.errors())) from error


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
    repeated = _repeated_key(node)
    if repeated is not None:
        raise RecipeError(f"--set {setting}: {repeated[0]} is there twice; keep one of them")


def _repeated_key(root: yaml.Node | None) -> tuple[str, int, int] | None:
    """A key that a mapping has twice, and the lines (from 1) of both; None where there is none.

    YAML forbids them, and the parser takes the last one without a word.
    """
    waiting: list[tuple[yaml.Node | None, str]] = [(root, "")]
    seen: set[int] = set()  # an alias is the node that it names
    while waiting:
        node, above = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += [(value, f"{above}{index}.") for index, value in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if key.value in lines:
                    return f"{above}{key.value}", lines[key.value], line
                lines[key.value] = line
                waiting.append((value, f"{above}{key.value}."))
    return None


def _lines(node: yaml.Node | None, at: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], int]:
    """Line number (from 1) of every field of a YAML document."""
    lines: dict[tuple[str | int, ...], int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            lines[(*at, key.value)] = key.start_mark.line + 1
            lines |= _lines(value, (*at, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*at, index)] = value.start_mark.line + 1
            lines |= _lines(value, (*at, index))
    return lines


def _describe(problem: Any, label: str, lines: dict[tuple[str | int, ...], int], raw: dict[str, Any]) -> str:
    location = tuple(problem["loc"])
    known = next((location[:end] for end in range(len(location), 0, -1) if location[:end] in lines), ())
    where = f"{label}:{lines[known]}" if known else label
    field = ".".join(map(str, location)) or "recipe"
    if problem["type"] == "extra_forbidden":
        return f"{where}: {field}: unknown key; {_known_keys(location[:-1])}"
    if problem["type"] == "missing":
        return f"{where}: {field}: this field is required"
    message = problem["msg"].removeprefix("Value error, ")
    got = "" if isinstance(problem["input"], dict) or "got" in message else f", got {problem['input']!r}"
    return f"{where}: {field}: {message[0].lower()}{message[1:]}{got}"


def _known_keys(section: tuple[str | int, ...]) -> str:
    model: type[BaseModel] = Recipe
    for part in section:
        annotation = model.model_fields[str(part)].annotation
        model = next(
            a
            for a in getattr(annotation, "__args__", (annotation,))
            if isinstance(a, type) and issubclass(a, BaseModel)
        )
    return f"known here: {', '.join(model.model_fields)}"
