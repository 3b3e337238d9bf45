"""What needs no input is computed now; numbers and chunks in forms that every delegate takes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from pocketgan.export.rewrites.graph import (
    Writer,
    argument,
    arguments_of,
    calls,
    is_tensor,
    replace_tensor,
    shape_of,
    tensor_of,
    value_of,
)

_aten = torch.ops.aten
_LINEAR = (_aten.conv2d.default, _aten.conv_transpose2d.input, _aten.linear.default)
_BINARY = (_aten.add.Tensor, _aten.sub.Tensor, _aten.mul.Tensor, _aten.div.Tensor)
_CHUNKS = (_aten.chunk.default, _aten.split.Tensor, _aten.split_with_sizes.default)


def fold_constants(module: GraphModule) -> int:
    """Compute what depends on the module's tensors alone, such as the keys and values of a baked-in text."""
    folded = 0
    for node in list(module.graph.nodes):
        inputs = node.all_input_nodes
        if node.op != "call_function" or not inputs or not all(is_tensor(read) for read in inputs):
            continue
        if node.target.__name__.partition(".")[0].endswith("_") or not isinstance(node.meta.get("val"), Tensor):
            continue
        writer = Writer(module, node)
        writer.finish(writer.tensor(value_of(module, node).clone()))
        folded += 1
    return folded


def scalars_as_tensors(module: GraphModule) -> int:
    """x + 1 and x * s: into the layer that computes x where nothing else reads it, otherwise with a tensor."""
    changed = 0
    for node in calls(module, *_BINARY):
        numbers = [index for index, value in enumerate(arguments_of(node)[:2]) if isinstance(value, int | float)]
        if len(numbers) != 1 or len(arguments_of(node)) > 2 or node.kwargs:
            continue
        source, number = arguments_of(node)[1 - numbers[0]], float(arguments_of(node)[numbers[0]])
        if not node.meta["val"].is_floating_point():
            continue
        if not _into_layer(module, node, source, number, numbers[0]):
            writer = Writer(module, node)
            constant = writer.tensor(torch.full([1] * len(shape_of(source)), number))
            arguments = (constant, source) if numbers[0] == 0 else (source, constant)
            writer.finish(writer.call(node.target, *arguments))
        changed += 1
    return changed


def chunks_as_slices(module: GraphModule) -> int:
    """The parts of a chunked or split tensor, each as a slice of its own."""
    changed = 0
    for node in calls(module, *_CHUNKS):
        source, dim = arguments_of(node)[0], argument(node, 2, 0)
        start = 0
        parts = {user.args[1]: user for user in node.users}
        for index, part in enumerate(node.meta["val"]):
            size = int(part.shape[dim])
            if index in parts:
                writer = Writer(module, parts[index])
                writer.finish(writer.call(_aten.slice.Tensor, source, dim, start, start + size))
            start += size
        module.graph.erase_node(node)
        changed += 1
    return changed


def _into_layer(module: GraphModule, node: Node, source: object, number: float, side: int) -> bool:
    """Fold the number into weight and bias of a linear layer that only `node` reads."""
    if not isinstance(source, Node) or source.target not in _LINEAR or len(source.users) != 1:
        return False
    weight, bias = argument(source, 1), argument(source, 2)
    if not all(is_tensor(tensor) and len(tensor.users) == 1 for tensor in (weight, bias)):
        return False
    add, scale = 0.0, 1.0
    if node.target is _aten.add.Tensor:
        add = number
    elif node.target is _aten.mul.Tensor:
        scale = number
    elif side == 1 and node.target is _aten.sub.Tensor:
        add = -number
    elif side == 1:
        scale = 1 / number
    elif node.target is _aten.sub.Tensor:
        add, scale = number, -1.0
    else:
        return False
    replace_tensor(module, weight, tensor_of(module, weight).double() * scale)
    replace_tensor(module, bias, tensor_of(module, bias).double() * scale + add)
    node.replace_all_uses_with(source)
    module.graph.erase_node(node)
    return True
