"""Parameters and multiply-accumulates from shapes alone, in both conventions, at batch 1.

Norms, activations and padding count no MACs. A transposed convolution executes as many MACs as its input has pixels;
papers count its output pixels (4 times as many at stride 2). Both are carried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pocketgan.bundle.manifest import Cost
from pocketgan.recipe.choices import Convention
from pocketgan.training.generators import GeneratorSpec, Layer, layers

CostFunction = Callable[[GeneratorSpec], float]
# A pass takes 2.2 (E2GAN) to 4.3 (U-Net) times its largest layer: copies for norms, padding and kernels, and skips.
PEAK_MAPS = 5


@dataclass(frozen=True)
class LayerCost:
    """Cost of one layer; its parameters include bias, scale and shift."""

    layer: Layer
    params: int
    macs: int
    macs_by_output: int


def layer_params(layer: Layer) -> int:
    """Weights, biases, scales and shifts."""
    if layer.kind == "norm":
        return 2 * layer.outputs if layer.bias else 0
    if layer.kind == "matmul":
        return 0
    return _products(layer) + (layer.outputs if layer.bias else 0)


def layer_macs(layer: Layer) -> int:
    """Executed multiply-accumulates."""
    return _products(layer) * (layer.in_pixels if layer.kind == "transposed" else layer.out_pixels)


def layer_macs_by_output(layer: Layer) -> int:
    """Multiply-accumulates as papers count them."""
    return _products(layer) * layer.out_pixels


def _products(layer: Layer) -> int:
    """Multiply-accumulates of one pixel."""
    if layer.kind == "norm":
        return 0
    return layer.inputs * layer.outputs * layer.kernel * layer.kernel // layer.groups


_COUNTERS = {"params": layer_params, "macs": layer_macs, "macs_by_output": layer_macs_by_output}


def cost_function(by: Convention) -> CostFunction:
    """A function from a spec to its cost in that convention."""
    counter = _COUNTERS[by]
    return lambda spec: sum(map(counter, layers(spec)))


def cost(spec: GeneratorSpec) -> Cost:
    """All three totals of a spec."""
    rows = list(layers(spec))
    return Cost(**{name: sum(map(counter, rows)) for name, counter in _COUNTERS.items()})


def cost_by_layer(spec: GeneratorSpec) -> list[LayerCost]:
    """One row per layer, in the order of execution."""
    return [LayerCost(row, layer_params(row), layer_macs(row), layer_macs_by_output(row)) for row in layers(spec)]


def forward_bytes(spec: GeneratorSpec) -> int:
    """What a float32 pass at batch 1 takes at its peak beside the weights, in bytes, predicted from shapes alone.

    More than is needed rather than less: input and output of the largest layer, times `PEAK_MAPS`.
    """
    return 4 * PEAK_MAPS * max(map(_numbers, layers(spec)))


def _numbers(row: Layer) -> int:
    """How many numbers a layer reads and writes; attention weights once for each head."""
    if row.kind == "matmul":
        from pocketgan.training.generators.e2gan import HEADS

        return HEADS * row.in_pixels * max(row.inputs, row.outputs)
    return row.inputs * row.in_pixels + row.outputs * row.out_pixels
