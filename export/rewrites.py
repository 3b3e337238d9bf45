"""Exact rewrites of a canonical module's graph into forms that a runtime executes faster.

A rewrite computes the same function and has a name; which ones a target wants is measured (docs/export.md has the
figures), since what pays in one runtime costs time in another.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from pocketgan.errors import ExportError
from pocketgan.export.canonical import trace

_aten = torch.ops.aten
_CONVOLUTION = _aten.conv2d.default
_TRANSPOSED = _aten.conv_transpose2d.input
_SUMS = (_aten.add.Tensor, _aten.add_.Tensor, operator.add)
# Elementwise, so that they may run before the pixels are shuffled, fused into the convolution.
_ACTIVATIONS = (_aten.tanh.default, _aten.relu.default, _aten.relu_.default, _aten.sigmoid.default)
# An image's channels: RGB, RGBA, grey. Wider heads fill a runtime's blocks of channels by themselves.
FEW_OUTPUTS = 4


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
    _drop_unread(graph_module)
    graph_module.recompile()
    return graph_module


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
        gamma, beta, mean, variance = (_tensor(module, node).double() for node in norm.args[1:5])
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


REWRITES: dict[str, Callable[[GraphModule], int]] = {
    "fold-norms-of-sums": fold_norms_of_sums,
    "strided-heads-2x2": strided_heads_2x2,
    "strided-heads-2x4": strided_heads_2x4,
}


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
    tensors = [_argument(convolution, 1), _argument(convolution, 2)]
    return all(tensor is None or (tensor.op == "get_attr" and len(tensor.users) == 1) for tensor in tensors) and (
        convolution.target == _CONVOLUTION or _argument(convolution, 6, 1) == 1
    )


def _scale(module: GraphModule, convolution: Node, scale: Tensor, shift: Tensor | None) -> None:
    """Multiply the outputs of a convolution by `scale` and add `shift`, in float64."""
    weight, bias = _argument(convolution, 1), _argument(convolution, 2)
    shape = (-1, 1, 1, 1) if convolution.target == _CONVOLUTION else (1, -1, 1, 1)
    _replace(module, weight, _tensor(module, weight).double() * scale.view(shape))
    moved = torch.zeros_like(scale) if bias is None else _tensor(module, bias).double() * scale
    if shift is not None:
        moved = moved + shift
    if bias is not None:
        _replace(module, bias, moved)
    elif shift is not None:
        with module.graph.inserting_before(convolution):
            added = _add_tensor(module, f"{weight.target}_shift", moved)
        _set_argument(convolution, 2, added)


def _strided_heads(module: GraphModule, down: int, across: int) -> int:
    rewritten = 0
    for convolution in list(module.graph.nodes):
        if not _is_head(convolution, down, across):
            continue
        weight, bias = (_tensor(module, node) for node in convolution.args[1:3])
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
                _add_tensor(module, f"{name}_strided", spread.flatten(0, 2)),
                _add_tensor(module, f"{name}_strided_bias", bias.repeat_interleave(down * across)),
            )
        convolution.args = (convolution.args[0], *tensors, [down, across], _argument(convolution, 4, [0, 0]))
        with graph.inserting_after(last):
            shuffled = _depth_to_space(module, last, convolution.meta["val"].shape, down, across)
        for follower in followers:
            follower.replace_input_with(last, shuffled)
        rewritten += 1
    return rewritten


def _is_head(node: Node, down: int, across: int) -> bool:
    """A convolution with a bias, of stride 1, an odd kernel of 3 or more and few outputs, whose size divides."""
    if node.target != _CONVOLUTION or _argument(node, 2) is None or not _owned(node):
        return False
    outputs, _, height, width = _argument(node, 1).meta["val"].shape
    plain = [_argument(node, 3, [1, 1]), _argument(node, 5, [1, 1]), _argument(node, 6, 1)] == [[1, 1], [1, 1], 1]
    size = node.meta["val"].shape
    return (
        plain
        and outputs <= FEW_OUTPUTS
        and min(height, width) >= 3
        and size[2] % down == 0
        and size[3] % across == 0
        and not isinstance(_argument(node, 4, [0, 0]), str)
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


def _drop_unread(module: GraphModule) -> None:
    """Remove tensors that the graph no longer reads, so that they are not exported."""
    read = {node.target for node in module.graph.nodes if node.op == "get_attr"}
    for name in [*dict(module.named_parameters()), *dict(module.named_buffers())]:
        if name not in read:
            owner, _, attribute = name.rpartition(".")
            delattr(module.get_submodule(owner), attribute)


def _argument(node: Node, index: int, default: object = None) -> Any:
    """An argument of a call, its default where the call leaves it out."""
    return node.args[index] if len(node.args) > index else default


def _set_argument(node: Node, index: int, value: Node) -> None:
    arguments = [*node.args, *[None] * (index + 1 - len(node.args))]
    arguments[index] = value
    node.args = tuple(arguments)


def _tensor(module: GraphModule, node: object) -> Tensor:
    assert isinstance(node, Node)
    owner, _, name = str(node.target).rpartition(".")
    tensor = getattr(module.get_submodule(owner), name)
    assert isinstance(tensor, Tensor)
    return tensor.detach()


def _replace(module: GraphModule, node: object, tensor: Tensor) -> None:
    """Give the attribute that `node` reads another value, in float32; the traced module shares the old one with its
    source, which stays as it is."""
    assert isinstance(node, Node)
    owner, _, name = str(node.target).rpartition(".")
    setattr(module.get_submodule(owner), name, nn.Parameter(tensor.float(), requires_grad=False))


def _add_tensor(module: GraphModule, target: str, tensor: Tensor) -> Node:
    """A new parameter of the module, read at the graph's insertion point."""
    owner, _, name = target.rpartition(".")
    module.get_submodule(owner).register_parameter(name, nn.Parameter(tensor.float(), requires_grad=False))
    return module.graph.get_attr(target)
