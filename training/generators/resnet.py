"""ResNet generators of CycleGAN, pix2pix and pix2pixHD (its global one): two 3x3 convolutions a block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor, nn

from pocketgan.training.generators.blocks import (
    ConvNormReLU,
    ResidualGenerator,
    frame_deciders,
    frame_grid,
    frame_layers,
    frame_names,
    frame_widths,
    has_bias,
    make_norm,
    norm_layer,
    residual_name,
)
from pocketgan.training.generators.extras import extra_count, extra_name
from pocketgan.training.generators.spec import GeneratorSpec, Layer, Norm

grid = frame_grid


def widths(ngf: int, blocks: int, levels: int) -> dict[str, int]:
    """`ngf` channels in the stem, doubled at every stride; the blocks are as wide inside as outside."""
    return {**frame_widths(ngf, levels), **{f"block{index}": ngf * 2**levels for index in range(1, blocks + 1)}}


class ResnetBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), both convolutions 3x3 with reflection padding."""

    def __init__(self, residual: int, inner: int, norm: Norm) -> None:
        super().__init__()
        bias = has_bias(norm)
        self.first = ConvNormReLU(nn.Conv2d(residual, inner, 3, bias=bias), norm, inner, reflect=1)
        self.pad = nn.ReflectionPad2d(1)
        self.second = nn.Conv2d(inner, residual, 3, bias=bias)
        self.norm = make_norm(norm, residual)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.second(self.pad(self.first(x))))


def make_block(spec: GeneratorSpec, index: int) -> ResnetBlock:
    """The block of that number, counted from 1."""
    return ResnetBlock(spec.widths[residual_name(spec)], spec.widths[f"block{index}"], spec.norm)


def extra_places(spec: GeneratorSpec) -> dict[str, str]:
    """Every layer that changes the size of the map; the width of what stands behind it is its own."""
    return {name: name for name in frame_names(spec.levels)[1:]}


def make_extra(spec: GeneratorSpec, place: str, number: int) -> ResnetBlock:
    """The extra block of that number, counted from 1, behind a layer: like the family's own."""
    return ResnetBlock(spec.widths[place], spec.widths[extra_name(place, number)], spec.norm)


def build(spec: GeneratorSpec) -> ResidualGenerator:
    return ResidualGenerator(spec, make_block, make_extra)


def layers(spec: GeneratorSpec) -> Iterator[Layer]:
    return frame_layers(spec, block_layers, extra_layers)


def extra_layers(spec: GeneratorSpec, place: str, pixels: int) -> Iterator[Layer]:
    """The rows of the extra blocks behind a layer."""
    return pairs_behind(spec, place, place, pixels)


def pairs_behind(spec: GeneratorSpec, place: str, outer: str, pixels: int) -> Iterator[Layer]:
    """The rows of the extra blocks behind a layer, each two 3x3 convolutions on the width `outer`."""
    for number in range(1, extra_count(spec, place) + 1):
        yield from pair_layers(spec, f"extras.{place}.{number - 1}", outer, extra_name(place, number), pixels)


def extra_deciders(spec: GeneratorSpec, places: Iterable[str]) -> dict[str, str]:
    """By the inner width of an extra block of two convolutions, the norm whose scales decide about it."""
    return {
        extra_name(place, number): f"extras.{place}.{number - 1}.first.norm"
        for place in places
        for number in range(1, extra_count(spec, place) + 1)
    }


def block_layers(spec: GeneratorSpec, index: int, pixels: int) -> Iterator[Layer]:
    """The rows of one block."""
    yield from pair_layers(spec, f"blocks.{index - 1}", residual_name(spec), f"block{index}", pixels)


def pair_layers(spec: GeneratorSpec, name: str, outer: str, inner: str, pixels: int) -> Iterator[Layer]:
    """Two 3x3 convolutions between the widths `outer` and `inner` and back, each with its norm."""
    bias, c, h = has_bias(spec.norm), spec.widths[outer], spec.widths[inner]
    yield Layer(f"{name}.first.conv", "conv", c, h, pixels, pixels, 3, bias=bias, reads=(outer,), writes=inner)
    yield norm_layer(f"{name}.first.norm", spec.norm, h, pixels, inner)
    yield Layer(f"{name}.second", "conv", h, c, pixels, pixels, 3, bias=bias, reads=(inner,), writes=outer)
    yield norm_layer(f"{name}.norm", spec.norm, c, pixels, outer)


def deciders(spec: GeneratorSpec) -> dict[str, str]:
    """By width, the norm whose scales decide about it: the frame's, and the first of every block."""
    inner = {f"block{index}": f"blocks.{index - 1}.first.norm" for index in range(1, spec.blocks + 1)}
    return {**frame_deciders(spec), **inner, **extra_deciders(spec, extra_places(spec))}


def followers(spec: GeneratorSpec) -> dict[str, tuple[str, int]]:
    """None: norms decide about every width that may change."""
    return {}


def vanishing(spec: GeneratorSpec) -> tuple[str, ...]:
    """None: a block without its inner width would be no block."""
    return ()
