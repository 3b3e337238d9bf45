"""Convolutions: norms folded into sums of them, and the last one, to an image."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from pocketgan.export.rewrites.graph import add_tensor, argument, replace_tensor, set_argument, tensor_of

_aten = torch.ops.aten
_CONVOLUTION = _aten.conv2d.default
_TRANSPOSED = _aten.conv_transpose2d.input
_SUMS = (_aten.add.Tensor, _aten.add_.Tensor, operator.add)
# Elementwise, so that they may run before the pixels are shuffled, fused into the convolution.
_ACTIVATIONS = (_aten.tanh.default, _aten.relu.default, _aten.relu_.default, _aten.sigmoid.default)
# An image's channels: RGB, RGBA, grey. Wider heads fill a runtime's blocks of channels by themselves.
FEW_OUTPUTS = 4


def fold_norms_of_sums(module: GraphModule) -> int:
    """Fold a batch norm that follows a sum of convolutions (an IncRes block's) into those convolutions.

    norm(a(x) + b(x)) = a'(x) + b'(x): each weight is scaled, one bias takes the shift. Returns how many were folded.
    """
    folded = 0
    for norm in list(module.graph.nodes):
        if norm.target != _aten.batch_norm.default or norm.args[5]:
            continue
        leaves = _summands(norm.args[0])
        if not all(isinstance(tensor, Node) and tensor.op == "get_attr" for tensor in norm.args[1:5]):
            continue
        if not leaves or not all(_owned(leaf) for leaf in leaves):
            continue
        gamma, beta, mean, variance = (tensor_of(module, node).double() for node in norm.args[1:5])
        scale = gamma / torch.sqrt(variance + norm.args[7])
        for index, leaf in enumerate(leaves):
            _scale(module, leaf, scale, beta - mean * scale if index == 0 else None)
        norm.replace_all_uses_with(norm.args[0])
        module.graph.erase_node(norm)
        folded += 1
    return folded


def strided_heads_2x2(module: GraphModule) -> int:
    """Write the last convolution, to an image, as one of stride 2 to 4 times as many channels, then depth to space.

    conv k -> o is the same function as conv (k + 1), stride 2 -> 4o with each kernel in four positions. It fills the
    blocks of 8 or 16 channels that runtimes pad 3 outputs to. Returns how many were rewritten.
    """
    return _strided_heads(module, 2, 2)


def strided_heads_2x4(module: GraphModule) -> int:
    """As `strided_heads_2x2`, with stride (2, 4) to 8 times as many channels."""
    return _strided_heads(module, 2, 4)


def _summands(node: object) -> list[Node]:
    """The convolutions whose sum `node` is, each read once; none where something else is among the summands."""
    if not isinstance(node, Node) or len(node.users) != 1:
        return []
    if node.target in (_CONVOLUTION, _TRANSPOSED):
        return [node]
    if node.target not in _SUMS or len(node.args) != 2 or node.kwargs:
        return []
    sides = [_summands(side) for side in node.args]
    return sides[0] + sides[1] if all(sides) else []


def _owned(convolution: Node) -> bool:
    """Whether nothing else reads the weight and the bias."""
    tensors = [argument(convolution, 1), argument(convolution, 2)]
    return all(tensor is None or (tensor.op == "get_attr" and len(tensor.users) == 1) for tensor in tensors) and (
        convolution.target == _CONVOLUTION or argument(convolution, 6, 1) == 1
    )


def _scale(module: GraphModule, convolution: Node, scale: Tensor, shift: Tensor | None) -> None:
    """Multiply the outputs of a convolution by `scale` and add `shift`, in float64."""
    weight, bias = argument(convolution, 1), argument(convolution, 2)
    shape = (-1, 1, 1, 1) if convolution.target == _CONVOLUTION else (1, -1, 1, 1)
    replace_tensor(module, weight, tensor_of(module, weight).double() * scale.view(shape))
    moved = torch.zeros_like(scale) if bias is None else tensor_of(module, bias).double() * scale
    if shift is not None:
        moved = moved + shift
    if bias is not None:
        replace_tensor(module, bias, moved)
    elif shift is not None:
        with module.graph.inserting_before(convolution):
            added = add_tensor(module, f"{weight.target}_shift", moved)
        set_argument(convolution, 2, added)


def _strided_heads(module: GraphModule, down: int, across: int) -> int:
    rewritten = 0
    for convolution in list(module.graph.nodes):
        if not _is_head(convolution, down, across):
            continue
        weight, bias = (tensor_of(module, node) for node in convolution.args[1:3])
        outputs, inputs, height, width = weight.shape
        spread = weight.new_zeros(outputs, down, across, inputs, height + down - 1, width + across - 1)
        for i in range(down):
            for j in range(across):
                spread[:, i, j, :, i : i + height, j : j + width] = weight
        activation = next(iter(convolution.users))
        last = activation if len(convolution.users) == 1 and activation.target in _ACTIVATIONS else convolution
        followers = list(last.users)
        if [follower.op for follower in followers] != ["output"]:
            continue
        graph, name = module.graph, str(convolution.args[1].target)
        with graph.inserting_before(convolution):
            tensors = (
                add_tensor(module, f"{name}_strided", spread.flatten(0, 2)),
                add_tensor(module, f"{name}_strided_bias", bias.repeat_interleave(down * across)),
            )
        convolution.args = (convolution.args[0], *tensors, [down, across], argument(convolution, 4, [0, 0]))
        with graph.inserting_after(last):
            shuffled = _depth_to_space(module, last, convolution.meta["val"].shape, down, across)
        for follower in followers:
            follower.replace_input_with(last, shuffled)
        rewritten += 1
    return rewritten


def _is_head(node: Node, down: int, across: int) -> bool:
    """A convolution with a bias, of stride 1, an odd kernel of 3 or more and few outputs, whose size divides."""
    if node.target != _CONVOLUTION or argument(node, 2) is None or not _owned(node):
        return False
    outputs, _, height, width = argument(node, 1).meta["val"].shape
    plain = [argument(node, 3, [1, 1]), argument(node, 5, [1, 1]), argument(node, 6, 1)] == [[1, 1], [1, 1], 1]
    size = node.meta["val"].shape
    return (
        plain
        and outputs <= FEW_OUTPUTS
        and min(height, width) >= 3
        and size[2] % down == 0
        and size[3] % across == 0
        and not isinstance(argument(node, 4, [0, 0]), str)
    )


def _depth_to_space(module: GraphModule, node: Node, shape: Sequence[int], down: int, across: int) -> Node:
    """(n, c * down * across, h, w) -> `shape` = (n, c, h * down, w * across), at the graph's insertion point."""
    graph = module.graph
    if down == across:
        return graph.call_function(_aten.pixel_shuffle.default, (node, down))
    batch, channels, height, width = shape
    rows, columns = height // down, width // across
    split = graph.call_function(_aten.reshape.default, (node, [batch, channels, down, across, rows, columns]))
    with graph.inserting_after(split):
        moved = graph.call_function(_aten.permute.default, (split, [0, 1, 4, 2, 5, 3]))
    with graph.inserting_after(moved):
        return graph.call_function(_aten.reshape.default, (moved, list(shape)))
