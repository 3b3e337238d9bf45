"""What the residual generators share: stem, down-sampling, up-sampling, head, norms and their layer rows.

The frame is that of the CycleGAN and pix2pix ResNet generator: reflect-pad 3 + conv7, two stride-2 conv3, blocks, two
transposed conv3, reflect-pad 3 + conv7, tanh. Families differ in their blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from pocketgan.errors import ModelError
from pocketgan.training.generators.spec import GeneratorSpec, Layer, Norm

FRAME = ("stem", "down1", "down2", "up1", "up2")


def frame_widths(ngf: int) -> dict[str, int]:
    """Widths of the layers around the blocks; the residual width is that of down2."""
    return {"stem": ngf, "down1": 2 * ngf, "down2": 4 * ngf, "up1": 2 * ngf, "up2": ngf}


def make_norm(norm: Norm, channels: int) -> nn.Module:
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.InstanceNorm2d(channels, affine=norm == "instance-affine")


def has_scale(norm: Norm) -> bool:
    return norm != "instance"


def has_bias(norm: Norm) -> bool:
    """Convolutions have a bias only in front of instance norm (pix2pix)."""
    return norm != "batch"


class ConvNormReLU(nn.Module):
    """Convolution, norm, ReLU; reflection padding in front where `reflect` is given."""

    def __init__(self, conv: nn.Module, norm: Norm, channels: int, reflect: int = 0) -> None:
        super().__init__()
        self.pad = nn.ReflectionPad2d(reflect) if reflect else nn.Identity()
        self.conv = conv
        self.norm = make_norm(norm, channels)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(self.pad(x))))


class ResidualGenerator(nn.Module):
    """An image-to-image generator around residual blocks.

    forward: (n, input_channels, h, w) in [-1, 1] -> (n, output_channels, h, w) in [-1, 1]; h and w multiples of 4.
    """

    def __init__(self, spec: GeneratorSpec, make_block: Callable[[GeneratorSpec, int], nn.Module]) -> None:
        super().__init__()
        check_spec(spec)
        w, bias = spec.widths, has_bias(spec.norm)
        stem = nn.Conv2d(spec.input_channels, w["stem"], 7, bias=bias)
        down1 = nn.Conv2d(w["stem"], w["down1"], 3, stride=2, padding=1, bias=bias)
        down2 = nn.Conv2d(w["down1"], w["down2"], 3, stride=2, padding=1, bias=bias)
        up1 = nn.ConvTranspose2d(w["down2"], w["up1"], 3, stride=2, padding=1, output_padding=1, bias=bias)
        up2 = nn.ConvTranspose2d(w["up1"], w["up2"], 3, stride=2, padding=1, output_padding=1, bias=bias)
        self.stem = ConvNormReLU(stem, spec.norm, w["stem"], reflect=3)
        self.down1 = ConvNormReLU(down1, spec.norm, w["down1"])
        self.down2 = ConvNormReLU(down2, spec.norm, w["down2"])
        self.blocks = nn.ModuleList(make_block(spec, index) for index in range(1, spec.blocks + 1))
        self.up1 = ConvNormReLU(up1, spec.norm, w["up1"])
        self.up2 = ConvNormReLU(up2, spec.norm, w["up2"])
        self.head_pad = nn.ReflectionPad2d(3)
        self.head = nn.Conv2d(w["up2"], spec.output_channels, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_with_features(x)[0]

    def forward_with_features(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The output image, and the features that are distilled (CAT, section 3.3).

        Features are taken after the last down-sampling activation and after every third block.
        """
        x = self.down2(self.down1(self.stem(x)))
        features = [x]
        for index, block in enumerate(self.blocks, start=1):
            x = block(x)
            if index % 3 == 0:
                features.append(x)
        x = self.head(self.head_pad(self.up2(self.up1(x))))
        return torch.tanh(x), features


def check_spec(spec: GeneratorSpec) -> None:
    """Raises ModelError for sizes or widths that the frame cannot have."""
    if spec.height % 4 or spec.width % 4 or min(spec.height, spec.width) < 16:
        raise ModelError(
            f"{spec.family} takes heights and widths that are multiples of 4 and at least 16, "
            f"not {spec.height}x{spec.width}"
        )
    missing = [name for name in FRAME if spec.widths.get(name, 0) < 1]
    if missing:
        raise ModelError(f"{spec.family} needs a width of at least 1 for {', '.join(missing)}")


def frame_layers(
    spec: GeneratorSpec, block_layers: Callable[[GeneratorSpec, int, int], Iterator[Layer]]
) -> Iterator[Layer]:
    """The layer rows of a whole ResidualGenerator; `block_layers(spec, index, pixels)` gives those of one block."""
    w, bias = spec.widths, has_bias(spec.norm)
    full = spec.height * spec.width
    half, quarter = full // 4, full // 16
    yield Layer("stem.conv", "conv", spec.input_channels, w["stem"], full, full, 7, bias=bias)
    yield from norm_layers("stem", spec.norm, w["stem"], full)
    yield Layer("down1.conv", "conv", w["stem"], w["down1"], full, half, 3, bias=bias)
    yield from norm_layers("down1", spec.norm, w["down1"], half)
    yield Layer("down2.conv", "conv", w["down1"], w["down2"], half, quarter, 3, bias=bias)
    yield from norm_layers("down2", spec.norm, w["down2"], quarter)
    for index in range(1, spec.blocks + 1):
        yield from block_layers(spec, index, quarter)
    yield Layer("up1.conv", "transposed", w["down2"], w["up1"], quarter, half, 3, bias=bias)
    yield from norm_layers("up1", spec.norm, w["up1"], half)
    yield Layer("up2.conv", "transposed", w["up1"], w["up2"], half, full, 3, bias=bias)
    yield from norm_layers("up2", spec.norm, w["up2"], full)
    yield Layer("head", "conv", w["up2"], spec.output_channels, full, full, 7, bias=True)


def norm_layers(name: str, norm: Norm, channels: int, pixels: int) -> Iterator[Layer]:
    """The row of a norm with scale and shift; a plain norm has no parameters and no row."""
    if has_scale(norm):
        yield Layer(f"{name}.norm", "norm", channels, channels, pixels, pixels)


def frame_scales(generator: ResidualGenerator) -> dict[str, Tensor]:
    """Scales of the norms around the blocks, by layer name."""
    return {name: getattr(generator, name).norm.weight for name in FRAME}
