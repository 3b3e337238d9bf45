"""Which layers are timed so that a network's latency can be predicted, and each as a network of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from pocketgan.latency.prediction import EMPTY, Unit, units

if TYPE_CHECKING:
    from torch import nn

    from pocketgan.training.generators import GeneratorSpec

LEAST_PER_KIND, ENOUGH_PER_KIND = 12, 48
IMAGE_CHANNELS = 4
# Widths of the points go down to this part of the teacher's, evenly on a logarithmic scale.
SMALLEST_PART = 1 / 16
# Half of the points have few outputs, of which each number of blocks has a speed of its own.
NARROW = (8, 16, 24, 32)
# In the other half inputs and outputs are multiples of these in turn, 1 meaning odd: odd ones take other kernels.
ROUNDINGS = ((8, 8), (16, 16), (1, 4), (4, 1), (16, 8), (1, 1), (8, 16), (4, 4))


def layer_points(spec: GeneratorSpec, per_shape: int) -> list[Unit]:
    """Layers to time: of each shape of layer that `spec` has about `per_shape` widths, spread over what pruning leaves.

    The points are those of the R2 sequence (Roberts 2018), which fills a square evenly, on logarithmic axes.
    """
    shapes: dict[tuple[object, ...], Unit] = {}
    for layer in units(spec):
        if layer.kind == "norm" and layer.norm.startswith("batch"):
            continue
        widens = layer.outputs > layer.inputs
        shape = (layer.group, layer.kernel, layer.stride, layer.height, layer.width, widens)
        if shape not in shapes or layer.inputs * layer.outputs > shapes[shape].inputs * shapes[shape].outputs:
            shapes[shape] = layer
    kinds = Counter(layer.group for layer in shapes.values())
    points = [EMPTY]
    for layer in shapes.values():
        # Shape after shape takes the next points of one sequence: those of one kind share constants.
        shared = kinds[layer.group]
        enough = max(2, -(-ENOUGH_PER_KIND // shared))
        count = max(min(per_shape, enough), -(-LEAST_PER_KIND // shared))
        points += [_narrowed(layer, len(points) + index) for index in range(count)]
    return list(dict.fromkeys(points))


def _narrowed(layer: Unit, index: int) -> Unit:
    """The layer with fewer channels: the `index`-th point."""
    u, v = (0.5 + (index + 1) * 0.7548776662) % 1, (0.5 + (index + 1) * 0.5698402910) % 1
    turn, spread = divmod(index, 2)
    rounding = ROUNDINGS[turn % len(ROUNDINGS)] if spread else (8, 1)
    inputs = layer.inputs if layer.inputs <= IMAGE_CHANNELS else _part(layer.inputs, v, rounding[0])
    outputs = _part(layer.outputs, u, rounding[1]) if spread else min(NARROW[turn % len(NARROW)], layer.outputs)
    if layer.head:
        outputs = layer.outputs
    if layer.kind == "norm":
        outputs = inputs
    groups = layer.groups
    if layer.group == "depthwise":
        inputs = groups = outputs
    return replace(layer, inputs=inputs, outputs=outputs, groups=groups)


def _part(width: int, u: float, rounding: int) -> int:
    part = width * SMALLEST_PART ** (1 - u)
    if rounding == 1:
        return min(width - 1 | 1, int(part) | 1)
    return max(min(rounding, width), min(width, round(part / rounding) * rounding))


def whole_network(spec: GeneratorSpec) -> GeneratorSpec:
    """A quarter of the widths, in multiples of 8: the network that shows what the layers alone do not."""
    return spec.with_widths({name: min(width, max(8, round(width / 32) * 8)) for name, width in spec.widths.items()})


def layer_network(layer: Unit) -> nn.Module:
    """The layer as networks hold it: reflection in front of odd kernels of stride 1, ReLU behind, tanh to the image."""
    import torch
    from torch import nn

    k, s = layer.kernel, layer.stride
    parts: list[nn.Module] = []
    if layer.kind == "empty":
        pass
    elif layer.kind == "norm":
        parts.append(nn.InstanceNorm2d(layer.inputs, affine=layer.norm == "instance-affine"))
    elif layer.kind == "transposed":
        padding = (k - s + 1) // 2
        parts.append(nn.ConvTranspose2d(layer.inputs, layer.outputs, k, s, padding, 2 * padding - (k - s)))
    elif s == 1 and k % 2 and 0 < k // 2 < min(layer.height, layer.width):
        parts.append(nn.ReflectionPad2d(k // 2))
        parts.append(nn.Conv2d(layer.inputs, layer.outputs, k, groups=layer.groups))
    else:
        parts.append(nn.Conv2d(layer.inputs, layer.outputs, k, s, padding=(k - 1) // 2, groups=layer.groups))
    module = nn.Sequential(*parts, nn.Tanh() if layer.head else nn.ReLU())
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.1, generator=generator)
    return module
