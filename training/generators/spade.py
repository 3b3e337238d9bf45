"""GauGAN's generator (Park et al. 2019): label maps modulate a stack of residual blocks through SPADE norms.

Its normalisations have no scales (norm `batch-plain`), so that nothing can be pruned. With norm `batch` they have, and
the first map, the maps shared inside SPADE and the last map get norms of their own: then every width can be searched.
CAT's own generator for label maps stands in the same frame (`incres_spade`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from pocketgan.training.generators.blocks import ExtraBlocks, MakeExtra, has_scale, make_norm, no_extras, norm_layer
from pocketgan.training.generators.extras import extra_count, extra_name
from pocketgan.training.generators.spec import GeneratorSpec, Layer, Norm

SHARED = 128
STAGES = ("head", "middle0", "middle1", "up0", "up1", "up2", "up3")
DISTILLED = ("head", "middle1", "up1", "up3")
# An extra block has the widths of a stage that keeps its own: inside, and those of its two SPADE norms.
EXTRA_PARTS = ("", ".spade0", ".spade1")
# Two resolutions stay the same between stages: between the middle blocks with five levels, none with six ("more").
MORE = 6


def stage_widths(ngf: int) -> dict[str, int]:
    """Channels of the residual stream: one map from the first layer through the middle, then half at every stage."""
    return {"fc": 16 * ngf, "up0": 8 * ngf, "up1": 4 * ngf, "up2": 2 * ngf, "up3": ngf}


def widths(ngf: int, blocks: int, levels: int) -> dict[str, int]:
    """The residual stream, the maps inside the blocks, and the one that each SPADE shares between scale and shift."""
    found = stage_widths(ngf)
    for stage in STAGES:
        reads, writes = stage_ends(stage)
        found[f"{stage}.inner"] = min(found[reads], found[writes])
        for name in spades(stage):
            found[f"{stage}.{name}"] = SHARED
    return found


def stage_ends(stage: str) -> tuple[str, str]:
    """The widths that a stage reads and writes."""
    if not stage.startswith("up"):
        return "fc", "fc"
    return ("fc" if stage == "up0" else f"up{int(stage[2:]) - 1}"), stage


def spades(stage: str) -> tuple[str, ...]:
    """The SPADE norms of a stage; a stage that changes the width has one on its shortcut."""
    return ("spade0", "spade1", "spade_shortcut") if stage.startswith("up") else ("spade0", "spade1")


class Modulation(nn.Module):
    """Label map -> scale and shift: conv3 to a shared map, (norm,) ReLU, conv3 to both (Park et al., figure 2)."""

    def __init__(self, labels: int, shared: int, channels: int, norm: Norm) -> None:
        super().__init__()
        self.shared = nn.Conv2d(labels, shared, 3, padding=1)
        self.norm = make_norm(norm, shared) if has_scale(norm) else nn.Identity()
        self.scale = nn.Conv2d(shared, channels, 3, padding=1)
        self.shift = nn.Conv2d(shared, channels, 3, padding=1)

    def forward(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        shared = torch.relu(self.norm(self.shared(labels)))
        return self.scale(shared), self.shift(shared)


class Spade(nn.Module):
    """norm(x) * (1 + scale) + shift, both made from the label map at the size of x; `modulation` makes them.

    forward: x (n, c, h, w), labels (n, l, k*h, k*w) for a whole k -> (n, c, h, w).
    """

    def __init__(self, modulation: nn.Module | None, channels: int, norm: Norm) -> None:
        super().__init__()
        self.norm = make_norm(norm, channels)
        self.modulation = modulation

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        x = self.norm(x)
        if self.modulation is None:
            return x
        step = labels.shape[2] // x.shape[2]
        # Every step-th pixel is what nearest-neighbour interpolation reads, and exports to every runtime.
        scale, shift = self.modulation(labels[:, :, ::step, ::step])
        return x * (1 + scale) + shift


class SpadeBlock(nn.Module):
    """Shortcut + conv(act(spade(conv(act(spade(x)))))); the shortcut is 1x1 where the width changes.

    Args:
        name: in front of the names of its SPADE norms in `spec.widths`.
        ends: the widths that it reads and writes.
        inside: its inner width.
    """

    def __init__(self, spec: GeneratorSpec, name: str, ends: tuple[str, str], inside: str) -> None:
        super().__init__()
        reads, writes, inner = spec.widths[ends[0]], spec.widths[ends[1]], spec.widths[inside]

        def spade(part: str, channels: int) -> Spade:
            shared = spec.widths[f"{name}.{part}"]
            return Spade(Modulation(spec.input_channels, shared, channels, spec.norm), channels, spec.norm)

        self.spade0, self.spade1 = spade("spade0", reads), spade("spade1", inner)
        self.conv0 = nn.Conv2d(reads, inner, 3, padding=1)
        self.conv1 = nn.Conv2d(inner, writes, 3, padding=1)
        self.changes = ends[0] != ends[1]
        if self.changes:
            self.spade_shortcut = spade("spade_shortcut", reads)
            self.shortcut = nn.Conv2d(reads, writes, 1, bias=False)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        around = self.shortcut(self.spade_shortcut(x, labels)) if self.changes else x
        x = self.conv0(functional.leaky_relu(self.spade0(x, labels), 0.2))
        return around + self.conv1(functional.leaky_relu(self.spade1(x, labels), 0.2))


def _make_block(spec: GeneratorSpec, stage: str) -> SpadeBlock:
    return SpadeBlock(spec, stage, stage_ends(stage), f"{stage}.inner")


def _make_extra(spec: GeneratorSpec, place: str, number: int) -> SpadeBlock:
    name, (_, width) = extra_name(place, number), stage_ends(place)
    return SpadeBlock(spec, name, (width, width), name)


def extra_places(spec: GeneratorSpec) -> dict[str, str]:
    """The stages behind an up-sampling, each with the width that it leaves."""
    return {stage: stage_ends(stage)[1] for stage in STAGES if grows(stage, spec.levels)}


class SpadeGenerator(nn.Module):
    """forward: one-hot labels and edges (n, input_channels, h, w) -> (n, output_channels, h, w) in [-1, 1].

    h and w are multiples of 2 ** levels. `last_norm` stands in front of the last activation; `make_extra` makes the
    extra blocks that a spec may name.
    """

    def __init__(
        self,
        spec: GeneratorSpec,
        make_block: Callable[[GeneratorSpec, str], nn.Module],
        last_norm: nn.Module,
        make_extra: MakeExtra | None = None,
    ) -> None:
        super().__init__()
        w = spec.widths
        self.levels, self.first_step = spec.levels, 2**spec.levels
        self.fc = nn.Conv2d(spec.input_channels, w["fc"], 3, padding=1)
        self.fc_norm = make_norm(spec.norm, w["fc"]) if has_scale(spec.norm) else nn.Identity()
        self.stages = nn.ModuleDict({stage: make_block(spec, stage) for stage in STAGES})
        self.extras = ExtraBlocks(spec, STAGES, make_extra)
        self.last_norm = last_norm
        self.grow = nn.Upsample(scale_factor=2)
        self.head = nn.Conv2d(w["up3"], spec.output_channels, 3, padding=1)

    def forward(self, labels: Tensor) -> Tensor:
        return self.forward_with_features(labels)[0]

    def forward_with_features(self, labels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The output image, and the features that are distilled: after the first, the middle and two later blocks."""
        x = self.fc_norm(self.fc(labels[:, :, :: self.first_step, :: self.first_step]))
        features = []
        for stage, block in self.stages.items():
            if grows(stage, self.levels):
                x = self.grow(x)
            x = block(x, labels)
            for extra in self.extras.behind(stage):
                x = extra(x, labels)
            if stage in DISTILLED:
                features.append(x)
        x = self.head(functional.leaky_relu(self.last_norm(x), 0.2))
        return torch.tanh(x), features


