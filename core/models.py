"""What users call a model (a name, a file, a function, a spec, a module, a finished file), and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from pocketgan.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

    from pocketgan.bundle.manifest import Cost
    from pocketgan.export.source import ModelSource
    from pocketgan.training.cost import LayerCost
    from pocketgan.training.generators import GeneratorSpec

    # A generator's name, a model file, `package.module:function`, a spec, or a module.
    Model = str | PathLike[str] | GeneratorSpec | nn.Module

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class ModelCost:
    """Cost at batch 1.

    Attributes:
        total: parameters, executed MACs, and MACs with transposed convolutions counted by their output.
        input: (channels, height, width) that it is counted at; of an input that is no picture, its shape.
        layers: in the order of execution; empty for a network that pocketgan did not make, and for a bundle.
        how: what it was counted by, where not by the layers.
        uncounted: operators of an ONNX file that count nothing and may multiply, with how often they occur.
    """

    total: Cost
    input: tuple[int, ...]
    layers: tuple[LayerCost, ...] = ()
    how: str = ""
    uncounted: Mapping[str, int] = field(default_factory=dict)

    @property
    def params(self) -> int:
        return self.total.params

    @property
    def macs(self) -> int:
        return self.total.macs

    @property
    def macs_by_output(self) -> int:
        return self.total.macs_by_output


def find_source(
    stack: ExitStack, model: Model, shape: Shape | None = None, ngf: int | None = None, norm: str | None = None
) -> ModelSource:
    """Where the model comes from; a module is held until the stack closes.

    Args:
        shape: (channels, height, width) of the input; a module and a function need it.
        ngf, norm: of a generator's name.
    Raises:
        ModelError: there is no such model, or the rest does not fit it.
    """
    from torch import nn

    from pocketgan.export.source import from_spec, held_module, parse_source
    from pocketgan.training.generators import GeneratorSpec

    if isinstance(model, nn.Module):
        return stack.enter_context(held_module(model, shape))
    if isinstance(model, GeneratorSpec):
        return from_spec(model if shape is None else model.at(*shape[1:]))
    return parse_source(str(model), shape, ngf, norm)


def cost_of(source: ModelSource) -> ModelCost:
    """What a model costs, from shapes alone where pocketgan knows its layers.

    Raises:
        ModelError: the model cannot be used, or does not take its input.
    """
    from pocketgan.export.source import load_source, source_spec
    from pocketgan.training.cost import cost, cost_by_layer
    from pocketgan.training.generators import check
    from pocketgan.training.generators.own import measured_cost

    spec = source_spec(source)
    if spec is None:
        loaded = load_source(source)
        how = "counted while it ran; FFTs and recurrent cells count nothing"
        return ModelCost(measured_cost(loaded.module, loaded.shape), loaded.shape, how=how)
    check(spec)
    return ModelCost(cost(spec), (spec.input_channels, spec.height, spec.width), tuple(cost_by_layer(spec)))


def cost_of_finished(model: Path, shape: Shape | None = None) -> ModelCost:
    """What an ONNX file costs by its graph, or a bundle by what it says of itself.

    Args:
        shape: of an ONNX file's first open input, (channels, height, width).
    Raises:
        ModelError, BundleError: it is none, leaves open what is not said, or its cost is not known.
    """
    if not model.exists():
        raise ModelError(f"there is no file {model}")
    return (_cost_of_bundle if model.suffix.lower() == ".pgb" else _cost_of_onnx)(model, shape)


def _cost_of_onnx(model: Path, shape: Shape | None) -> ModelCost:
    from pocketgan.foreign.onnx_cost import onnx_cost
    from pocketgan.foreign.onnx_inputs import onnx_shapes

    shapes = onnx_shapes(model, shape)
    if not shapes:
        raise ModelError(f"{model} takes no inputs: nothing can be counted")
    counted = onnx_cost(model, shapes)
    how = "counted from its graph"
    if counted.uncounted:
        names = ", ".join(f"{name} ({count})" for name, count in sorted(counted.uncounted.items()))
        how += f"; counts nothing, and may multiply: {names}"
    return ModelCost(counted.total, _picture_shape(next(iter(shapes.values()))), how=how, uncounted=counted.uncounted)


def _cost_of_bundle(model: Path, shape: Shape | None) -> ModelCost:
    from pocketgan.bundle.reader import open_bundle

    if shape is not None:
        raise ModelError(f"{model} is a bundle, of one size: leave --input out")
    with open_bundle(model) as bundle:
        manifest = bundle.manifest
    if manifest.cost is None:
        raise ModelError(f"{model} says no cost; that of an ONNX file: pocketgan cost FILE.onnx")
    contract = manifest.entries[0].components[0].inputs[0]
    teacher = "" if manifest.teacher is None else f"; teacher: {manifest.teacher}"
    how = f"as the bundle says of its model{teacher}"
    return ModelCost(manifest.cost, _picture_shape(tuple(contract.shape)), how=how)


def _picture_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(channels, height, width) of a batch of one picture, whichever way round; other shapes as they are."""
    from pocketgan.bundle.tensors import picture_layout

    if len(shape) != 4 or shape[0] != 1:
        return shape
    return (shape[3], *shape[1:3]) if picture_layout(shape) == "NHWC" else shape[1:]
