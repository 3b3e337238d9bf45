"""Recipes: what to train, compress, export and measure, read from YAML.

The top-level keys are the stages in their order; a stage that is absent does not run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator

from pocketgan.errors import RecipeError
from pocketgan.manifest import Name

STAGES = ("data", "teacher", "compress", "distill", "export", "bundle", "bench", "report")
_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def parse_count(value: object) -> object:
    """`2.6G` -> 2600000000; numbers stay as they are."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)\s*", value)
        if not match:
            raise ValueError(f"expected a number with an optional K, M, G or T such as 2.6G, got {value!r}")
        return round(float(match[1]) * _UNITS[match[2]])
    return value


def parse_budget(value: object) -> object:
    """`2.6G` -> 2600000000, `12ms` -> 12.0 milliseconds; numbers stay as they are."""
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s)\s*", value)):
        return float(match[1]) * _MILLISECONDS[match[2]]
    number = parse_count(value)
    return int(number) if isinstance(number, float) and number.is_integer() else number


Budget = Annotated[
    int | float,
    BeforeValidator(parse_budget),
    Field(gt=0),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*([KMGT]?|us|ms|s)\s*$"},
            ]
        }
    ),
]
Steps = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataStage(_Section):
    """Pairs to learn from: made from built-in photos by a filter effect, or a folder of the user's."""

    source: Literal["builtin", "folder"] = Field(
        "folder", description="photos of installed packages, or a folder of pairs"
    )
    folder: str | None = Field(None, description="the data folder; --data overrides it")
    direction: Literal["AtoB", "BtoA"] = Field("AtoB", description="AtoB maps A (left half) to B (right half)")
    effect: str = Field("stylization", description="builtin: the filter that makes the targets")
    train_crops: Steps = Field(400, description="builtin: number of training pairs")
    val_crops: Steps = Field(32, description="builtin: number of validation pairs")


class Training(_Section):
    """What the teacher's and the student's training have in common."""

    steps: Steps = Field(description="optimiser steps")
    batch_size: Steps = Field(1, description="images a step, over all processes")
    learning_rate: Positive = 2e-4
    discriminator_learning_rate: Positive | None = Field(None, description="the generator's where absent")
    adam_betas: tuple[float, float] = (0.5, 0.999)
    decay: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="last share of the steps, with rates falling to 0"
    )
    gan_mode: Literal["hinge", "lsgan", "vanilla"] = "hinge"
    average_decay: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="moving average of the generator's weights"
    )
    load_scale: Annotated[float, Field(ge=1, le=4)] = Field(1.0, description="resize to this times the size, then crop")
    flip: bool = True
    precision: Literal["fp32", "bf16"] = "fp32"
    checkpoint_every: Steps = Field(200, description="steps that a kill can cost at most")
    sample_every: Steps = Field(200, description="steps between sample pictures")


class TeacherStage(Training):
    """Training of the unpruned generator by pix2pix."""

    generator: str = Field("incres9", description="a generator name, see `pocketgan cost --help`")
    ngf: Annotated[int, Field(ge=2)] | None = Field(
        None, description="channels of the first layer; the paper's where absent"
    )
    norm: Literal["batch", "instance", "instance-affine"] | None = None
    program: Literal["pix2pix"] = "pix2pix"
    lambda_l1: NotNegative = 100.0
    ndf: Annotated[int, Field(ge=1)] = Field(64, description="channels of the discriminator's first layer")


class CompressStage(_Section):
    """One-step search for the student."""

    budget: Budget = Field(description="largest cost of the student, such as 2.6G, or 12ms by latency")
    by: Literal["macs_by_output", "macs", "params", "latency"] = Field(
        "macs_by_output", description="what the budget counts"
    )
    least_width: Annotated[int, Field(ge=1)] = Field(
        16, description="channels that every layer outside the blocks keeps"
    )
    target: Literal["onnx", "executorch-xnnpack"] | None = Field(
        None, description="suit the student to this exported form on this device; by latency needs one"
    )
    threads: Annotated[int, Field(ge=1)] = Field(1, description="threads of the target's runtime")
    widths: Literal[1, 4, 8, 16, "auto"] | None = Field(
        None, description="multiples of the student's widths; auto: what pays on the target, its default"
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> CompressStage:
        if (self.by == "latency") != isinstance(self.budget, float):
            expected = "a time such as 12ms" if self.by == "latency" else "a number such as 2.6G"
            raise ValueError(f"budget is {expected} where by is {self.by}")
        if self.target is None and (self.by == "latency" or self.widths == "auto"):
            raise ValueError("target is missing: latency and automatic widths need one, such as onnx")
        return self


class DistillStage(Training):
    """Training of the student against the teacher."""

    program: Literal["distill"] = "distill"
    similarity: Literal["gka"] = "gka"
    lambda_distill: NotNegative = 0.5
    lambda_recon: NotNegative = 100.0


class ExportStage(_Section):
    """Runtime files of the student, the teacher and the unpruned ResNet-9."""

    targets: list[Literal["onnx", "executorch-xnnpack", "coreml"]] = Field(
        default=["onnx", "executorch-xnnpack", "coreml"], min_length=1
    )
    workers: Annotated[int, Field(ge=1, le=64)] | None = Field(
        None, description="processes; as memory and cores allow where absent"
    )


class BundleStage(_Section):
    """One `.pgb` file a model."""

    sign_with: str | None = Field(None, description="PEM file of an Ed25519 private key")


class BenchStage(_Section):
    """Measuring of all bundles, interleaved."""

    device: str = "local"
    mode: Literal["latency"] = "latency"
    iterations: Steps = Field(50, description="timed frames of each entry")
    rounds: Steps = Field(5, description="turns that the compared models take")
    warmup_iterations: Annotated[int, Field(ge=0)] = 5
    threads: Steps = 1


class ReportStage(_Section):
    """One HTML page of all results."""

    title: str | None = None


class Recipe(_Section):
    """The whole way from images to a measured bundle."""

    name: Name
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    resolution: Annotated[int, Field(ge=32, le=4096, multiple_of=4)] = Field(
        256, description="height and width in pixels"
    )
    data: DataStage | None = None
    teacher: TeacherStage | None = None
    compress: CompressStage | None = None
    distill: DistillStage | None = None
    export: ExportStage | None = None
    bundle: BundleStage | None = None
    bench: BenchStage | None = None
    report: ReportStage | None = None

    @model_validator(mode="after")
    def _stages_follow_each_other(self) -> Self:
        needs = dict(zip(STAGES[1:], STAGES, strict=False)) | {"export": "teacher"}
        for stage, before in needs.items():
            if getattr(self, stage) is not None and getattr(self, before) is None:
                raise ValueError(f"the stage {stage} needs the stage {before}; add `{before}:`")
        if self.compress is not None and self.distill is None and self.export is not None:
            raise ValueError("a compressed network is not trained yet; add `distill:` before exporting")
        return self

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
