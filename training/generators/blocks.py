"""What the residual generators share: stem, down-sampling, up-sampling, head, norms and their layer rows.

The frame is that of the CycleGAN and pix2pix ResNet generator, and of pix2pixHD's global one: reflect-pad 3 + conv7,
stride-2 conv3 (two; pix2pixHD: four), blocks, as many transposed conv3, reflect-pad 3 + conv7, tanh. Families differ
in their blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from pocketgan.training.generators.extras import extra_count
from pocketgan.training.generators.spec import GeneratorSpec, Layer, Norm

MakeExtra = Callable[[GeneratorSpec, str, int], nn.Module]


def make_norm(norm: Norm, channels: int) -> nn.Module:
    if norm.startswith("batch"):
        return nn.BatchNorm2d(channels, affine=norm == "batch")
    return nn.InstanceNorm2d(channels, affine=norm == "instance-affine")


def has_scale(norm: Norm) -> bool:
    return norm in ("batch", "instance-affine")


def without_scale(norm: Norm) -> Norm:
    """The norm of that kind that has neither scale nor shift."""
    return "batch-plain" if norm.startswith("batch") else "instance"


def has_bias(norm: Norm) -> bool:
    """Convolutions have a bias only in front of instance norm (pix2pix)."""
    return norm.startswith("instance")


class ConvNormReLU(nn.Module):
    """Convolution, norm, ReLU; reflection padding in front where `reflect` is given, a leaky ReLU where `slope` is."""

    def __init__(self, conv: nn.Module, norm: Norm, channels: int, reflect: int = 0, slope: float = 0.0) -> None:
        super().__init__()
        self.pad = nn.ReflectionPad2d(reflect) if reflect else nn.Identity()
        self.conv = conv
        self.norm = make_norm(norm, channels)
        self.act = nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(self.pad(x))))


def frame_names(levels: int) -> tuple[str, ...]:
    """Widths around the blocks; the last down-sampling one is that of the residual stream."""
    return ("stem", *(f"down{i}" for i in range(1, levels + 1)), *(f"up{i}" for i in range(1, levels + 1)))


def frame_widths(ngf: int, levels: int = 2) -> dict[str, int]:
    """Doubled at every stride, halved again on the way out."""
    down = {f"down{i}": ngf * 2**i for i in range(1, levels + 1)}
    up = {f"up{i}": ngf * 2 ** (levels - i) for i in range(1, levels + 1)}
    return {"stem": ngf, **down, **up}


def residual_name(spec: GeneratorSpec) -> str:
    """The width of the residual stream."""
    return f"down{spec.levels}"


def residual_pixels(spec: GeneratorSpec) -> int:
    """Height x width of the residual stream."""
    return spec.height * spec.width // 4**spec.levels


class ExtraBlocks(nn.ModuleDict):
    """The extra blocks of a network by the layer that they follow; without parameters where it has none.

    Args:
        make_extra: the block of a number, counted from 1, behind a layer; None of a family that takes none.
    """

    def __init__(self, spec: GeneratorSpec, places: Iterable[str], make_extra: MakeExtra | None) -> None:
        super().__init__()
        for place in places if make_extra else ():
            if count := extra_count(spec, place):
                assert make_extra is not None
                self[place] = nn.ModuleList(make_extra(spec, place, number) for number in range(1, count + 1))

    def behind(self, place: str) -> Iterable[nn.Module]:
        """The blocks behind a layer, in their order."""
        if place not in self:
            return ()
        blocks = self[place]
        assert isinstance(blocks, nn.ModuleList)
        return blocks


class ResidualGenerator(nn.Module):
    """An image-to-image generator around residual blocks.

    forward: (n, input_channels, h, w) in [-1, 1] -> (n, output_channels, h, w) in [-1, 1]; h and w multiples of
    2 ** levels. `make_extra` makes the extra blocks that a spec may name.
    """

    def __init__(
        self,
        spec: GeneratorSpec,
        make_block: Callable[[GeneratorSpec, int], nn.Module],
        make_extra: MakeExtra | None = None,
    ) -> None:
        super().__init__()
        w, bias, levels = spec.widths, has_bias(spec.norm), range(1, spec.levels + 1)
        stem = nn.Conv2d(spec.input_channels, w["stem"], 7, bias=bias)
        self.stem = ConvNormReLU(stem, spec.norm, w["stem"], reflect=3)
        self.downs = [f"down{i}" for i in levels]
        self.ups = [f"up{i}" for i in levels]
        before = w["stem"]
        for name in self.downs:
            conv = nn.Conv2d(before, w[name], 3, stride=2, padding=1, bias=bias)
            self.add_module(name, ConvNormReLU(conv, spec.norm, w[name]))
            before = w[name]
        self.blocks = nn.ModuleList(make_block(spec, index) for index in range(1, spec.blocks + 1))
        for name in self.ups:
            transposed = nn.ConvTranspose2d(before, w[name], 3, stride=2, padding=1, output_padding=1, bias=bias)
            self.add_module(name, ConvNormReLU(transposed, spec.norm, w[name]))
            before = w[name]
        self.extras = ExtraBlocks(spec, (*self.downs, *self.ups), make_extra)
        self.head_pad = nn.ReflectionPad2d(3)
        self.head = nn.Conv2d(before, spec.output_channels, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_with_features(x)[0]

    def forward_with_features(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The output image, and the features that are distilled (CAT, section 3.3).

        Features are taken after the last down-sampling activation and after every third of the blocks.
        """
        x, features = self.body(x)
        return torch.tanh(self.head(self.head_pad(x))), features

    def body(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The map that the head turns into an image, and the features that are distilled."""
        x = self.stem(x)
        for name in self.downs:
            x = self._changed_size(name, x)
        features = [x]
        third = max(1, len(self.blocks) // 3)
        for index, block in enumerate(self.blocks, start=1):
            x = block(x)
            if index % third == 0:
                features.append(x)
        for name in self.ups:
            x = self._changed_size(name, x)
        return x, features

    def _changed_size(self, name: str, x: Tensor) -> Tensor:
        """What a down- or up-sampling layer makes of x, and the extra blocks behind it."""
        x = self.get_submodule(name)(x)
        for block in self.extras.behind(name):
            x = block(x)
        return x


def no_extras(spec: GeneratorSpec, place: str, pixels: int) -> Iterator[Layer]:
    """The rows of the extra blocks of a family that takes none."""
    return iter(())


def frame_layers(
    spec: GeneratorSpec,
    block_layers: Callable[[GeneratorSpec, int, int], Iterator[Layer]],
    extra_layers: Callable[[GeneratorSpec, str, int], Iterator[Layer]] = no_extras,
) -> Iterator[Layer]:
    """The layer rows of a whole ResidualGenerator.

    Args:
        block_layers: those of one block: `block_layers(spec, index, pixels)`.
        extra_layers: those of the extra blocks behind a layer: `extra_layers(spec, place, pixels)`.
    """
    yield from body_layers(spec, block_layers, extra_layers)
    full, last = spec.height * spec.width, f"up{spec.levels}"
    width = spec.widths[last]
    yield Layer("head", "conv", width, spec.output_channels, full, full, 7, bias=True, reads=(last,))


def body_layers(
    spec: GeneratorSpec,
    block_layers: Callable[[GeneratorSpec, int, int], Iterator[Layer]],
    extra_layers: Callable[[GeneratorSpec, str, int], Iterator[Layer]] = no_extras,
) -> Iterator[Layer]:
    """The rows in front of the head."""
    w, bias, pixels = spec.widths, has_bias(spec.norm), spec.height * spec.width
    yield Layer("stem.conv", "conv", spec.input_channels, w["stem"], pixels, pixels, 7, bias=bias, writes="stem")
    yield norm_layer("stem.norm", spec.norm, w["stem"], pixels, "stem")
    before = "stem"
    for name in frame_names(spec.levels)[1 : spec.levels + 1]:
        yield Layer(
            f"{name}.conv", "conv", w[before], w[name], pixels, pixels // 4, 3, bias=bias, reads=(before,), writes=name
        )
        pixels //= 4
        yield norm_layer(f"{name}.norm", spec.norm, w[name], pixels, name)
        yield from extra_layers(spec, name, pixels)
        before = name
    for index in range(1, spec.blocks + 1):
        yield from block_layers(spec, index, pixels)
    for name in frame_names(spec.levels)[spec.levels + 1 :]:
        yield Layer(
            f"{name}.conv", "transposed", w[before], w[name], pixels, 4 * pixels, 3,
            bias=bias, reads=(before,), writes=name,
        )  # fmt: skip
        pixels *= 4
        yield norm_layer(f"{name}.norm", spec.norm, w[name], pixels, name)
        yield from extra_layers(spec, name, pixels)
        before = name


def norm_layer(path: str, norm: Norm, channels: int, pixels: int, width: str) -> Layer:
    """The row of the norm at `path`, on the channels of `width`."""
    return Layer(path, "norm", channels, channels, pixels, pixels, bias=has_scale(norm), reads=(width,), writes=width)


def frame_deciders(spec: GeneratorSpec) -> dict[str, str]:
    """By width, the norm whose scales decide about it."""
    return {name: f"{name}.norm" for name in frame_names(spec.levels)}


def frame_grid(spec: GeneratorSpec) -> tuple[int, int]:
    """What height and width must be a multiple of, and their least: reflection needs more pixels than it pads."""
    return 2**spec.levels, 4 * 2**spec.levels