def grows(stage: str, levels: int) -> bool:
    """Whether the map is doubled in front of the stage; six levels double once more than five."""
    return stage.startswith("up") or stage == "middle0" or (stage == "middle1" and levels == MORE)


def build(spec: GeneratorSpec) -> SpadeGenerator:
    last_norm = make_norm(spec.norm, spec.widths["up3"]) if has_scale(spec.norm) else nn.Identity()
    return SpadeGenerator(spec, _make_block, last_norm, _make_extra)


def generator_layers(
    spec: GeneratorSpec,
    block_layers: Callable[[GeneratorSpec, str, int], Iterator[Layer]],
    last_norm: Sequence[Layer],
    extra_layers: Callable[[GeneratorSpec, str, int], Iterator[Layer]] = no_extras,
) -> Iterator[Layer]:
    """The rows of a SpadeGenerator.

    Args:
        block_layers: those of one block: `block_layers(spec, stage, pixels)`.
        extra_layers: those of the extra blocks behind a stage: `extra_layers(spec, stage, pixels)`.
    """
    full = spec.height * spec.width
    pixels = full // 4**spec.levels
    yield Layer("fc", "conv", spec.input_channels, spec.widths["fc"], pixels, pixels, 3, bias=True, writes="fc")
    if has_scale(spec.norm):
        yield norm_layer("fc_norm", spec.norm, spec.widths["fc"], pixels, "fc")
    for stage in STAGES:
        if grows(stage, spec.levels):
            pixels *= 4
        yield from block_layers(spec, stage, pixels)
        yield from extra_layers(spec, stage, pixels)
    yield from last_norm
    yield Layer("head", "conv", spec.widths["up3"], spec.output_channels, full, full, 3, bias=True, reads=("up3",))


