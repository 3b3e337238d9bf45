"""Norms that measure their input, written as means and elementwise arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.fx import GraphModule, Node

from pocketgan.export.rewrites.graph import Writer, argument, arguments_of, calls, shape_of, tensor_of

_aten = torch.ops.aten


def norms_as_means(module: GraphModule) -> int:
    """Instance, group and layer norm: (x - mean) * rsqrt(mean((x - mean)^2) + eps) * weight + bias.

    The mean over a picture is one operator everywhere; over a group's channels it is that mean times a matrix (a 1x1
    convolution), over a token's numbers a linear layer to one number.
    """
    changed = 0
    for node in calls(module, _aten.instance_norm.default, _aten.group_norm.default, _aten.layer_norm.default):
        if node.target is _aten.instance_norm.default:
            done = _instance(module, node)
        elif node.target is _aten.group_norm.default:
            done = _group(module, node)
        else:
            done = _layer(module, node)
        changed += done
    return changed


def _instance(module: GraphModule, node: Node) -> bool:
    source, weight, bias = arguments_of(node)[:3]
    if not arguments_of(node)[5] or len(shape_of(source)) != 4:
        return False
    writer = Writer(module, node)

    def mean(of: Node) -> Node:
        return writer.call(_aten.mean.dim, of, [2, 3], True)

    writer.finish(_normalised(writer, source, mean, float(arguments_of(node)[7]), _channels(writer, weight, bias)))
    return True


def _group(module: GraphModule, node: Node) -> bool:
    source, groups = arguments_of(node)[:2]
    shape = shape_of(source)
    if len(shape) != 4:
        return False
    writer, size = Writer(module, node), shape[1] // groups
    matrix = torch.block_diag(*[torch.full((size, size), 1 / size)] * groups)[:, :, None, None]
    over_group = writer.tensor(matrix, "over_group")

    def mean(of: Node) -> Node:
        channels = writer.call(_aten.mean.dim, of, [2, 3], True)
        return writer.call(_aten.conv2d.default, channels, over_group)

    affine = _channels(writer, argument(node, 2), argument(node, 3))
    writer.finish(_normalised(writer, source, mean, float(argument(node, 4, 1e-5)), affine))
    return True


def _layer(module: GraphModule, node: Node) -> bool:
    source, shape = arguments_of(node)[:2]
    if len(shape) != 1:
        return False
    writer = Writer(module, node)
    over_token = writer.tensor(torch.full((1, shape[0]), 1 / shape[0]), "over_token")

    def mean(of: Node) -> Node:
        return writer.call(_aten.linear.default, of, over_token)

    affine = (argument(node, 2), argument(node, 3))
    writer.finish(_normalised(writer, source, mean, float(argument(node, 4, 1e-5)), affine))
    return True


def _channels(writer: Writer, *vectors: Node | None) -> tuple[Node | None, ...]:
    """(c) -> (1, c, 1, 1), so that it meets the channels."""
    return tuple(None if vector is None else _reshaped(writer, vector) for vector in vectors)


def _reshaped(writer: Writer, vector: Node) -> Node:
    return writer.tensor(tensor_of(writer.module, vector).view(1, -1, 1, 1), vector.name)


def _normalised(
    writer: Writer,
    source: Node,
    mean: Callable[[Node], Node],
    eps: float,
    affine: tuple[Node | None, ...],
) -> Node:
    """The deviations are squared, not the values, so that a large mean costs no precision. Scaling what is as small as
    the means comes first, the picture is passed over once."""
    weight, bias = affine
    deviation = writer.call(_aten.sub.Tensor, source, mean(source))
    variance = mean(writer.call(_aten.mul.Tensor, deviation, deviation))
    rank = len(shape_of(variance))
    scale = writer.call(
        _aten.rsqrt.default, writer.call(_aten.add.Tensor, variance, writer.tensor(torch.full([1] * rank, eps), "eps"))
    )
    if weight is not None and rank == 4:
        scale, weight = writer.call(_aten.mul.Tensor, scale, weight), None
    scaled = writer.call(_aten.mul.Tensor, deviation, scale)
    if weight is not None:
        scaled = writer.call(_aten.mul.Tensor, scaled, weight)
    return scaled if bias is None else writer.call(_aten.add.Tensor, scaled, bias)
