"""What users call a model (a name, a file, a function, a spec, a module), and what it costs."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING

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
        input: (channels, height, width) that it is counted at.
        layers: in the order of execution; empty for a network that pocketgan did not make, which is counted as it runs.
    """

    total: Cost
    input: Shape
    layers: tuple[LayerCost, ...] = ()

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
        return ModelCost(measured_cost(loaded.module, loaded.shape), loaded.shape)
    check(spec)
    return ModelCost(cost(spec), (spec.input_channels, spec.height, spec.width), tuple(cost_by_layer(spec)))
