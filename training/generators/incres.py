"""IncRes generators of CAT ("Teachers Do More Than Teach", section 3.1): six branches a residual block."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from pocketgan.training.generators.blocks import (
    ResidualGenerator,
    frame_deciders,
    frame_grid,
    frame_layers,
    frame_widths,
    has_bias,
    make_norm,
    norm_layer,
    residual_name,
)
from pocketgan.training.generators.branches import (
    BRANCHES,
    Branches,
    BranchForm,
    branch_deciders,
    branch_layers,
    branch_widths,
)
from pocketgan.training.generators.spec import GeneratorSpec, Layer, Norm

grid = frame_grid


def widths(ngf: int, blocks: int, levels: int) -> dict[str, int]:
    """Every branch has a sixth of the residual width."""
    hidden = ngf * 2**levels // len(BRANCHES)
    inner = {name: hidden for index in range(1, blocks + 1) for name in branch_widths(f"block{index}")}
    return {**frame_widths(ngf, levels), **inner}


def _form(norm: Norm) -> BranchForm:
    return BranchForm(norm, depthwise_norm=norm, bias=has_bias(norm), reflect=True)


class IncResBlock(nn.Module):
    """x + norm(sum of the branches); the identity where all branches are gone."""

    def __init__(self, spec: GeneratorSpec, index: int) -> None:
        super().__init__()
        residual = spec.widths[residual_name(spec)]
        self.branches = Branches(spec, f"block{index}", residual, residual, _form(spec.norm))
        self.norm = make_norm(spec.norm, residual) if self.branches else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.branches(x)) if self.branches else x


def build(spec: GeneratorSpec) -> ResidualGenerator:
    return ResidualGenerator(spec, IncResBlock)


def layers(spec: GeneratorSpec) -> Iterator[Layer]:
    return frame_layers(spec, _block_layers)


def _block_layers(spec: GeneratorSpec, index: int, pixels: int) -> Iterator[Layer]:
    path, residual = f"blocks.{index - 1}", residual_name(spec)
    branches, width = f"{path}.branches", f"block{index}"
    rows = list(branch_layers(spec, branches, width, residual, residual, pixels, _form(spec.norm)))
    yield from rows
    if rows:
        yield norm_layer(f"{path}.norm", spec.norm, spec.widths[residual], pixels, residual)


def deciders(spec: GeneratorSpec) -> dict[str, str]:
    """By width, the norm whose scales decide about it: the frame's, and the first of every branch (CAT, 3.2)."""
    inner: dict[str, str] = {}
    for index in range(1, spec.blocks + 1):
        inner |= branch_deciders(spec, f"blocks.{index - 1}.branches", f"block{index}")
    return {**frame_deciders(spec), **inner}


def followers(spec: GeneratorSpec) -> dict[str, tuple[str, int]]:
    """None: norms decide about every width that may change."""
    return {}


def vanishing(spec: GeneratorSpec) -> tuple[str, ...]:
    """Widths that a search may bring to 0: those of the branches."""
    return tuple(name for index in range(1, spec.blocks + 1) for name in branch_widths(f"block{index}"))
