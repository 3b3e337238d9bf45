"""Where a model comes from: a model file, a generator's spec, or a function that returns a module.

A source is plain data, so that it can be handed to another process, which then loads the module itself.
"""

from __future__ import annotations

import functools
import json
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pocketgan.errors import ModelError
from pocketgan.export.not_models import advice
from pocketgan.files import canonical_json

if TYPE_CHECKING:
    from torch import nn

    from pocketgan.training.generators import GeneratorSpec

Shape = tuple[int, int, int]
Kind = Literal["file", "spec", "function", "module"]
# Modules of this process that are in use, by the value of their source.
_HELD: dict[str, Any] = {}


@dataclass(frozen=True)
class LoadedModel:
    """A module with the (channels, height, width) of its input; spec and training state where the source tells them."""

    module: nn.Module
    shape: Shape
    spec: GeneratorSpec | None = None
    trained: bool = False


@dataclass(frozen=True)
class ModelSource:
    """What to load; made by the functions below.

    Attributes:
        value: the file's path, the spec as JSON, `package.module:function`, or a module's key in this process.
        shape: (channels, height, width) of the input; None where the spec says it.
        search_path: folders in which a function's package is looked for.
        weights: of a function's module, a `.safetensors` file; those that it returns where None.
    """

    kind: Kind
    value: str
    shape: Shape | None = None
    search_path: tuple[str, ...] = ()
    weights: str | None = None

    @property
    def called(self) -> str:
        """What people call it."""
        if self.kind == "spec":
            return str(json.loads(self.value)["family"])
        return self.value.partition("#")[0] if self.kind == "module" else self.value

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> ModelSource:
        shape = value["shape"]
        return ModelSource(
            value["kind"],
            value["value"],
            None if shape is None else tuple(shape),
            tuple(value["search_path"]),
            value["weights"],
        )


def from_file(path: Path, shape: Shape | None = None) -> ModelSource:
    """A `.safetensors` model file."""
    return ModelSource("file", str(path.absolute()), shape)


def from_spec(spec: GeneratorSpec) -> ModelSource:
    """A fresh, seeded generator of that spec."""
    return ModelSource("spec", canonical_json(spec.to_json()))


def from_function(name: str, shape: Shape, weights: Path | None = None) -> ModelSource:
    """The module that `package.module:function` returns; the working folder is searched first, then `sys.path`.

    Args:
        weights: a file of trained weights for it.
    """
    folders = (str(Path.cwd()), *(folder for folder in sys.path if folder))
    path = None if weights is None else str(weights.absolute())
    return ModelSource("function", name, shape, tuple(dict.fromkeys(folders)), path)


@contextmanager
def held_module(module: nn.Module, shape: Shape | None) -> Iterator[ModelSource]:
    """A module of this process, which can only be loaded here and while the context is open.

    Raises:
        ModelError: the shape of its input is missing.
    """
    name = type(module).__name__
    if shape is None:
        raise ModelError(f"{name} needs its input's shape: input=(3, 256, 256)")
    key = f"{name}#{secrets.token_hex(8)}"
    _HELD[key] = module
    try:
        yield ModelSource("module", key, shape)
    finally:
        del _HELD[key]


def parse_shape(text: str) -> Shape:
    """`3x256x256` -> (3, 256, 256).

    Raises:
        ModelError: the text is something else.
    """
    match = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if match is None:
        raise ModelError(f"--input is channels x height x width, such as 3x256x256, not {text!r}")
    return int(match[1]), int(match[2]), int(match[3])


def parse_source(text: str, shape: Shape | None = None, ngf: int | None = None, norm: str | None = None) -> ModelSource:
    """What a user calls a model: a model file, a generator name, or `package.module:function` (with its input shape).

    Args:
        ngf, norm: of a generator's name; the paper's where None.

    Raises:
        ModelError: it is none of them, or the shape is missing or does not fit.
    """
    from pocketgan.training.generators import NAMES, spec_by_name
    from pocketgan.training.generators.spec import NORMS

    if norm is not None and norm not in NORMS:
        raise ModelError(f"--norm takes {', '.join(NORMS)}, not {norm!r}")
    if text in NAMES:
        channels, height, width = shape or (None, None, None)
        spec = spec_by_name(text, ngf=ngf, norm=norm, height=height, width=width, input_channels=channels)
        return from_spec(spec)
    if ngf is not None or norm is not None:
        raise ModelError(f"--ngf and --norm go with a generator name ({', '.join(NAMES)}), not with {text}")
    known = advice(text)
    if known is not None:
        raise ModelError(known)
    path = Path(text)
    if path.is_file() or text.endswith(".safetensors"):
        if not path.is_file():
            raise ModelError(f"there is no model file {text}")
        return from_file(path, shape)
    if re.fullmatch(r"[\w.]+:\w+", text):
        if shape is None:
            raise ModelError(f"{text} needs its input's shape: --input 3x256x256")
        return from_function(text, shape)
    raise ModelError(
        f"there is no model {text!r}: give a model file, a generator ({', '.join(NAMES)}) or package.module:function"
    )


def source_spec(source: ModelSource) -> GeneratorSpec | None:
    """The spec at the size that will be exported, without loading weights; None for a function.

    Raises:
        ModelError: the file has no readable spec, or the shape does not fit it.
    """
    from pocketgan.training.generators import GeneratorSpec
    from pocketgan.training.generators.files import read_spec

    if source.kind in ("function", "module"):
        return None
    spec = GeneratorSpec.from_json(json.loads(source.value)) if source.kind == "spec" else read_spec(Path(source.value))
    if source.shape is None:
        return spec
    if source.shape[0] != spec.input_channels:
        raise ModelError(f"{source.value} takes {spec.input_channels} input channels, --input says {source.shape[0]}")
    return spec.at(*source.shape[1:])


def source_shape(source: ModelSource) -> Shape:
    """(channels, height, width) of the input, without loading weights; raises as `source_spec`."""
    spec = source_spec(source)
    if spec is not None:
        return spec.input_channels, spec.height, spec.width
    assert source.shape is not None
    return source.shape


def load_source(source: ModelSource) -> LoadedModel:
    """Load the module; the last two stay in memory.

    Raises:
        ModelError: the file, spec or function cannot be used.
    """
    if source.kind == "module":
        assert source.shape is not None
        return LoadedModel(_HELD[source.value], source.shape)
    return _load(source)


@functools.lru_cache(maxsize=2)
def _load(source: ModelSource) -> LoadedModel:
    from pocketgan.training.generators import build
    from pocketgan.training.generators.files import load_generator
    from pocketgan.training.generators.own import call_function, load_weights

    if source.kind == "function":
        assert source.shape is not None
        module = call_function(source.value, source.search_path, seed=0)  # every process gets the same weights
        if source.weights is not None:
            module = load_weights(module, Path(source.weights), source.value)
        return LoadedModel(module, source.shape)
    spec = source_spec(source)
    assert spec is not None
    shape = (spec.input_channels, spec.height, spec.width)
    fresh = build(spec)  # refuses sizes that the family cannot have
    if source.kind == "spec":
        return LoadedModel(fresh, shape, spec)
    loaded = load_generator(Path(source.value))
    return LoadedModel(loaded.module, shape, spec, loaded.trained)
