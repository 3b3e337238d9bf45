"""How long a runtime on this device takes for a network, from its layer rows alone.

The time of a network is modelled as a sum over its layers of non-negative constants times physical quantities: multiply
-accumulates in the blocks of channels that kernels work in, bytes that come and go, and calls. The constants are fitted
to micro-benchmarks of layers and to a few whole networks (`microbench.py`), all timed in the form that the export gives
them. `training.search` then sees one more cost function.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
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
# One whole network says more about networks than one layer does.
NETWORK_WEIGHT = 2.0

Features = dict[str, float]


@dataclass(frozen=True)
class Unit:
    """A layer as it is timed: with its padding and activation.

    Attributes:
        kind: conv, transposed or norm.
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
    g, pixels_in, pixels_out = layer.group, layer.height * layer.width / 1e6, layer.out_pixels / 1e6
    moved = {
        f"{g}.in{layer.stride}": pixels_in * layer.inputs,
        f"{g}.out": pixels_out * layer.outputs,
        f"{g}.call": 1.0,
    }
    if layer.kind == "norm":
        return {} if layer.norm == "batch" else {f"{g}.in": pixels_in * layer.inputs, f"{g}.call": 1.0}
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


@dataclass(frozen=True)
class Timed:
    """Layers that ran one after the other as one network, and how long that took.

    Attributes:
        boundary: numbers that entered and left the network.
        ms: milliseconds.
    """

    layers: tuple[Unit, ...]
    boundary: int
    ms: float


class LatencyModel:
    """Fitted constants. Calling it with a spec gives milliseconds.

    Args:
        block: channels in a block.
        constants: milliseconds per feature, by name.
        error: median relative error on what it was fitted to.
    """

    def __init__(self, block: int, constants: dict[str, float], error: float) -> None:
        self.block, self.constants, self.error = block, constants, error
        self._layer_ms = functools.lru_cache(maxsize=None)(self._uncached_layer_ms)

    def __call__(self, spec: GeneratorSpec) -> float:
        """Predicted milliseconds of a network."""
        boundary = spec.height * spec.width * (spec.input_channels + spec.output_channels)
        return self.overhead_ms(boundary) + sum(map(self._layer_ms, units(spec)))

    def layer_ms(self, layer: Unit) -> float:
        """Predicted milliseconds of one layer inside a network."""
        return self._layer_ms(layer)

    def overhead_ms(self, boundary: int) -> float:
        """Predicted milliseconds of a call whatever it computes."""
        return sum(self.constants[name] * value for name, value in _overhead(boundary).items())

    def _uncached_layer_ms(self, layer: Unit) -> float:
        return sum(self.constants.get(name, 0.0) * value for name, value in features(layer, self.block).items())


def fit(timed: Sequence[Timed]) -> LatencyModel:
    """The model whose predictions are nearest, in relative terms, to what was timed."""
    return min((_fit(timed, block) for block in BLOCKS), key=lambda model: model.error)


def _fit(timed: Sequence[Timed], block: int) -> LatencyModel:
    from scipy.optimize import nnls

    rows = [_features(entry, block) for entry in timed]
    names = sorted({name for row in rows for name in row})
    matrix = np.array([[row.get(name, 0.0) for name in names] for row in rows])
    times = np.array([entry.ms for entry in timed])
    weights = np.array([NETWORK_WEIGHT if len(entry.layers) > 1 else 1.0 for entry in timed])
    scales = np.maximum(np.abs(matrix).max(axis=0), 1e-12)
    solution, _ = nnls(matrix / scales * (weights / times)[:, None], weights)
    predicted = matrix @ (solution / scales)
    error = float(np.average(np.abs(predicted / times - 1), weights=weights))
    return LatencyModel(block, dict(zip(names, (solution / scales).tolist(), strict=True)), error)


def _features(entry: Timed, block: int) -> Features:
    total: Features = dict(_overhead(entry.boundary))
    for layer in entry.layers:
        for name, value in features(layer, block).items():
            total[name] = total.get(name, 0.0) + value
    return total


def _overhead(boundary: int) -> Features:
    return {"network.call": 1.0, "network.boundary": boundary / 1e6}
