"""The six branches that CAT puts in the place of a convolution or a pair of them (CAT, section 3.1).

Three plain ones (k = 1, 3, 5): conv k to the hidden width, norm, ReLU, conv k to the output. Three depthwise ones: 1x1
conv, norm, ReLU, depthwise conv k, norm, ReLU, 1x1 conv. All see the whole input, and their outputs are summed. What
CAT's networks settle differently is a `BranchForm`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from pocketgan.training.generators.blocks import ConvNormReLU, norm_layer
from pocketgan.training.generators.spec import GeneratorSpec, Layer, Norm

KERNELS = (1, 3, 5)
BRANCHES = tuple(f"{kind}{kernel}" for kind in ("plain", "depthwise") for kernel in KERNELS)


@dataclass(frozen=True)
class BranchForm:
    """How the branches of a network are made.

    Attributes:
        norm: behind the first convolution; its scales decide about the hidden width.
        depthwise_norm: behind the depthwise convolution.
        bias: whether the convolutions have one.
        reflect: pad by reflection, with zeros otherwise.
        slope: of the activations below zero; 0 for ReLU.
    """

    norm: Norm
    depthwise_norm: Norm
    bias: bool
    reflect: bool
    slope: float = 0.0


class PlainBranch(nn.Module):
    """Conv k to the hidden width, norm, ReLU, conv k to the output."""

    def __init__(self, inputs: int, hidden: int, outputs: int, kernel: int, form: BranchForm) -> None:
        super().__init__()
        edge = kernel // 2
        reflect, zeros = (edge, 0) if form.reflect else (0, edge)
        first = nn.Conv2d(inputs, hidden, kernel, padding=zeros, bias=form.bias)
        self.first = ConvNormReLU(first, form.norm, hidden, reflect, form.slope)
        self.pad = nn.ReflectionPad2d(reflect) if reflect else nn.Identity()
        self.last = nn.Conv2d(hidden, outputs, kernel, padding=zeros, bias=form.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.pad(self.first(x)))


class DepthwiseBranch(nn.Module):
    """1x1 conv to the hidden width, norm, ReLU, depthwise conv k, norm, ReLU, 1x1 conv to the output."""

    def __init__(self, inputs: int, hidden: int, outputs: int, kernel: int, form: BranchForm) -> None:
        super().__init__()
        edge = kernel // 2
        reflect, zeros = (edge, 0) if form.reflect else (0, edge)
        first = nn.Conv2d(inputs, hidden, 1, bias=form.bias)
        self.first = ConvNormReLU(first, form.norm, hidden, slope=form.slope)
        depthwise = nn.Conv2d(hidden, hidden, kernel, padding=zeros, groups=hidden, bias=form.bias)
        self.depthwise = ConvNormReLU(depthwise, form.depthwise_norm, hidden, reflect, form.slope)
        self.last = nn.Conv2d(hidden, outputs, 1, bias=form.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.depthwise(self.first(x)))


class Branches(nn.ModuleDict):
    """The sum of the branches that are left; falsy where none is.

    Args:
        width: in front of the branches' names in `spec.widths`.
    """

    def __init__(self, spec: GeneratorSpec, width: str, inputs: int, outputs: int, form: BranchForm) -> None:
        super().__init__()
        for branch in BRANCHES:
            hidden = spec.widths[f"{width}.{branch}"]
            if hidden:
                kind = PlainBranch if branch.startswith("plain") else DepthwiseBranch
                self[branch] = kind(inputs, hidden, outputs, int(branch[-1]), form)

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self.values()
        total = first(x)
        for branch in others:
            total = total + branch(x)
        return total


def branch_widths(width: str) -> list[str]:
    """Names of the branches' hidden widths."""
    return [f"{width}.{branch}" for branch in BRANCHES]


def branch_layers(
    spec: GeneratorSpec, path: str, width: str, reads: str, writes: str, pixels: int, form: BranchForm, parts: int = 1
) -> Iterator[Layer]:
    """The rows of the branches at `path` from the width `reads` to the width `writes`.

    An empty `reads` is the network's own input. The output is `parts` maps of the width `writes`, one after the other.
    """
    bias = form.bias
    c = spec.widths[reads] if reads else spec.input_channels
    d = parts * spec.widths[writes]
    source = (reads,) if reads else ()
    for branch in BRANCHES:
        inner = f"{width}.{branch}"
        hidden = spec.widths[inner]
        if not hidden:
            continue
        name, kernel = f"{path}.{branch}", int(branch[-1])
        dense = kernel if branch.startswith("plain") else 1
        yield Layer(f"{name}.first.conv", "conv", c, hidden, pixels, pixels, dense, 1, bias, source, inner)
        yield norm_layer(f"{name}.first.norm", form.norm, hidden, pixels, inner)
        if branch.startswith("depthwise"):
            conv = f"{name}.depthwise.conv"
            yield Layer(conv, "conv", hidden, hidden, pixels, pixels, kernel, hidden, bias, (inner,), inner)
            yield norm_layer(f"{name}.depthwise.norm", form.depthwise_norm, hidden, pixels, inner)
        yield Layer(f"{name}.last", "conv", hidden, d, pixels, pixels, dense, 1, bias, (inner,), writes)


def branch_deciders(spec: GeneratorSpec, path: str, width: str) -> dict[str, str]:
    """The first norm of every branch that is left; the depthwise second one follows it."""
    alive = [branch for branch in BRANCHES if spec.widths[f"{width}.{branch}"]]
    return {f"{width}.{branch}": f"{path}.{branch}.first.norm" for branch in alive}