def layers(spec: GeneratorSpec) -> Iterator[Layer]:
    last_norm = norm_layer("last_norm", spec.norm, spec.widths["up3"], spec.height * spec.width, "up3")
    return generator_layers(
        spec, _stage_layers, [last_norm] if has_scale(spec.norm) else [], extra_layers=_extra_layers
    )


def _stage_layers(spec: GeneratorSpec, stage: str, pixels: int) -> Iterator[Layer]:
    if stage.startswith("up"):
        yield from _spade_layers(spec, f"stages.{stage}", f"{stage}.spade_shortcut", stage_ends(stage)[0], pixels)
        yield shortcut_layer(spec, stage, pixels)
    yield from _block_layers(spec, f"stages.{stage}", stage, stage_ends(stage), f"{stage}.inner", pixels)


def _extra_layers(spec: GeneratorSpec, stage: str, pixels: int) -> Iterator[Layer]:
    width = stage_ends(stage)[1]
    for number in range(1, extra_count(spec, stage) + 1):
        name = extra_name(stage, number)
        yield from _block_layers(spec, f"extras.{stage}.{number - 1}", name, (width, width), name, pixels)


def _block_layers(
    spec: GeneratorSpec, path: str, name: str, ends: tuple[str, str], inner: str, pixels: int
) -> Iterator[Layer]:
    """The rows of the SpadeBlock at `path` without its shortcut."""
    reads, writes = ends
    c, h, d = spec.widths[reads], spec.widths[inner], spec.widths[writes]
    yield from _spade_layers(spec, path, f"{name}.spade0", reads, pixels)
    yield Layer(f"{path}.conv0", "conv", c, h, pixels, pixels, 3, 1, True, (reads,), inner)
    yield from _spade_layers(spec, path, f"{name}.spade1", inner, pixels)
    yield Layer(f"{path}.conv1", "conv", h, d, pixels, pixels, 3, 1, True, (inner,), writes)


def shortcut_layer(spec: GeneratorSpec, stage: str, pixels: int) -> Layer:
    """The row of the 1x1 convolution of a stage that changes the width."""
    reads, writes = stage_ends(stage)
    c, d = spec.widths[reads], spec.widths[writes]
    return Layer(f"stages.{stage}.shortcut", "conv", c, d, pixels, pixels, 1, 1, False, (reads,), writes)


def _spade_layers(spec: GeneratorSpec, block: str, width: str, on: str, pixels: int) -> Iterator[Layer]:
    """The rows of the SPADE in the block at that path whose shared map is `width`."""
    path, c, shared = f"{block}.{width.rpartition('.')[2]}", spec.widths[on], spec.widths[width]
    yield norm_layer(f"{path}.norm", spec.norm, c, pixels, on)
    modulation = f"{path}.modulation"
    yield Layer(f"{modulation}.shared", "conv", spec.input_channels, shared, pixels, pixels, 3, bias=True, writes=width)
    if has_scale(spec.norm):
        yield norm_layer(f"{modulation}.norm", spec.norm, shared, pixels, width)
    for part in ("scale", "shift"):
        yield Layer(f"{modulation}.{part}", "conv", shared, c, pixels, pixels, 3, 1, True, (width,), on)


def deciders(spec: GeneratorSpec) -> dict[str, str]:
    """By width, the norm whose scales decide about it; for the stream its first, its last, and those on shortcuts."""
    between = {f"up{i}": f"stages.up{i + 1}.spade_shortcut.norm" for i in range(3)}
    found = {"fc": "fc_norm", **between, "up3": "last_norm"}
    for stage in STAGES:
        found[f"{stage}.inner"] = f"stages.{stage}.spade1.norm"
        found |= {f"{stage}.{name}": f"stages.{stage}.{name}.modulation.norm" for name in spades(stage)}
    for stage in extra_places(spec):
        for number in range(1, extra_count(spec, stage) + 1):
            name, path = extra_name(stage, number), f"extras.{stage}.{number - 1}"
            found[name] = f"{path}.spade1.norm"
            found |= {f"{name}.{part}": f"{path}.{part}.modulation.norm" for part in ("spade0", "spade1")}
    return found


def followers(spec: GeneratorSpec) -> dict[str, tuple[str, int]]:
    """None: norms decide about every width that may change."""
    return {}


def vanishing(spec: GeneratorSpec) -> tuple[str, ...]:
    """None: every map is needed."""
    return ()


def grid(spec: GeneratorSpec) -> tuple[int, int]:
    """What height and width must be a multiple of, and their least."""
    return 2**spec.levels, 2**spec.levels
