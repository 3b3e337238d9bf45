"""How long a runtime on this device takes for a network, from its layer rows alone.

The time of a network is modelled as a sum over its layers of non-negative constants times physical quantities: products
in the blocks of channels that kernels work in, numbers that come and go, and calls. The constants are fitted to layers
that were timed alone (`measuring.py`), in the form that the export gives them. `training.search` then sees one more
cost function.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pocketgan.training.generators import GeneratorSpec, Layer

# Channels that kernels work on at once: 8 floats with AVX2 and NEON pairs, 16 with AVX-512. The fit decides.
BLOCKS = (8, 16)
# ONNX Runtime's blocked kernels take a number of input channels that this divides, or fewer than a block, which they
# read unblocked (nchwc_transformer.cc, channel_alignment).
CHANNEL_ALIGNMENT = 4
# Kernels hold the sums of up to four blocks of output channels in registers; fewer leave the multipliers idle.
REGISTER_BLOCKS = 4

Features = dict[str, float]

# What stands between layers and is no row of its own: sums, skips, modulation. It goes with the numbers that norms see;
# whole networks tell how long it takes, layers do not.
BETWEEN = "between"
# The call of a network, whatever it computes. EMPTY stands for one that computes next to nothing.
_CALL = {"network.call": 1.0}


@dataclass(frozen=True)
class Unit:
    """A layer as it is timed: with its padding and activation.

    Attributes:
        kind: conv, transposed, norm, or empty.
        height, width: of the input, in pixels.
        norm: the network's norm; what a norm row costs depends on it.
        head: whether it gives the image.
    """

    kind: str
    inputs: int
    outputs: int
    height: int
    width: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    norm: str = ""
    head: bool = False

    @property
    def group(self) -> str:
        """Layers that share constants."""
        if self.kind == "norm":
            return f"norm-{self.norm}"
        if self.kind == "transposed":
            return "transposed"
        if self.groups == self.inputs > 1:
            return "depthwise"
        if self.head:
            return "head"
        return "pointwise" if self.kernel == 1 else "conv"

    @property
    def out_pixels(self) -> int:
        area = self.stride * self.stride
        return self.height * self.width * area if self.kind == "transposed" else self.height * self.width // area


EMPTY = Unit("empty", 1, 1, 8, 8)


def units(spec: GeneratorSpec) -> tuple[Unit, ...]:
    """The units of a network's layer rows."""
    from pocketgan.training.generators import layers

    rows = list(layers(spec))
    return tuple(_unit(row, spec, row is rows[-1]) for row in rows)


def _unit(row: Layer, spec: GeneratorSpec, head: bool) -> Unit:
    """Products with weights or activations count as 1x1 convolutions of their tokens."""
    scale = math.sqrt(row.in_pixels / (spec.height * spec.width))
    size = (round(spec.height * scale), round(spec.width * scale))
    if size[0] * size[1] != row.in_pixels:
        size = (1, row.in_pixels)
    larger, smaller = max(row.in_pixels, row.out_pixels), min(row.in_pixels, row.out_pixels)
    kind = "conv" if row.kind in ("linear", "matmul") else row.kind
    stride = 1 if row.kind != kind else round(math.sqrt(larger / smaller))
    norm = spec.norm if kind == "norm" else ""
    return Unit(kind, row.inputs, row.outputs, *size, row.kernel, stride, row.groups, norm, head)


