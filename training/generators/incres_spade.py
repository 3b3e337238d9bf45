"""CAT's generator for label maps: GauGAN's frame, with six branches in every residual block and in every SPADE.

The form is that of CAT's code (its paper leaves open how the branches stand in GauGAN's block). A block is shortcut +
branches(act(spade(x))): the branches take the place of both convolutions and of the SPADE between them. Inside a SPADE
they lead from the label map to scale and shift at once. All convolutions of the branches have a bias, those in front of
norms too: so many make the 55.59 M parameters of CAT's teacher.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional

from pocketgan.training.generators.blocks import make_norm, norm_layer, without_scale
from pocketgan.training.generators.branches import (
    BRANCHES,
    Branches,
    BranchForm,
    branch_deciders,
    branch_layers,
    branch_widths,
)
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
)
from pocketgan.training.generators.spec import GeneratorSpec, Layer, Norm

__all__ = ["build", "deciders", "followers", "grid", "layers", "vanishing", "widths"]

# In a block, in front of the branches and inside them: torch's own default, which CAT leaves.
SLOPE = 0.01


def widths(ngf: int, blocks: int, levels: int) -> dict[str, int]:
    """A block's branches have a sixth of the narrower of its ends, a SPADE's a sixth of what GauGAN's shares."""
    found = stage_widths(ngf)
    for stage in STAGES:
        hidden = min(found[end] for end in stage_ends(stage)) // len(BRANCHES)
        found |= dict.fromkeys(branch_widths(stage), hidden)
        found |= dict.fromkeys(branch_widths(_spade_width(stage)), SHARED // len(BRANCHES))
    return found


def _spade_width(stage: str) -> str:
    """What the widths of a stage's SPADE begin with."""
    return f"{stage}.spade"


def _block_form(norm: Norm) -> BranchForm:
    return BranchForm(norm, depthwise_norm=without_scale(norm), bias=True, reflect=False, slope=SLOPE)


def _spade_form(norm: Norm) -> BranchForm:
    return BranchForm(norm, depthwise_norm=norm, bias=True, reflect=False)


class BranchModulation(nn.Module):
    """Label map -> scale and shift, the two halves of what the branches give."""

    def __init__(self, spec: GeneratorSpec, width: str, channels: int) -> None:
        super().__init__()
        self.branches = Branches(spec, width, spec.input_channels, 2 * channels, _spade_form(spec.norm))

    def forward(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self.branches(labels).chunk(2, 1)
        return scale, shift


class IncResSpadeBlock(nn.Module):
    """Shortcut + branches(act(spade(x))); the shortcut alone where all branches are gone.

    The shortcut is x itself, or conv1(norm(x)) where the stage changes the width.
    """

    def __init__(self, spec: GeneratorSpec, stage: str) -> None:
        super().__init__()
        reads, writes = (spec.widths[name] for name in stage_ends(stage))
        self.changes = stage.startswith("up")
        if self.changes:
            self.shortcut_norm = make_norm(spec.norm, reads)
            self.shortcut = nn.Conv2d(reads, writes, 1, bias=False)
        self.branches = Branches(spec, stage, reads, writes, _block_form(spec.norm))
        self.spade = _spade(spec, stage, reads) if self.branches else None

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        around = self.shortcut(self.shortcut_norm(x)) if self.changes else x
        if self.spade is None:
            return around
        return around + self.branches(functional.leaky_relu(self.spade(x, labels), SLOPE))


def _spade(spec: GeneratorSpec, stage: str, channels: int) -> Spade:
    """The norm alone where all branches of the SPADE are gone."""
    width = _spade_width(stage)
    modulated = any(spec.widths[name] for name in branch_widths(width))
    modulation = BranchModulation(spec, width, channels) if modulated else None
    return Spade(modulation, channels, without_scale(spec.norm))


def build(spec: GeneratorSpec) -> SpadeGenerator:
    return SpadeGenerator(spec, IncResSpadeBlock, last_norm=nn.Identity())


def layers(spec: GeneratorSpec) -> Iterator[Layer]:
    return generator_layers(spec, _block_layers, last_norm=())


def _block_layers(spec: GeneratorSpec, stage: str, pixels: int) -> Iterator[Layer]:
    path, (reads, writes) = f"stages.{stage}", stage_ends(stage)
    if stage.startswith("up"):
        yield norm_layer(f"{path}.shortcut_norm", spec.norm, spec.widths[reads], pixels, reads)
        yield shortcut_layer(spec, stage, pixels)
    form = _block_form(spec.norm)
    rows = list(branch_layers(spec, f"{path}.branches", stage, reads, writes, pixels, form))
    if rows:
        yield from _spade_layers(spec, stage, reads, pixels)
        yield from rows


def _spade_layers(spec: GeneratorSpec, stage: str, on: str, pixels: int) -> Iterator[Layer]:
    path, form = f"stages.{stage}.spade", _spade_form(spec.norm)
    yield norm_layer(f"{path}.norm", without_scale(spec.norm), spec.widths[on], pixels, on)
    yield from branch_layers(spec, f"{path}.modulation.branches", _spade_width(stage), "", on, pixels, form, parts=2)


def deciders(spec: GeneratorSpec) -> dict[str, str]:
    """By width, the norm whose scales decide about it: the first map's, and the first of every branch (CAT's code).

    The widths of the later stages have none: a shortcut's norm follows what comes in.
    """
    found = {"fc": "fc_norm"}
    for stage in STAGES:
        alive = branch_deciders(spec, f"stages.{stage}.branches", stage)
        found |= alive
        if alive:
            found |= branch_deciders(spec, f"stages.{stage}.spade.modulation.branches", _spade_width(stage))
    return found


def followers(spec: GeneratorSpec) -> dict[str, tuple[str, int]]:
    """By width, which one it follows and how many times as wide that is: every later stage halves (CAT's code)."""
    return {f"up{i}": ("fc", 2 ** (i + 1)) for i in range(4)}


def vanishing(spec: GeneratorSpec) -> tuple[str, ...]:
    """Widths that a search may bring to 0: those of all branches."""
    owners = [owner for stage in STAGES for owner in (stage, _spade_width(stage))]
    return tuple(name for owner in owners for name in branch_widths(owner))
