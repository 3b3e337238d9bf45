"""U-Net generators of pix2pix (Isola et al. 2017, appendix 6.1): stride-2 conv4 down, transposed conv4 up, skips."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from pocketgan.training.generators.blocks import ConvNormReLU, ExtraBlocks, has_bias, make_norm, norm_layer
from pocketgan.training.generators.extras import extra_name
from pocketgan.training.generators.resnet import extra_deciders, pairs_behind
from pocketgan.training.generators.spec import GeneratorSpec, Layer, Norm

WIDEST = 8
DISTILLED_UPS = 3
# Of the maps on the way up the paper's CD512 (appendix 6.1.1), and its rate.
DROPPED_UPS, DROPOUT = 3, 0.5


def widths(ngf: int, blocks: int, levels: int) -> dict[str, int]:
    """Doubled at every level up to `WIDEST` times `ngf`; the way up mirrors the way down."""
    down = {f"down{i}": ngf * min(2 ** (i - 1), WIDEST) for i in range(1, levels + 1)}
    return down | {f"up{i}": down[f"down{i}"] for i in range(levels - 1, 0, -1)}


class Down(nn.Module):
    """LeakyReLU (but for the first), stride-2 conv4, norm (but for the first and the innermost)."""

    def __init__(self, spec: GeneratorSpec, level: int) -> None:
        super().__init__()
        inputs = spec.widths[f"down{level - 1}"] if level > 1 else spec.input_channels
        width = spec.widths[f"down{level}"]
        self.act = nn.LeakyReLU(0.2) if level > 1 else nn.Identity()
        self.conv = nn.Conv2d(inputs, width, 4, stride=2, padding=1, bias=has_bias(spec.norm))
        self.norm = make_norm(spec.norm, width) if 1 < level < spec.levels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(self.act(x)))


class Up(nn.Module):
    """ReLU, transposed conv4 of stride 2, norm, and dropout where `use_dropout` put it."""

    def __init__(self, spec: GeneratorSpec, level: int) -> None:
        super().__init__()
        width = spec.widths[f"up{level}"]
        inputs = sum(spec.widths[name] for name in _up_reads(spec, level))
        self.conv = nn.ConvTranspose2d(inputs, width, 4, stride=2, padding=1, bias=has_bias(spec.norm))
        self.norm = make_norm(spec.norm, width)
        self.dropout: nn.Module = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.norm(self.conv(torch.relu(x))))


class ExtraBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(act(x)))))), both convolutions 3x3.

    Maps of a U-Net come without an activation; its own stands in front, leaky on the way down.
    """

    def __init__(self, width: int, inner: int, norm: Norm, leaky: bool) -> None:
        super().__init__()
        bias = has_bias(norm)
        self.act = nn.LeakyReLU(0.2) if leaky else nn.ReLU()
        self.first = ConvNormReLU(nn.Conv2d(width, inner, 3, padding=1, bias=bias), norm, inner)
        self.second = nn.Conv2d(inner, width, 3, padding=1, bias=bias)
        self.norm = make_norm(norm, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.second(self.first(self.act(x))))


def extra_places(spec: GeneratorSpec) -> dict[str, str]:
    """Every map but the innermost, which has a single pixel and no norm; OMGD's deeper U-Net leaves it out too."""
    return {name: name for way in ("down", "up") for name in (f"{way}{i}" for i in range(1, spec.levels))}


def _make_extra(spec: GeneratorSpec, place: str, number: int) -> ExtraBlock:
    width, inner = spec.widths[place], spec.widths[extra_name(place, number)]
    return ExtraBlock(width, inner, spec.norm, leaky=place.startswith("down"))


