"""E2GAN's text-conditioned generator (Gong et al. 2024, section 3.2): Downsample, RB, RB, DS, TB, US, RB, Upsample.

The paper leaves widths, norms and heads open. Chosen here, so that the base has about 10 M parameters and LoRA with the
published ranks about 0.09 M, as printed: pix2pix's frame of 64-128-256 channels, residual blocks (RB) of 256, one more
stride (DS, US) to 512 around the transformer block (TB), eight heads, CLIP's 77 text tokens of 512 numbers.

The block may stand after another part (`GeneratorSpec.transformer_after`; the paper's figure 2), as wide as the maps
are there; DS and US stay.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from pocketgan.errors import ModelError
from pocketgan.training.generators.blocks import (
    ConvNormReLU,
    frame_deciders,
    frame_widths,
    has_bias,
    norm_layer,
)
from pocketgan.training.generators.resnet import ResnetBlock, pair_layers
from pocketgan.training.generators.spec import GeneratorSpec, Layer, Norm, TransformerPlace

TEXT_TOKENS = 77
TEXT_WIDTH = 512
HEADS = 8
FEED_FORWARD = 2
RESIDUAL = "down2"
# By place of the transformer block, the width of the maps there, and how many times smaller than the image they are.
_STREAMS: dict[TransformerPlace, tuple[str, int]] = {
    "downsample": (RESIDUAL, 4),
    "rb1": (RESIDUAL, 4),
    "rb2": (RESIDUAL, 4),
    "ds": ("tb", 8),
    "us": ("us", 4),
    "rb3": ("us", 4),
}


def widths(ngf: int, blocks: int, levels: int) -> dict[str, int]:
    """The frame's, the residual blocks' inner ones, and the transformer's, which stay: heads split them."""
    inner = {f"block{index}": 4 * ngf for index in range(1, 4)}
    return {**frame_widths(ngf), "us": 4 * ngf, **inner, "tb": 8 * ngf, "text": TEXT_WIDTH}


def check_transformer(spec: GeneratorSpec) -> None:
    """Raises ModelError where the heads cannot share the width of the maps where the block stands."""
    stream, _ = _STREAMS[spec.transformer_after]
    if spec.widths[stream] % HEADS:
        raise ModelError(
            f"e2gan's transformer block after {spec.transformer_after} has {HEADS} heads; the width {stream} is a "
            f"multiple of that, not {spec.widths[stream]}"
        )


class Attention(nn.Module):
    """Multi-head attention of (n, t, c) queries over (n, s, d) tokens, written out for every exporter."""

    def __init__(self, channels: int, source: int) -> None:
        super().__init__()
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(source, channels, bias=False)
        self.value = nn.Linear(source, channels, bias=False)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        query, key, value = (_heads(part) for part in (self.query(x), self.key(source), self.value(source)))
        weights = torch.softmax(query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5, -1)
        return self.out((weights @ value).transpose(1, 2).flatten(2))


