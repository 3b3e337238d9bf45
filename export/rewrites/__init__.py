"""Exact rewrites of a canonical module's graph into forms that a runtime takes whole, or executes faster.

A rewrite computes the same function and has a name; which ones a target wants is measured (docs/export.md has the
figures), since what pays in one runtime costs time in another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.fx import GraphModule

from pocketgan.errors import ExportError
from pocketgan.export.rewrites import (
    arithmetic,
    attention,
    branches,
    convolutions,
    norms,
    padding,
    pools,
    sampling,
    transposed,
    winograd,
)
from pocketgan.export.rewrites.graph import drop_unread
from pocketgan.export.tracing import trace

__all__ = ["REWRITES", "rewrite", "rewrites_at"]

# Each edits the graph where it fits, and returns how often.
REWRITES: dict[str, Callable[[GraphModule], int]] = {
    "constants": arithmetic.fold_constants,
    "scalars": arithmetic.scalars_as_tensors,
    "chunks": arithmetic.chunks_as_slices,
    "reflection-pads": padding.reflection_pads,
    "whole-kernels": pools.whole_kernels,
    "norms": norms.norms_as_means,
    "scaled-norms": norms.scaled_norms,
    "grown-convolutions": sampling.grown_convolutions,
    "nearest-up": sampling.nearest_up,
    "nearest-down": sampling.nearest_down,
    "attention": attention.attention,
    "fold-norms-of-sums": convolutions.fold_norms_of_sums,
    "merge-siblings": branches.merge_siblings,
    "merge-sums": branches.merge_sums,
    "transposed-as-phases": transposed.transposed_as_phases,
    "winograd": winograd.winograd,
    "strided-heads-2x2": convolutions.strided_heads_2x2,
    "strided-heads-2x4": convolutions.strided_heads_2x4,
}

# What takes sums of inputs costs integers and float16 precision.
_FLOAT32_ALONE = frozenset({"winograd"})
# What takes another's place in float16: squares beyond its range cost two more passes over a picture.
_IN_FLOAT16 = {"norms": "scaled-norms"}


def rewrites_at(precision: str, names: Sequence[str]) -> tuple[str, ...]:
    """A target's rewrites as they are for this precision."""
    if precision == "fp32":
        return tuple(names)
    kept = [name for name in names if name not in _FLOAT32_ALONE]
    return tuple(_IN_FLOAT16.get(name, name) for name in kept) if precision == "fp16" else tuple(kept)


def rewrite(module: nn.Module, example: tuple[Tensor, ...], names: Sequence[str]) -> nn.Module:
    """The canonical `module` with the rewrites of these names applied in this order where they fit; itself where none
    does. `module` is not changed.

    Raises:
        ExportError: a rewrite of that name does not exist, or the module cannot be traced.
    """
    unknown = [name for name in names if name not in REWRITES]
    if unknown:
        raise ExportError(f"there is no rewrite {unknown[0]!r}; there are {', '.join(REWRITES)}")
    if not names:
        return module
    graph_module = trace(module, example).module(check_guards=False)
    assert isinstance(graph_module, GraphModule)
    if not sum(REWRITES[name](graph_module) for name in names):
        return module
    graph_module.graph.eliminate_dead_code()
    drop_unread(graph_module)
    graph_module.recompile()
    return graph_module
