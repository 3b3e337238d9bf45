"""Nearest-neighbour sampling, up and down, as convolutions with fixed weights."""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from pocketgan.export.rewrites.graph import Writer, argument, arguments_of, calls, is_tensor, shape_of, tensor_of

_aten = torch.ops.aten
# Channels that a matrix kernel computes at once: groups of so many cost no more than groups of one.
_TILE = 16


_NEAREST = (_aten.upsample_nearest2d.vec, _aten.upsample_nearest2d.default)


def grown_convolutions(module: GraphModule) -> int:
    """Nearest-neighbour up-sampling by 2 that a 3x3 convolution alone reads: both as one transposed convolution (4x4,
    stride 2), whose taps are the sums of those that meet the same pixel."""
    changed = 0
    for node in calls(module, *_NEAREST):
        readers = list(node.users)
        if _factor(node) == 2 and len(readers) == 1 and _takes_growing(readers[0]):
            _grow_inside(module, node, readers[0])
            changed += 1
    return changed


def nearest_up(module: GraphModule) -> int:
    """Nearest-neighbour up-sampling by a whole factor k as a transposed convolution (k x k, stride k) with the identity
    of small groups of channels, which copies each pixel."""
    changed = 0
    for node in calls(module, *_NEAREST):
        factor = _factor(node)
        if factor is not None:
            _copy_pixels(module, node, factor)
            changed += 1
    return changed


def nearest_down(module: GraphModule) -> int:
    """x[:, :, ::s, ::t] as a 1x1 convolution of every channel for itself with stride (s, t) and weight 1."""
    changed, sampled = 0, {}
    for outer in calls(module, _aten.slice.Tensor):
        inner = arguments_of(outer)[0]
        steps = _steps(outer, 3), _steps(inner, 2)
        if steps[0] is None or steps[1] is None or steps == (1, 1):
            continue
        source, stride = arguments_of(inner)[0], [steps[1], steps[0]]
        key = (source, *stride)
        if key not in sampled:
            writer, channels = Writer(module, outer), shape_of(source)[1]
            ones = writer.tensor(torch.ones(channels, 1, 1, 1), "ones")
            sampled[key] = writer.call(_aten.conv2d.default, source, ones, None, stride, [0, 0], [1, 1], channels)
        outer.replace_all_uses_with(sampled[key])
        module.graph.erase_node(outer)
        changed += 1
    return changed


def _factor(node: Node) -> int | None:
    before, after = shape_of(arguments_of(node)[0])[2:], shape_of(node)[2:]
    factor = after[0] // before[0]
    return factor if after == [size * factor for size in before] and factor > 1 else None


def _takes_growing(node: Node) -> bool:
    if node.target is not _aten.conv2d.default or not is_tensor(arguments_of(node)[1]):
        return False
    settings = [argument(node, index, default) for index, default in ((3, [1, 1]), (4, [0, 0]), (5, [1, 1]), (6, 1))]
    return shape_of(arguments_of(node)[1])[2:] == [3, 3] and settings == [[1, 1], [1, 1], [1, 1], 1]


def _grow_inside(module: GraphModule, node: Node, convolution: Node) -> None:
    weight = tensor_of(module, arguments_of(convolution)[1]).double()
    # Row o of the result meets row i of the input through tap o - 2i + 1: taps 1 and 3 for even o, 0 and 2 for odd.
    taps = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=torch.float64)
    spread = torch.einsum("ay,bx,oiyx->ioab", taps, taps, weight)
    writer = Writer(module, convolution)
    grown = writer.tensor(spread, "grown")
    arguments = (arguments_of(node)[0], grown, argument(convolution, 2), [2, 2], [1, 1])
    writer.finish(writer.call(_aten.conv_transpose2d.input, *arguments))
    module.graph.erase_node(node)


def _copy_pixels(module: GraphModule, node: Node, factor: int) -> None:
    writer, channels = Writer(module, node), shape_of(node)[1]
    size = max(part for part in range(1, _TILE + 1) if channels % part == 0)
    identity = torch.eye(size).repeat(channels // size, 1)[:, :, None, None].expand(-1, -1, factor, factor)
    weight = writer.tensor(identity.contiguous(), "copies")
    stride = [factor, factor]
    arguments = (arguments_of(node)[0], weight, None, stride, [0, 0], [0, 0], channels // size)
    writer.finish(writer.call(_aten.conv_transpose2d.input, *arguments))


def _steps(node: object, dim: int) -> int | None:
    """The step of a slice of the whole of this dimension; None for anything else."""
    if not isinstance(node, Node) or node.target is not _aten.slice.Tensor or argument(node, 1, 0) != dim:
        return None
    start, end = argument(node, 2), argument(node, 3)
    whole = start in (None, 0) and (end is None or end >= shape_of(arguments_of(node)[0])[dim])
    return argument(node, 4, 1) if whole else None
