"""Attention as products of stacks of matrices with a plain softmax between them."""

from __future__ import annotations

import math

import torch
from torch.fx import GraphModule, Node

from pocketgan.export.rewrites.graph import Writer, argument, arguments_of, calls, shape_of

_aten = torch.ops.aten


def attention(module: GraphModule) -> int:
    """Products of four and more dimensions as `bmm` of three; scaled_dot_product_attention written out.

    Every example has one picture, so that the heads are the whole stack.
    """
    changed = 0
    for node in calls(module, _aten.scaled_dot_product_attention.default):
        changed += _written_out(module, node)
    for node in calls(module, _aten.matmul.default):
        left, right = arguments_of(node)
        shapes = shape_of(left), shape_of(right)
        if len(shapes[0]) < 4 or shapes[0][:-2] != shapes[1][:-2]:
            continue
        writer = Writer(module, node)
        writer.finish(_product(writer, left, right))
        changed += 1
    return changed


def _written_out(module: GraphModule, node: Node) -> bool:
    """softmax(q k^T / sqrt(d)) v, the queries scaled; masks and dropout are left alone."""
    query, key, value = arguments_of(node)[:3]
    plain = argument(node, 3) is None and not argument(node, 4, 0.0) and not argument(node, 5, False)
    if not plain or node.kwargs.get("enable_gqa") or shape_of(query)[:-2] != shape_of(key)[:-2]:
        return False
    writer, width = Writer(module, node), shape_of(query)[-1]
    own_scale = node.kwargs.get("scale")
    scale = own_scale if isinstance(own_scale, float) else 1 / math.sqrt(width)
    factor = writer.tensor(torch.full([1] * len(shape_of(query)), scale), "scale")
    scaled = writer.call(_aten.mul.Tensor, query, factor)
    weights = _product(writer, scaled, writer.call(_aten.transpose.int, key, -2, -1))
    writer.finish(_product(writer, writer.call(_aten.softmax.int, weights, -1), value))
    return True


def _product(writer: Writer, left: Node, right: Node) -> Node:
    """(..., a, b) x (..., b, c) -> (..., a, c) through three dimensions."""
    shapes = shape_of(left), shape_of(right)
    stacked = [
        writer.call(_aten.reshape.default, side, [-1, *shape[-2:]])
        for side, shape in zip((left, right), shapes, strict=True)
    ]
    product = writer.call(_aten.bmm.default, *stacked)
    return writer.call(_aten.reshape.default, product, [*shapes[0][:-1], shapes[1][-1]])