def features(layer: Unit, block: int) -> Features:
    """What a layer's time is proportional to, in millions, by the name of the constant.

    Args:
        block: channels in a block.
    """
    if layer.kind == "empty":
        return {}
    g, pixels_in, pixels_out = layer.group, layer.height * layer.width / 1e6, layer.out_pixels / 1e6
    moved = {
        f"{g}.in{layer.stride}": pixels_in * layer.inputs,
        f"{g}.out": pixels_out * layer.outputs,
        f"{g}.call": 1.0,
    }
    if layer.kind == "norm":
        between = {BETWEEN: pixels_in * layer.inputs}
        return between if layer.norm.startswith("batch") else between | {f"{g}.call": 1.0, f"{g}.in": between[BETWEEN]}
    area = layer.kernel * layer.kernel
    if layer.kind == "transposed":
        products = pixels_in * area * layer.outputs
        return moved | {f"{g}.macs": products * layer.inputs, f"{g}.scattered": products}
    if g == "depthwise":
        aligned = layer.outputs % CHANNEL_ALIGNMENT == 0
        channels = _ceil(layer.outputs, block) if aligned else layer.outputs
        return moved | {f"{g}.{'blocked' if aligned else 'plain'}": pixels_out * area * channels}
    inputs = layer.inputs / layer.groups
    if layer.inputs >= block and layer.inputs % CHANNEL_ALIGNMENT:
        products = pixels_out * area * inputs
        return moved | {f"{g}.plain": products * layer.outputs, f"{g}.gathered": products}
    read = _ceil(layer.inputs, block) / layer.groups if layer.inputs >= block else inputs
    blocks = _ceil(layer.outputs, block) // block
    products = pixels_out * area * read * block
    rest = blocks % REGISTER_BLOCKS
    return moved | {f"{g}.blocked": products * blocks} | ({f"{g}.rest{rest}": products * rest} if rest else {})


def _ceil(channels: int, block: int) -> int:
    return -(-channels // block) * block


class LatencyModel:
    """Fitted constants. Calling it with a spec gives milliseconds.

    Args:
        block: channels in a block.
        constants: milliseconds per feature, by name.
        error: mean relative error on the layers that it was fitted to.
    """

    def __init__(self, block: int, constants: Mapping[str, float], error: float) -> None:
        self.block, self.constants, self.error = block, dict(constants), error
        self._layer_ms = functools.lru_cache(maxsize=None)(self._uncached_layer_ms)

    def __call__(self, spec: GeneratorSpec) -> float:
        """Predicted milliseconds of a network."""
        return self._sum(_CALL) + sum(map(self._layer_ms, units(spec)))

    def alone_ms(self, layer: Unit) -> float:
        """Predicted milliseconds of a network of one layer."""
        return self._sum(_alone(layer, self.block))

    def corrected(self, spec: GeneratorSpec, ms: float) -> LatencyModel:
        """The model that gives `ms` for this network, where its layers explain less than that: what they leave belongs
        to what stands between them."""
        numbers = sum(features(layer, self.block).get(BETWEEN, 0.0) for layer in units(spec))
        rest = ms - self(spec)
        if rest <= 0 or not numbers:
            return self
        return LatencyModel(self.block, self.constants | {BETWEEN: rest / numbers}, self.error)

    def _uncached_layer_ms(self, layer: Unit) -> float:
        return self._sum(features(layer, self.block))

    def _sum(self, quantities: Features) -> float:
        return sum(self.constants.get(name, 0.0) * value for name, value in quantities.items())


def fit(times: Mapping[Unit, float]) -> LatencyModel:
    """The model whose predictions are nearest, in relative terms, to the milliseconds of layers that ran alone."""
    return min((_fit(times, block) for block in BLOCKS), key=lambda model: model.error)


def _fit(times: Mapping[Unit, float], block: int) -> LatencyModel:
    from scipy.optimize import nnls

    rows = [_alone(layer, block) for layer in times]
    names = sorted({name for row in rows for name in row})
    matrix = np.array([[row.get(name, 0.0) for name in names] for row in rows])
    relative = matrix / np.array(list(times.values()))[:, None]
    scales = np.maximum(relative.max(axis=0), 1e-12)
    solution, _ = nnls(relative / scales, np.ones(len(rows)))
    error = float(np.mean(np.abs(relative / scales @ solution - 1)))
    return LatencyModel(block, dict(zip(names, (solution / scales).tolist(), strict=True)), error)


def _alone(layer: Unit, block: int) -> Features:
    """Features of a network of one layer."""
    quantities = features(layer, block) | _CALL
    return {name: value for name, value in quantities.items() if name != BETWEEN}
