"""Parallel convolutions, as in IncRes blocks, as one."""

from __future__ import annotations

import operator
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from pocketgan.export.rewrites.graph import Writer, argument, arguments_of, calls, is_tensor, tensor_of

_aten = torch.ops.aten
_CONVOLUTION = _aten.conv2d.default
_SUMS = (_aten.add.Tensor, _aten.add_.Tensor, operator.add)
_ELEMENTWISE = (_aten.relu.default, _aten.relu_.default)


def merge_sums(module: GraphModule) -> int:
    """a(x) + b(y) + ..., convolutions of the same shape, as one convolution of the concatenated x and y.

    Returns how many convolutions went.
    """
    merged = 0
    for root in calls(module, *_SUMS):
        if any(reader.target in _SUMS and len(root.users) == 1 for reader in root.users):
            continue
        leaves, sums = _summands(root)
        if any(node.kwargs for node in sums):
            continue
        groups: dict[Any, list[Any]] = defaultdict(list)
        for number, leaf in enumerate(leaves):
            groups[str(_form(leaf)) if _alone(leaf) else number].append(leaf)
        if len(groups) == len(leaves):
            continue
        writer = Writer(module, root)
        parts = [_joined(writer, group) if len(group) > 1 else group[0] for group in groups.values()]
        total = parts[0]
        for part in parts[1:]:
            total = writer.call(_aten.add.Tensor, total, part)
        root.replace_all_uses_with(total)
        for node in [*sums, *(leaf for group in groups.values() if len(group) > 1 for leaf in group)]:
            module.graph.erase_node(node)
        merged += len(leaves) - len(groups)
    return merged


def merge_siblings(module: GraphModule) -> int:
    """Convolutions of the same shape that read the same tensor as one, and slices of what it gives.

    Activations that follow them all run once, before the slices. Returns how many convolutions went.
    """
    families: dict[Any, list[Node]] = defaultdict(list)
    for node in calls(module, _CONVOLUTION):
        if is_tensor(arguments_of(node)[1]) and argument(node, 6, 1) == 1:
            families[arguments_of(node)[0], str(_form(node))].append(node)
    merged = 0
    for family in families.values():
        if len(family) < 2:
            continue
        first = family[0]
        writer = Writer(module, first)
        weights = torch.cat([tensor_of(module, arguments_of(node)[1]) for node in family])
        bias = torch.cat([_bias(module, node) for node in family])
        tensors = writer.tensor(weights, "weights"), writer.tensor(bias, "bias")
        joint = writer.call(_CONVOLUTION, arguments_of(first)[0], *tensors, *_form(first)[1:])
        ends = family
        activations = [_only_activation(node) for node in family]
        if all(activations) and len({node.target for node in activations if node is not None}) == 1:
            ends = [node for node in activations if node is not None]
            joint = writer.call(_aten.relu.default, joint)
        start = 0
        for node, end in zip(family, ends, strict=True):
            width = tensor_of(module, arguments_of(node)[1]).shape[0]
            end.replace_all_uses_with(writer.call(_aten.slice.Tensor, joint, 1, start, start + width))
            start += width
        for node in {*ends, *family} - set(family):
            module.graph.erase_node(node)
        for node in family:
            module.graph.erase_node(node)
        merged += len(family) - 1
    return merged


def _alone(node: object) -> bool:
    return (
        isinstance(node, Node)
        and node.target is _CONVOLUTION
        and len(node.users) == 1
        and is_tensor(arguments_of(node)[1])
        and argument(node, 6, 1) == 1
    )


def _form(node: Node) -> tuple[Any, ...]:
    """Kernel, stride, padding and dilation; sums also agree on the output's shape, which the addition checked."""
    module = node.graph.owning_module
    assert module is not None
    kernel = tuple(tensor_of(module, arguments_of(node)[1]).shape[2:])
    return (kernel, *(argument(node, index, default) for index, default in ((3, [1, 1]), (4, [0, 0]), (5, [1, 1]))))


def _summands(root: Node) -> tuple[list[Any], list[Node]]:
    """What a sum of sums adds, and the sums, each before those that it reads."""
    leaves, sums = [], [root]
    for side in arguments_of(root)[:2]:
        if isinstance(side, Node) and side.target in _SUMS and len(side.users) == 1:
            further = _summands(side)
            leaves += further[0]
            sums += further[1]
        else:
            leaves.append(side)
    return leaves, sums


def _joined(writer: Writer, group: list[Node]) -> Node:
    module = writer.module
    weights = torch.cat([tensor_of(module, arguments_of(node)[1]) for node in group], 1)
    bias = torch.stack([_bias(module, node) for node in group]).sum(0)
    source = writer.call(_aten.cat.default, [arguments_of(node)[0] for node in group], 1)
    tensors = writer.tensor(weights, "weights"), writer.tensor(bias, "bias")
    return writer.call(_CONVOLUTION, source, *tensors, *_form(group[0])[1:])


def _bias(module: GraphModule, node: Node) -> Tensor:
    bias = argument(node, 2)
    return torch.zeros(tensor_of(module, arguments_of(node)[1]).shape[0]) if bias is None else tensor_of(module, bias)


def _only_activation(node: Node) -> Node | None:
    readers = list(node.users)
    return readers[0] if len(readers) == 1 and readers[0].target in _ELEMENTWISE else None
