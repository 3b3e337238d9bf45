"""MobileResNet generators of GAN Compression (Li et al. 2020): the blocks' convolutions are depthwise separable."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from pocketgan.training.generators.blocks import (
    ResidualGenerator,
    frame_grid,
    frame_layers,
    has_bias,
    make_norm,
    norm_layer,
    residual_name,
)
from pocketgan.training.generators.resnet import deciders, followers, vanishing, widths
from pocketgan.training.generators.spec import GeneratorSpec, Layer, Norm

__all__ = ["build", "deciders", "followers", "grid", "layers", "vanishing", "widths"]

grid = frame_grid


class SeparableConv(nn.Module):
    """Reflect-pad, depthwise conv3, norm, 1x1 conv to the new width, norm."""

    def __init__(self, inputs: int, outputs: int, norm: Norm) -> None:
        super().__init__()
        bias = has_bias(norm)
        self.pad = nn.ReflectionPad2d(1)
        self.depthwise = nn.Conv2d(inputs, inputs, 3, groups=inputs, bias=bias)
        self.depthwise_norm = make_norm(norm, inputs)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=bias)
        self.norm = make_norm(norm, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.pointwise(self.depthwise_norm(self.depthwise(self.pad(x)))))


class MobileResnetBlock(nn.Module):
    """x + separable(relu(separable(x)))."""

    def __init__(self, spec: GeneratorSpec, index: int) -> None:
        super().__init__()
        residual, inner = spec.widths[residual_name(spec)], spec.widths[f"block{index}"]
        self.first = SeparableConv(residual, inner, spec.norm)
        self.act = nn.ReLU(inplace=True)
        self.second = SeparableConv(inner, residual, spec.norm)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.act(self.first(x)))


def build(spec: GeneratorSpec) -> ResidualGenerator:
    return ResidualGenerator(spec, MobileResnetBlock)


def layers(spec: GeneratorSpec) -> Iterator[Layer]:
    return frame_layers(spec, _block_layers)


def _block_layers(spec: GeneratorSpec, index: int, pixels: int) -> Iterator[Layer]:
    outer, inner = residual_name(spec), f"block{index}"
    yield from _separable_layers(spec, f"blocks.{index - 1}.first", outer, inner, pixels)
    yield from _separable_layers(spec, f"blocks.{index - 1}.second", inner, outer, pixels)


def _separable_layers(spec: GeneratorSpec, name: str, reads: str, writes: str, pixels: int) -> Iterator[Layer]:
    c, d, bias = spec.widths[reads], spec.widths[writes], has_bias(spec.norm)
    yield Layer(f"{name}.depthwise", "conv", c, c, pixels, pixels, 3, groups=c, bias=bias, reads=(reads,), writes=reads)
    yield norm_layer(f"{name}.depthwise_norm", spec.norm, c, pixels, reads)
    yield Layer(f"{name}.pointwise", "conv", c, d, pixels, pixels, bias=bias, reads=(reads,), writes=writes)
    yield norm_layer(f"{name}.norm", spec.norm, d, pixels, writes)
