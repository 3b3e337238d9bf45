"""Norms that measure their input, written as means and elementwise arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch.fx import GraphModule, Node

from pocketgan.export.rewrites.graph import Writer, argument, arguments_of, calls, is_tensor, shape_of, tensor_of

_aten = torch.ops.aten


# Writes (deviations, their mean, eps) as what the deviations are to be multiplied with, and the deviations.
_Mean = Callable[[Node], Node]
_Scale = Callable[[Writer, Node, _Mean, float], tuple[Node, Node]]
# Of the mean deviation, what becomes 1 in `scaled_norms`: squares of deviations up to 2,000 times as large are within
# float16's range, and the mean of all squares, 1/64 at least, keeps its precision.
_UNIT = 8


def norms_as_means(module: GraphModule) -> int:
    """Instance, group and layer norm: (x - mean) * rsqrt(mean((x - mean)^2) + eps) * weight + bias; a norm with stored
    statistics and no scale or shift of its own as the product and the sum that it is.

    The mean over a picture is one operator everywhere; over a group's channels it is that mean times a matrix (a 1x1
    convolution), over a token's numbers a linear layer to one number.
    """
    return _written_out(module, _plain)


def scaled_norms(module: GraphModule) -> int:
    """As `norms`, of deviations that are divided by a multiple of their mean size, so that float16 holds their squares.

    Squares of deviations beyond 255 are infinite in float16.
    """
    return _written_out(module, _scaled)


def _written_out(module: GraphModule, scale: _Scale) -> int:
    changed = sum(_stored(module, node) for node in calls(module, _aten.batch_norm.default))
    for node in calls(module, _aten.instance_norm.default, _aten.group_norm.default, _aten.layer_norm.default):
        if node.target is _aten.instance_norm.default:
            done = _instance(module, node, scale)
        elif node.target is _aten.group_norm.default:
            done = _group(module, node, scale)
        else:
            done = _layer(module, node, scale)
        changed += done
    return changed


def _instance(module: GraphModule, node: Node, scale: _Scale) -> bool:
    source, weight, bias = arguments_of(node)[:3]
    if not arguments_of(node)[5] or len(shape_of(source)) != 4:
        return False
    writer = Writer(module, node)

    affine = _channels(writer, weight, bias)
    mean = partial(_over_picture, writer)
    writer.finish(_normalised(writer, source, mean, float(arguments_of(node)[7]), affine, scale))
    return True


def _group(module: GraphModule, node: Node, scale: _Scale) -> bool:
    source, groups = arguments_of(node)[:2]
    shape = shape_of(source)
    if len(shape) != 4:
        return False
    writer, size = Writer(module, node), shape[1] // groups
    matrix = torch.block_diag(*[torch.full((size, size), 1 / size)] * groups)[:, :, None, None]
    over_group = writer.tensor(matrix, "over_group")

    def mean(of: Node) -> Node:
        return writer.call(_aten.conv2d.default, _over_picture(writer, of), over_group)

    affine = _channels(writer, argument(node, 2), argument(node, 3))
    writer.finish(_normalised(writer, source, mean, float(argument(node, 4, 1e-5)), affine, scale))
    return True


def _layer(module: GraphModule, node: Node, scale: _Scale) -> bool:
    source, shape = arguments_of(node)[:2]
    if len(shape) != 1:
        return False
    writer = Writer(module, node)
    over_token = writer.tensor(torch.full((1, shape[0]), 1 / shape[0]), "over_token")

    def mean(of: Node) -> Node:
        return writer.call(_aten.linear.default, of, over_token)

    affine = (argument(node, 2), argument(node, 3))
    writer.finish(_normalised(writer, source, mean, float(argument(node, 4, 1e-5)), affine, scale))
    return True


def _stored(module: GraphModule, node: Node) -> bool:
    """ExecuTorch takes no such norm without both a scale and a shift."""
    source, *tensors, measures, _, eps, _ = arguments_of(node)
    weight, bias, mean, variance = (tensor_of(module, one) if is_tensor(one) else one for one in tensors)
    if measures or (weight is not None and bias is not None):
        return False
    if any(isinstance(one, Node) for one in (weight, bias, mean, variance)):
        return False
    scale = (1 if weight is None else weight.double()) / torch.sqrt(variance.double() + float(eps))
    shift = (0 if bias is None else bias.double()) - mean.double() * scale
    shape, writer = [1, -1, *[1] * (len(shape_of(source)) - 2)], Writer(module, node)
    scaled = writer.call(_aten.mul.Tensor, source, writer.tensor(scale.view(shape), "scale"))
    writer.finish(writer.call(_aten.add.Tensor, scaled, writer.tensor(shift.view(shape), "shift")))
    return True


def _over_picture(writer: Writer, of: Node) -> Node:
    """The mean of every channel, as that of its rows' means: a runtime's plain sum of all pixels rounds more, which a
    large mean beside small deviations multiplies."""
    row = [1, shape_of(of)[3]]
    if row != [1, 1]:
        of = writer.call(_aten.avg_pool2d.default, of, row, row, [0, 0], False, False)
    return writer.call(_aten.mean.dim, of, [2, 3], True)


def _channels(writer: Writer, *vectors: Node | None) -> tuple[Node | None, ...]:
    """(c) -> (1, c, 1, 1), so that it meets the channels."""
    return tuple(None if vector is None else _reshaped(writer, vector) for vector in vectors)


def _reshaped(writer: Writer, vector: Node) -> Node:
    return writer.tensor(tensor_of(writer.module, vector).view(1, -1, 1, 1), vector.name)


def _normalised(
    writer: Writer,
    source: Node,
    mean: _Mean,
    eps: float,
    affine: tuple[Node | None, ...],
    scale_of: _Scale,
) -> Node:
    """The deviations are squared, not the values, so that a large mean costs no precision. Scaling what is as small as
    the means comes first, the picture is passed over once."""
    weight, bias = affine
    deviation = writer.call(_aten.sub.Tensor, source, mean(source))
    scale, deviation = scale_of(writer, deviation, mean, eps)
    if weight is not None and len(shape_of(scale)) == 4:
        scale, weight = writer.call(_aten.mul.Tensor, scale, weight), None
    scaled = writer.call(_aten.mul.Tensor, deviation, scale)
    if weight is not None:
        scaled = writer.call(_aten.mul.Tensor, scaled, weight)
    return scaled if bias is None else writer.call(_aten.add.Tensor, scaled, bias)


def _plain(writer: Writer, deviation: Node, mean: _Mean, eps: float) -> tuple[Node, Node]:
    variance = mean(writer.call(_aten.mul.Tensor, deviation, deviation))
    return _root(writer, variance, _number(writer, eps, variance, "eps")), deviation


def _scaled(writer: Writer, deviation: Node, mean: _Mean, eps: float) -> tuple[Node, Node]:
    """d * rsqrt(mean(d^2) + eps) as (d / s) * rsqrt(mean((d / s)^2) + (sqrt(eps) / s)^2), s = 8 mean(|d|) + sqrt(eps).

    What is added to the mean of squares lies in [0, 1], and 1 / s is 1 / sqrt(eps) at most. That s itself is rounded
    costs nothing: it is on both sides.
    """
    size = mean(writer.call(_aten.abs.default, deviation))
    root = math.sqrt(eps)
    # Divided by 8 only now: 8 times the size may be infinite.
    total = writer.call(_aten.add.Tensor, size, _number(writer, root / _UNIT, size, "least"))
    inverse = writer.call(_aten.div.Tensor, _number(writer, 1 / _UNIT, size, "unit"), total)
    small = writer.call(_aten.mul.Tensor, deviation, inverse)
    least = writer.call(_aten.mul.Tensor, inverse, _number(writer, root, size, "root"))
    variance = mean(writer.call(_aten.mul.Tensor, small, small))
    return _root(writer, variance, writer.call(_aten.mul.Tensor, least, least)), small


def _root(writer: Writer, variance: Node, least: Node) -> Node:
    return writer.call(_aten.rsqrt.default, writer.call(_aten.add.Tensor, variance, least))


def _number(writer: Writer, value: float, like: Node, name: str) -> Node:
    return writer.tensor(torch.full([1] * len(shape_of(like)), value), name)