def _heads(x: Tensor) -> Tensor:
    """(n, t, c) -> (n, heads, t, c / heads)."""
    return x.unflatten(2, (HEADS, -1)).transpose(1, 2)


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention to the text, feed-forward; each after a layer norm, each added to its input."""

    def __init__(self, channels: int, text: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))
        self.self_attention = Attention(channels, channels)
        self.cross_attention = Attention(channels, text)
        self.feed1 = nn.Linear(channels, FEED_FORWARD * channels)
        self.feed2 = nn.Linear(FEED_FORWARD * channels, channels)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        height = x.shape[2]
        x = x.flatten(2).transpose(1, 2)
        normed = self.norm1(x)
        x = x + self.self_attention(normed, normed)
        x = x + self.cross_attention(self.norm2(x), text)
        x = x + self.feed2(nn.functional.gelu(self.feed1(self.norm3(x))))
        return x.transpose(1, 2).unflatten(2, (height, -1))


class _Growing(ConvNormReLU):
    """Twice the size by nearest neighbours, convolution, norm, ReLU.

    LoRA adapts a convolution, as it cannot a transposed one; exported, both are one transposed convolution.
    """

    def __init__(self, inputs: int, outputs: int, norm: Norm) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 3, padding=1, bias=has_bias(norm)), norm, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.interpolate(x, scale_factor=2))


class E2Generator(nn.Module):
    """forward: image (n, input_channels, h, w), text (n, 77, 512) -> image in [-1, 1]; h and w multiples of 8.

    Where no text is given, that of the concept that the network was made for is used: the buffer `concept` (1, 77,
    512), so that what is shipped takes an image alone.
    """

    concept: Tensor

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        w, norm, bias = spec.widths, spec.norm, has_bias(spec.norm)
        c = w[RESIDUAL]
        self.register_buffer("concept", torch.zeros(1, TEXT_TOKENS, w["text"]))
        stem = nn.Conv2d(spec.input_channels, w["stem"], 7, bias=bias)
        self.stem = ConvNormReLU(stem, norm, w["stem"], reflect=3)
        self.down1 = ConvNormReLU(nn.Conv2d(w["stem"], w["down1"], 3, 2, 1, bias=bias), norm, w["down1"])
        self.down2 = ConvNormReLU(nn.Conv2d(w["down1"], c, 3, 2, 1, bias=bias), norm, c)
        self.rb1, self.rb2 = ResnetBlock(c, w["block1"], norm), ResnetBlock(c, w["block2"], norm)
        self.ds = nn.Conv2d(c, w["tb"], 3, 2, 1)
        self.place = spec.transformer_after
        self.tb = TransformerBlock(w[_STREAMS[self.place][0]], w["text"])
        self.us = _Growing(w["tb"], w["us"], norm)
        self.rb3 = ResnetBlock(w["us"], w["block3"], norm)
        self.up1, self.up2 = _Growing(w["us"], w["up1"], norm), _Growing(w["up1"], w["up2"], norm)
        self.head_pad = nn.ReflectionPad2d(3)
        self.head = nn.Conv2d(w["up2"], spec.output_channels, 7)

    def forward(self, x: Tensor, text: Tensor | None = None) -> Tensor:
        return self.forward_with_features(x, text)[0]

    def forward_with_features(self, x: Tensor, text: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """The output image, and the features that are distilled: after Downsample, RB, RB and the last RB."""
        text = self.concept.expand(x.shape[0], -1, -1) if text is None else text

        def after(part: str, x: Tensor) -> Tensor:
            return self.tb(x, text) if part == self.place else x

        features = [after("downsample", self.down2(self.down1(self.stem(x))))]
        for part, block in (("rb1", self.rb1), ("rb2", self.rb2)):
            features.append(after(part, block(features[-1])))
        x = after("us", self.us(after("ds", self.ds(features[-1]))))
        features.append(after("rb3", self.rb3(x)))
        x = self.head(self.head_pad(self.up2(self.up1(features[-1]))))
        return torch.tanh(x), features


def build(spec: GeneratorSpec) -> E2Generator:
    return E2Generator(spec)


def layers(spec: GeneratorSpec) -> Iterator[Layer]:
    w, bias, norm = spec.widths, has_bias(spec.norm), spec.norm
    full = spec.height * spec.width
    c, t = w[RESIDUAL], w["tb"]

    def framed(name: str, kind: str, reads: str, pixels: tuple[int, int], kernel: int = 3) -> Iterator[Layer]:
        inputs, source = (w[reads], (reads,)) if reads else (spec.input_channels, ())
        yield Layer(f"{name}.conv", kind, inputs, w[name], *pixels, kernel, bias=bias, reads=source, writes=name)  # type: ignore[arg-type]
        yield norm_layer(f"{name}.norm", norm, w[name], pixels[1], name)

    def transformer(after: str) -> Iterator[Layer]:
        if after == spec.transformer_after:
            stream, smaller = _STREAMS[spec.transformer_after]
            yield from _transformer_layers(stream, w[stream], w["text"], full // smaller**2)

    half, quarter, eighth = full // 4, full // 16, full // 64
    yield from framed("stem", "conv", "", (full, full), 7)
    yield from framed("down1", "conv", "stem", (full, half))
    yield from framed("down2", "conv", "down1", (half, quarter))
    yield from transformer("downsample")
    for block, inner in (("rb1", "block1"), ("rb2", "block2")):
        yield from pair_layers(spec, block, RESIDUAL, inner, quarter)
        yield from transformer(block)
    yield Layer("ds", "conv", c, t, quarter, eighth, 3, bias=True, reads=(RESIDUAL,), writes="tb")
    yield from transformer("ds")
    yield from framed("us", "conv", "tb", (quarter, quarter))
    yield from transformer("us")
    yield from pair_layers(spec, "rb3", "us", "block3", quarter)
    yield from transformer("rb3")
    yield from framed("up1", "conv", "us", (half, half))
    yield from framed("up2", "conv", "up1", (full, full))
    yield Layer("head", "conv", w["up2"], spec.output_channels, full, full, 7, bias=True, reads=("up2",))


def _transformer_layers(stream: str, channels: int, text: int, tokens: int) -> Iterator[Layer]:
    """`stream`: name of the width of the maps that the block reads and adds to."""

    def linear(name: str, inputs: int, outputs: int, rows: int, bias: bool, reads: str = stream) -> Layer:
        writes = stream if outputs == channels else ""
        return Layer(f"tb.{name}", "linear", inputs, outputs, rows, rows, bias=bias, reads=(reads,), writes=writes)

    for index, (name, source, rows) in enumerate((("self", channels, tokens), ("cross", text, TEXT_TOKENS)), start=1):
        path, reads = f"{name}_attention", stream if name == "self" else "text"
        yield norm_layer(f"tb.norm{index}", "batch", channels, tokens, stream)
        yield linear(f"{path}.query", channels, channels, tokens, False)
        yield linear(f"{path}.key", source, channels, rows, False, reads)
        yield linear(f"{path}.value", source, channels, rows, False, reads)
        # every query meets every key, and every weight its value, whatever the number of heads
        yield Layer(f"tb.{path}.scores", "matmul", channels, rows, tokens, tokens)
        yield Layer(f"tb.{path}.mix", "matmul", rows, channels, tokens, tokens)
        yield linear(f"{path}.out", channels, channels, tokens, True)
    yield norm_layer("tb.norm3", "batch", channels, tokens, stream)
    yield Layer("tb.feed1", "linear", channels, FEED_FORWARD * channels, tokens, tokens, bias=True, reads=(stream,))
    yield Layer("tb.feed2", "linear", FEED_FORWARD * channels, channels, tokens, tokens, bias=True, writes=stream)


def deciders(spec: GeneratorSpec) -> dict[str, str]:
    """By width, the norm whose scales decide about it; the width that the heads share stays as it is."""
    blocks = {f"block{index}": f"rb{index}.first.norm" for index in range(1, 4)}
    decided = {**frame_deciders(spec), "us": "us.norm", **blocks}
    decided.pop(_STREAMS[spec.transformer_after][0], None)
    return decided


def followers(spec: GeneratorSpec) -> dict[str, tuple[str, int]]:
    """None: norms decide about every width that may change."""
    return {}


def vanishing(spec: GeneratorSpec) -> tuple[str, ...]:
    """None: every map is needed."""
    return ()


def grid(spec: GeneratorSpec) -> tuple[int, int]:
    """What height and width must be a multiple of, and their least."""
    return 8, 16
