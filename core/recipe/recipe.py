"""Recipes: what to train, compress, export and measure, read from YAML.

The top-level keys are the stages in their order; a stage that is absent does not run.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from pocketgan.bundle.manifest import Name
from pocketgan.errors import RecipeError
from pocketgan.recipe.sections import (
    PROGRAM_DEFAULTS,
    BenchStage,
    BundleStage,
    CompressStage,
    DataStage,
    DistillStage,
    ExportStage,
    ReportStage,
    Resolution,
    Section,
    TeacherStage,
)

STAGES = ("data", "teacher", "compress", "distill", "export", "bundle", "bench", "report")


class Recipe(Section):
    """The whole way from images to a measured bundle."""

    name: Name
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    resolution: Resolution = Field(256, description="height and width in pixels, or [height, width]")
    data: DataStage | None = None
    teacher: TeacherStage | None = None
    compress: CompressStage | None = None
    distill: DistillStage | None = None
    export: ExportStage | None = None
    bundle: BundleStage | None = None
    bench: BenchStage | None = None
    report: ReportStage | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_programs_defaults(cls, raw: Any) -> Any:
        teacher = raw.get("teacher") if isinstance(raw, dict) else None
        if not isinstance(teacher, dict):
            return raw
        defaults = PROGRAM_DEFAULTS.get(str(teacher.get("program")), {})
        filled = {stage: {**more, **raw[stage]} for stage, more in defaults.items() if isinstance(raw.get(stage), dict)}
        return {**raw, **filled}

    @model_validator(mode="after")
    def _the_program_fits_the_data(self) -> Self:
        if self.data is None or self.teacher is None:
            return self
        kinds = {"pix2pix": ("paired", "label"), "cyclegan": ("unpaired",), "gaugan": ("label",)}
        wanted = kinds[self.teacher.program]
        if self.data.kind not in wanted:
            raise ValueError(
                f"teacher.program {self.teacher.program} learns from data.kind {' or '.join(wanted)}, "
                f"not {self.data.kind}"
            )
        return self

    @model_validator(mode="after")
    def _own_generators_are_not_pruned(self) -> Self:
        if self.teacher is not None and self.teacher.is_own and self.compress is not None:
            raise ValueError(
                f"compress cannot prune {self.teacher.generator}: pocketgan does not know the layers of your own "
                "generator; remove compress and distill, which trains it and exports it as it is"
            )
        return self

    @model_validator(mode="after")
    def _stages_follow_each_other(self) -> Self:
        needs = dict(zip(STAGES[1:], STAGES, strict=False)) | {"export": "teacher"}
        for stage, before in needs.items():
            if getattr(self, stage) is not None and getattr(self, before) is None:
                raise ValueError(f"the stage {stage} needs the stage {before}; add `{before}:`")
        if self.compress is not None and self.distill is None and self.export is not None:
            raise ValueError("a compressed network is not trained yet; add `distill:` before exporting")
        return self

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return (self.resolution, self.resolution) if isinstance(self.resolution, int) else self.resolution

    def stages(self) -> list[str]:
        """The stages that run, in order."""
        return [stage for stage in STAGES if getattr(self, stage) is not None]


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
        place[parts[-1]] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {setting}: the value is not valid YAML") from error


def _lines(node: yaml.Node | None, at: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], int]:
    """Line number (from 1) of every field of a YAML document."""
    found: dict[tuple[str | int, ...], int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            found[(*at, key.value)] = key.start_mark.line + 1
            found |= _lines(value, (*at, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            found[(*at, index)] = value.start_mark.line + 1
            found |= _lines(value, (*at, index))
    return found


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
