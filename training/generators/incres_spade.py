"""CAT's generator for label maps: GauGAN's frame, with six branches in every residual block and in every SPADE.

The paper leaves open how the branches stand in GauGAN's block. Here a block is shortcut + branches(act(spade(x))): the
branches take the place of both its convolutions and of the SPADE between them (their first norm stands there), and
inside a SPADE they lead from the label map to scale and shift at once.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional

from pocketgan.training.generators.blocks import norm_layer
from pocketgan.training.generators.branches import BRANCHES, Branches, branch_deciders, branch_layers, branch_widths
from pocketgan.training.generators.spade import (
    SHARED,
    STAGES,
    Spade,
    SpadeGenerator,
    generator_layers,
    grid,
    shortcut_layer,
    stage_ends,
    stage_widths,
    stream_deciders,
)
from pocketgan.training.generators.spec import GeneratorSpec, Layer

__all__ = ["build", "deciders", "grid", "layers", "vanishing", "widths"]


def widths(ngf: int, blocks: int, levels: int) -> dict[str, int]:
    """A block's branches have a sixth of its input width, a SPADE's a sixth of what GauGAN's shares."""
    found = stage_widths(ngf)
    for stage in STAGES:
        hidden = found[stage_ends(stage)[0]] // len(BRANCHES)
        found |= dict.fromkeys(branch_widths(stage), hidden)
        for name in _spades(stage):
            found |= dict.fromkeys(branch_widths(f"{stage}.{name}"), SHARED // len(BRANCHES))
    return found


def _spades(stage: str) -> tuple[str, ...]:
    return ("spade", "spade_shortcut") if stage.startswith("up") else ("spade",)


class BranchModulation(nn.Module):
    """Label map -> scale and shift, the two halves of what the branches give."""

    def __init__(self, spec: GeneratorSpec, width: str, channels: int) -> None:
        super().__init__()
        self.branches = Branches(spec, width, spec.input_channels, 2 * channels, reflect=False)

    def forward(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self.branches(labels).chunk(2, 1)
        return scale, shift


class IncResSpadeBlock(nn.Module):
    """Shortcut + branches(act(spade(x))); the shortcut alone where all branches are gone."""

    def __init__(self, spec: GeneratorSpec, stage: str) -> None:
        super().__init__()
        reads, writes = (spec.widths[name] for name in stage_ends(stage))
        self.branches = Branches(spec, stage, reads, writes, reflect=False)
        self.spade = _spade(spec, f"{stage}.spade", reads) if self.branches else None
        self.changes = stage.startswith("up")
        if self.changes:
            self.spade_shortcut = _spade(spec, f"{stage}.spade_shortcut", reads)
            self.shortcut = nn.Conv2d(reads, writes, 1, bias=False)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        around = self.shortcut(self.spade_shortcut(x, labels)) if self.changes else x
        if self.spade is None:
            return around
        return around + self.branches(functional.leaky_relu(self.spade(x, labels), 0.2))


def _spade(spec: GeneratorSpec, width: str, channels: int) -> Spade:
    modulated = any(spec.widths[name] for name in branch_widths(width))
    return Spade(BranchModulation(spec, width, channels) if modulated else None, channels, spec.norm)


def build(spec: GeneratorSpec) -> SpadeGenerator:
    return SpadeGenerator(spec, IncResSpadeBlock)


def layers(spec: GeneratorSpec) -> Iterator[Layer]:
    return generator_layers(spec, _block_layers)


def _block_layers(spec: GeneratorSpec, stage: str, pixels: int) -> Iterator[Layer]:
    reads, writes = stage_ends(stage)
    if stage.startswith("up"):
        yield from _spade_layers(spec, stage, "spade_shortcut", reads, pixels)
        yield shortcut_layer(spec, stage, pixels)
    rows = list(branch_layers(spec, f"stages.{stage}.branches", stage, reads, writes, pixels))
    if rows:
        yield from _spade_layers(spec, stage, "spade", reads, pixels)
        yield from rows


def _spade_layers(spec: GeneratorSpec, stage: str, name: str, on: str, pixels: int) -> Iterator[Layer]:
    path, width, c = f"stages.{stage}.{name}", f"{stage}.{name}", spec.widths[on]
    yield norm_layer(f"{path}.norm", spec.norm, c, pixels, on)
    yield from branch_layers(spec, f"{path}.modulation.branches", width, "", on, pixels, parts=2)


def deciders(spec: GeneratorSpec) -> dict[str, str]:
    """By width, the norm whose scales decide about it: the stream's, and the first of every branch."""
    found = stream_deciders()
    for stage in STAGES:
        alive = branch_deciders(spec, f"stages.{stage}.branches", stage)
        found |= alive
        for name in _spades(stage):
            if alive or name == "spade_shortcut":
                path = f"stages.{stage}.{name}.modulation.branches"
                found |= branch_deciders(spec, path, f"{stage}.{name}")
    return found


def vanishing(spec: GeneratorSpec) -> tuple[str, ...]:
    """Widths that a search may bring to 0: those of all branches."""
    owners = [owner for stage in STAGES for owner in (stage, *(f"{stage}.{name}" for name in _spades(stage)))]
    return tuple(name for owner in owners for name in branch_widths(owner))
