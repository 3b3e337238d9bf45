"""The layers of a traced network that hold weights, and what rounding each of them does to the output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from pocketgan.export.rewrites.graph import is_tensor, shape_of, tensor_of

_aten = torch.ops.aten
_CONVOLUTION, _TRANSPOSED, _LINEAR = _aten.conv2d.default, _aten.conv_transpose2d.input, _aten.linear.default
_PRODUCTS = (_aten.matmul.default, _aten.bmm.default)


@dataclass(frozen=True)
class Layer:
    """A convolution, a linear layer or a product with a constant.

    Attributes:
        name: of the tensor that holds its weights.
        weights: how many there are.
        macs: at batch 1.
        node: in the traced graph.
    """

    name: str
    weights: int
    macs: int
    node: fx.Node


def layers_of(module: fx.GraphModule) -> list[Layer]:
    """In the order of their execution."""
    layers = []
    for node in module.graph.nodes:
        if node.op != "call_function" or node.target not in (_CONVOLUTION, _TRANSPOSED, _LINEAR, *_PRODUCTS):
            continue
        if not is_tensor(node.args[1]):
            continue
        weight = tensor_of(module, node.args[1])
        places = shape_of(node.args[0]) if node.target is _TRANSPOSED else shape_of(node)
        if node.target in (_CONVOLUTION, _TRANSPOSED):
            macs = places[2] * places[3] * weight.numel()
        else:  # each number of the output is a sum as long as the last axis of the input
            macs = int(torch.Size(places).numel()) * shape_of(node.args[0])[-1]
        layers.append(Layer(str(node.args[1].target), weight.numel(), macs, node))
    return layers


def owners(nodes: Sequence[tuple[Any, Sequence[Any]]], layers: Mapping[Any, int]) -> dict[Any, int]:
    """Which layer each node of a graph belongs to: the last one before it, the first for what comes before any.

    Args:
        nodes: each node with those that it reads, in the order of execution.
        layers: numbers of the nodes that are layers.
    """
    owner_of: dict[Any, int] = {}
    for node, read in nodes:
        owner_of[node] = layers[node] if node in layers else max((owner_of.get(other, 0) for other in read), default=0)
    return owner_of


def rounding_noise(
    module: fx.GraphModule, layers: Sequence[Layer], bits: int, inputs: Sequence[Tensor], *, activations: bool
) -> list[float]:
    """For each layer, the mean squared error of the output when its weights alone are rounded to so many bits, by
    output channel, its input too where `activations` says so."""
    with torch.no_grad():
        exact = [_Rounding(module, None, bits, activations).run(image) for image in inputs]
        return [
            sum(
                float((_Rounding(module, layer.node, bits, activations).run(image) - output).double().square().mean())
                for image, output in zip(inputs, exact, strict=True)
            )
            / len(inputs)
            for layer in layers
        ]


class _Rounding(fx.Interpreter):
    """Runs a graph with one layer rounded."""

    def __init__(self, module: fx.GraphModule, rounded: fx.Node | None, bits: int, activations: bool) -> None:
        super().__init__(module)
        self._rounded, self._bits, self._activations = rounded, bits, activations

    def run_node(self, n: fx.Node) -> Any:
        if n is not self._rounded:
            return super().run_node(n)
        (x, weight, *rest), options = self.fetch_args_kwargs_from_env(n)
        if self._activations:
            x = _rounded_between(x, x.amin(), x.amax(), self._bits)
        axis = 1 if n.target is _TRANSPOSED else 0
        others = [dim for dim in range(weight.dim()) if dim != axis]
        largest = weight.abs().amax(others, keepdim=True)
        return n.target(x, _rounded_between(weight, -largest, largest, self._bits), *rest, **options)  # type: ignore[operator]


def _rounded_between(x: Tensor, low: Tensor, high: Tensor, bits: int) -> Tensor:
    step = ((high - low) / (2**bits - 1)).clamp_min(torch.finfo(x.dtype).tiny)
    return ((x - low) / step).round() * step + low
