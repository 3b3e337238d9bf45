"""IncRes generators of CAT ("Teachers Do More Than Teach", section 3.1): six branches a residual block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from pocketgan.training.generators.blocks import (
    FRAME,
    ConvNormReLU,
    ResidualGenerator,
    frame_layers,
    frame_scales,
    frame_widths,
    has_bias,
    make_norm,
    norm_layers,
)
from pocketgan.training.generators.spec import GeneratorSpec, Layer, Norm

FAMILY = "incres"
KERNELS = (1, 3, 5)
BRANCHES = tuple(f"{kind}{kernel}" for kind in ("plain", "depthwise") for kernel in KERNELS)


def spec(ngf: int, norm: Norm, blocks: int, height: int, width: int) -> GeneratorSpec:
    """The unpruned network: every branch has a sixth of the residual width."""
    hidden = 4 * ngf // len(BRANCHES)
    inner = {f"block{index}.{branch}": hidden for index in range(1, blocks + 1) for branch in BRANCHES}
    return GeneratorSpec(FAMILY, {**frame_widths(ngf), **inner}, norm, blocks, height=height, width=width)


class PlainBranch(nn.Module):
    """Reflect-pad, conv k to the hidden width, norm, ReLU, reflect-pad, conv k back."""

    def __init__(self, residual: int, hidden: int, kernel: int, norm: Norm) -> None:
        super().__init__()
        bias = has_bias(norm)
        self.first = ConvNormReLU(nn.Conv2d(residual, hidden, kernel, bias=bias), norm, hidden, reflect=kernel // 2)
        self.pad = nn.ReflectionPad2d(kernel // 2) if kernel > 1 else nn.Identity()
        self.last = nn.Conv2d(hidden, residual, kernel, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.pad(self.first(x)))


class DepthwiseBranch(nn.Module):
    """1x1 conv to the hidden width, norm, ReLU, depthwise conv k, norm, ReLU, 1x1 conv back."""

    def __init__(self, residual: int, hidden: int, kernel: int, norm: Norm) -> None:
        super().__init__()
        bias = has_bias(norm)
        self.first = ConvNormReLU(nn.Conv2d(residual, hidden, 1, bias=bias), norm, hidden)
        depthwise = nn.Conv2d(hidden, hidden, kernel, groups=hidden, bias=bias)
        self.depthwise = ConvNormReLU(depthwise, norm, hidden, reflect=kernel // 2)
        self.last = nn.Conv2d(hidden, residual, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.depthwise(self.first(x)))


class IncResBlock(nn.Module):
    """x + norm(sum of the branches); the identity where all branches are gone."""

    def __init__(self, spec: GeneratorSpec, index: int) -> None:
        super().__init__()
        residual = spec.widths["down2"]
        self.branches = nn.ModuleDict()
        for branch in BRANCHES:
            hidden = spec.widths[f"block{index}.{branch}"]
            if hidden:
                kind = PlainBranch if branch.startswith("plain") else DepthwiseBranch
                self.branches[branch] = kind(residual, hidden, int(branch[-1]), spec.norm)
        self.norm = make_norm(spec.norm, residual) if self.branches else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        if not self.branches:
            return x
        total: Tensor | None = None
        for branch in self.branches.values():
            total = branch(x) if total is None else total + branch(x)
        return x + self.norm(total)


def build(spec: GeneratorSpec) -> ResidualGenerator:
    return ResidualGenerator(spec, IncResBlock)


def layers(spec: GeneratorSpec) -> Iterator[Layer]:
    return frame_layers(spec, _block_layers)


def _block_layers(spec: GeneratorSpec, index: int, pixels: int) -> Iterator[Layer]:
    residual, bias, norm = spec.widths["down2"], has_bias(spec.norm), spec.norm
    alive = False
    for branch in BRANCHES:
        hidden = spec.widths[f"block{index}.{branch}"]
        if not hidden:
            continue
        alive = True
        name, kernel = f"blocks.{index - 1}.branches.{branch}", int(branch[-1])
        dense = kernel if branch.startswith("plain") else 1
        yield Layer(f"{name}.first.conv", "conv", residual, hidden, pixels, pixels, dense, bias=bias)
        yield from norm_layers(f"{name}.first", norm, hidden, pixels)
        if branch.startswith("depthwise"):
            yield Layer(f"{name}.depthwise.conv", "conv", hidden, hidden, pixels, pixels, kernel, hidden, bias)
            yield from norm_layers(f"{name}.depthwise", norm, hidden, pixels)
        yield Layer(f"{name}.last", "conv", hidden, residual, pixels, pixels, dense, bias=bias)
    if alive:
        yield from norm_layers(f"blocks.{index - 1}", norm, residual, pixels)


def scales(generator: Any) -> dict[str, Tensor]:
    """Norm scales that decide about widths: the frame's, and the first of every branch (CAT, section 3.2)."""
    inner = {
        f"block{index}.{name}": branch.first.norm.weight
        for index, block in enumerate(generator.blocks, start=1)
        for name, branch in block.branches.items()
    }
    return {**frame_scales(generator), **inner}


def bounded(spec: GeneratorSpec) -> tuple[str, ...]:
    """Layers that keep at least the search's least width; branches may vanish."""
    return FRAME
