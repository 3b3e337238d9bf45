"""ResNet generators of CycleGAN and pix2pix: two 3x3 convolutions a block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from pocketgan.training.generators.blocks import (
    ConvNormReLU,
    ResidualGenerator,
    frame_layers,
    frame_scales,
    frame_widths,
    has_bias,
    make_norm,
    norm_layers,
)
from pocketgan.training.generators.spec import GeneratorSpec, Layer, Norm

FAMILY = "resnet"


def spec(ngf: int, norm: Norm, blocks: int, height: int, width: int) -> GeneratorSpec:
    """The unpruned network: `ngf` channels in the stem, four times as many in the blocks."""
    inner = {f"block{index}": 4 * ngf for index in range(1, blocks + 1)}
    return GeneratorSpec(FAMILY, {**frame_widths(ngf), **inner}, norm, blocks, height=height, width=width)


class ResnetBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), both convolutions 3x3 with reflection padding."""

    def __init__(self, spec: GeneratorSpec, index: int) -> None:
        super().__init__()
        residual, inner, bias = spec.widths["down2"], spec.widths[f"block{index}"], has_bias(spec.norm)
        self.first = ConvNormReLU(nn.Conv2d(residual, inner, 3, bias=bias), spec.norm, inner, reflect=1)
        self.pad = nn.ReflectionPad2d(1)
        self.second = nn.Conv2d(inner, residual, 3, bias=bias)
        self.norm = make_norm(spec.norm, residual)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.second(self.pad(self.first(x))))


def build(spec: GeneratorSpec) -> ResidualGenerator:
    return ResidualGenerator(spec, ResnetBlock)


def layers(spec: GeneratorSpec) -> Iterator[Layer]:
    return frame_layers(spec, _block_layers)


def _block_layers(spec: GeneratorSpec, index: int, pixels: int) -> Iterator[Layer]:
    name, bias = f"blocks.{index - 1}", has_bias(spec.norm)
    residual, inner = spec.widths["down2"], spec.widths[f"block{index}"]
    yield Layer(f"{name}.first.conv", "conv", residual, inner, pixels, pixels, 3, bias=bias)
    yield from norm_layers(f"{name}.first", spec.norm, inner, pixels)
    yield Layer(f"{name}.second", "conv", inner, residual, pixels, pixels, 3, bias=bias)
    yield from norm_layers(name, spec.norm, residual, pixels)


def scales(generator: Any) -> dict[str, Tensor]:
    """Norm scales that decide about widths: the frame's, and the first of every block."""
    inner = {f"block{index}": block.first.norm.weight for index, block in enumerate(generator.blocks, start=1)}
    return {**frame_scales(generator), **inner}


def bounded(spec: GeneratorSpec) -> tuple[str, ...]:
    """Layers that keep at least the search's least width: all, since a block cannot vanish."""
    return tuple(spec.widths)
