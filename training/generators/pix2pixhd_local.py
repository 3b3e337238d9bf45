"""pix2pixHD's local enhancer (Wang et al. 2018, section 3.1) around its global generator, which works at half the size.

The global generator alone is the ResNet family with four levels.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from pocketgan.training.generators import resnet
from pocketgan.training.generators.blocks import (
    ConvNormReLU,
    ExtraBlocks,
    ResidualGenerator,
    body_layers,
    has_bias,
    norm_layer,
)
from pocketgan.training.generators.extras import extra_name
from pocketgan.training.generators.resnet import ResnetBlock
from pocketgan.training.generators.spec import GeneratorSpec, Layer

LOCAL_BLOCKS = 3


def widths(ngf: int, blocks: int, levels: int) -> dict[str, int]:
    """`ngf` channels at the full size; the global generator starts with twice as many."""
    local = {"local_stem": ngf, "local_up": ngf, **{f"local_block{i}": 2 * ngf for i in range(1, LOCAL_BLOCKS + 1)}}
    return {**resnet.widths(2 * ngf, blocks, levels), **local}


class GlobalBody(ResidualGenerator):
    """The global generator without its head: (n, c, h, w) -> (n, width of its last layer, h, w)."""

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__(spec, resnet.make_block, resnet.make_extra)
        del self.head_pad, self.head


class LocalEnhancer(nn.Module):
    """forward: (n, input_channels, h, w) -> (n, output_channels, h, w) in [-1, 1].

    h and w are multiples of 2 ** (levels + 1).
    """

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        w, bias, shared = spec.widths, has_bias(spec.norm), spec.widths[_shared(spec)]
        self.shrink = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        self.inner = GlobalBody(spec)
        stem = nn.Conv2d(spec.input_channels, w["local_stem"], 7, bias=bias)
        self.stem = ConvNormReLU(stem, spec.norm, w["local_stem"], reflect=3)
        self.down = ConvNormReLU(nn.Conv2d(w["local_stem"], shared, 3, 2, 1, bias=bias), spec.norm, shared)
        self.blocks = nn.ModuleList(
            resnet.ResnetBlock(shared, w[f"local_block{index}"], spec.norm) for index in range(1, LOCAL_BLOCKS + 1)
        )
        up = nn.ConvTranspose2d(shared, w["local_up"], 3, stride=2, padding=1, output_padding=1, bias=bias)
        self.up = ConvNormReLU(up, spec.norm, w["local_up"])
        self.extras = ExtraBlocks(spec, _local_places(spec), _make_extra)
        self.head_pad = nn.ReflectionPad2d(3)
        self.head = nn.Conv2d(w["local_up"], spec.output_channels, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_with_features(x)[0]

    def forward_with_features(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The output image, and the features that are distilled: the global generator's, and what its map becomes."""
        coarse, features = self.inner.body(self.shrink(x))
        x = self.down(self.stem(x))
        for block in self.extras.behind("local_down"):
            x = block(x)
        x = x + coarse
        for block in self.blocks:
            x = block(x)
        features = [*features, x]
        x = self.up(x)
        for block in self.extras.behind("local_up"):
            x = block(x)
        return torch.tanh(self.head(self.head_pad(x))), features


def _shared(spec: GeneratorSpec) -> str:
    """The width at which the global generator's map and the enhancer's own are summed."""
    return f"up{spec.levels}"


def _local_places(spec: GeneratorSpec) -> dict[str, str]:
    """The enhancer's own layers that change the size, each with the width behind it."""
    return {"local_down": _shared(spec), "local_up": "local_up"}


def extra_places(spec: GeneratorSpec) -> dict[str, str]:
    """Every layer that changes the size of the map, of the global generator and of the enhancer."""
    return {**resnet.extra_places(spec), **_local_places(spec)}


def _make_extra(spec: GeneratorSpec, place: str, number: int) -> ResnetBlock:
    return ResnetBlock(spec.widths[_local_places(spec)[place]], spec.widths[extra_name(place, number)], spec.norm)


def build(spec: GeneratorSpec) -> LocalEnhancer:
    return LocalEnhancer(spec)


def layers(spec: GeneratorSpec) -> Iterator[Layer]:
    w, bias, shared = spec.widths, has_bias(spec.norm), _shared(spec)
    full = spec.height * spec.width
    half = full // 4
    halved = spec.at(spec.height // 2, spec.width // 2)
    for row in body_layers(halved, resnet.block_layers, resnet.extra_layers):
        yield row._replace(name=f"inner.{row.name}")
    c, stem, up = w[shared], w["local_stem"], w["local_up"]
    yield Layer("stem.conv", "conv", spec.input_channels, stem, full, full, 7, bias=bias, writes="local_stem")
    yield norm_layer("stem.norm", spec.norm, stem, full, "local_stem")
    yield Layer("down.conv", "conv", stem, c, full, half, 3, bias=bias, reads=("local_stem",), writes=shared)
    yield norm_layer("down.norm", spec.norm, c, half, shared)
    yield from resnet.pairs_behind(spec, "local_down", shared, half)
    for index in range(1, LOCAL_BLOCKS + 1):
        yield from resnet.pair_layers(spec, f"blocks.{index - 1}", shared, f"local_block{index}", half)
    yield Layer("up.conv", "transposed", c, up, half, full, 3, bias=bias, reads=(shared,), writes="local_up")
    yield norm_layer("up.norm", spec.norm, up, full, "local_up")
    yield from resnet.pairs_behind(spec, "local_up", "local_up", full)
    yield Layer("head", "conv", up, spec.output_channels, full, full, 7, bias=True, reads=("local_up",))


def deciders(spec: GeneratorSpec) -> dict[str, str]:
    """By width, the norm whose scales decide about it; of two that are summed, the global generator's."""
    inner = {name: f"inner.{path}" for name, path in resnet.deciders(spec).items()}
    blocks = {f"local_block{i}": f"blocks.{i - 1}.first.norm" for i in range(1, LOCAL_BLOCKS + 1)}
    extras = resnet.extra_deciders(spec, _local_places(spec))
    return {**inner, "local_stem": "stem.norm", "local_up": "up.norm", **blocks, **extras}


def followers(spec: GeneratorSpec) -> dict[str, tuple[str, int]]:
    """None: norms decide about every width that may change."""
    return {}


def vanishing(spec: GeneratorSpec) -> tuple[str, ...]:
    """None: every map is needed."""
    return ()


def grid(spec: GeneratorSpec) -> tuple[int, int]:
    """What height and width must be a multiple of, and their least."""
    return 2 ** (spec.levels + 1), 4 * 2 ** (spec.levels + 1)