class UNetGenerator(nn.Module):
    """forward: (n, input_channels, h, w) -> (n, output_channels, h, w), both in [-1, 1].

    h and w are multiples of 2 ** levels.
    """

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        self.downs = nn.ModuleList(Down(spec, level) for level in range(1, spec.levels + 1))
        self.ups = nn.ModuleList(Up(spec, level) for level in range(spec.levels - 1, 0, -1))
        self.extras = ExtraBlocks(spec, extra_places(spec), _make_extra)
        inputs = sum(spec.widths[name] for name in _up_reads(spec, 0))
        self.head = nn.ConvTranspose2d(inputs, spec.output_channels, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_with_features(x)[0]

    def forward_with_features(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The output image, and the features that are distilled: the innermost map and the last three on the way up."""
        skips = []
        for level, down in enumerate(self.downs, start=1):
            x = down(x)
            for block in self.extras.behind(f"down{level}"):
                x = block(x)
            skips.append(x)
        features = [skips.pop()]
        for level, up in zip(range(len(self.ups), 0, -1), self.ups, strict=True):
            x = up(x)
            for block in self.extras.behind(f"up{level}"):
                x = block(x)
            features.append(x)
            x = torch.cat([skips.pop(), x], 1)
        return torch.tanh(self.head(torch.relu(x))), [features[0], *features[1:][-DISTILLED_UPS:]]


def _up_reads(spec: GeneratorSpec, level: int) -> tuple[str, ...]:
    """Widths that the transposed convolution to `level` reads; 0 is the output image."""
    deeper = level + 1
    return (f"down{deeper}",) if deeper == spec.levels else (f"down{deeper}", f"up{deeper}")


def build(spec: GeneratorSpec) -> UNetGenerator:
    return UNetGenerator(spec)


def use_dropout(network: UNetGenerator) -> None:
    """Train with dropout behind the first three norms on the way up; eval mode and model files know nothing of it."""
    for up in network.ups[:DROPPED_UPS]:
        up.dropout = nn.Dropout(DROPOUT)


def layers(spec: GeneratorSpec) -> Iterator[Layer]:
    bias, pixels = has_bias(spec.norm), spec.height * spec.width
    for level in range(1, spec.levels + 1):
        path, name = f"downs.{level - 1}", f"down{level}"
        source: tuple[str, ...] = (f"down{level - 1}",) if level > 1 else ()
        inputs, width = spec.widths[source[0]] if source else spec.input_channels, spec.widths[name]
        yield Layer(f"{path}.conv", "conv", inputs, width, pixels, pixels // 4, 4, bias=bias, reads=source, writes=name)
        pixels //= 4
        if 1 < level < spec.levels:
            yield norm_layer(f"{path}.norm", spec.norm, width, pixels, name)
        yield from pairs_behind(spec, name, name, pixels)
    for level in range(spec.levels - 1, -1, -1):
        path, name, source = f"ups.{spec.levels - 1 - level}", f"up{level}", _up_reads(spec, level)
        inputs = sum(spec.widths[part] for part in source)
        if level:
            width = spec.widths[name]
            yield Layer(
                f"{path}.conv", "transposed", inputs, width, pixels, 4 * pixels, 4, bias=bias, reads=source, writes=name
            )
            yield norm_layer(f"{path}.norm", spec.norm, width, 4 * pixels, name)
            yield from pairs_behind(spec, name, name, 4 * pixels)
        else:
            yield Layer(
                "head", "transposed", inputs, spec.output_channels, pixels, 4 * pixels, 4, bias=True, reads=source
            )
        pixels *= 4


def deciders(spec: GeneratorSpec) -> dict[str, str]:
    """By width, the norm whose scales decide about it; the outermost and innermost map have none and stay."""
    down = {f"down{level}": f"downs.{level - 1}.norm" for level in range(2, spec.levels)}
    up = {f"up{level}": f"ups.{spec.levels - 1 - level}.norm" for level in range(spec.levels - 1, 0, -1)}
    return down | up | extra_deciders(spec, extra_places(spec))


def followers(spec: GeneratorSpec) -> dict[str, tuple[str, int]]:
    """None: norms decide about every width that may change."""
    return {}


def vanishing(spec: GeneratorSpec) -> tuple[str, ...]:
    """None: every map is needed."""
    return ()


def grid(spec: GeneratorSpec) -> tuple[int, int]:
    """What height and width must be a multiple of, and their least."""
    return 2**spec.levels, 2**spec.levels
