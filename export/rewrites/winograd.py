"""Wide 3x3 convolutions with 16 products for every four outputs in place of 36."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.fx import GraphModule, Node

from pocketgan.export.rewrites.graph import Writer, argument, arguments_of, calls, is_tensor, shape_of, tensor_of
from pocketgan.export.rewrites.transposed import interleaved

_aten = torch.ops.aten
# Below, the sums cost more than the products that they save: channels in and out, for outputs of so many pixels, which
# stay in a processor's caches, and for larger ones.
_LEAST_CHANNELS, _MANY_PIXELS, _LEAST_CHANNELS_THEN = 96, 64 * 128, 192
_LEAST_PIXELS = 64
# The sums of four inputs in a row, as taps of a convolution and the step between them.
_SUMS = (([1.0, -1.0], 2), ([0.0, 1.0, 1.0], 1), ([0.0, -1.0, 1.0], 1), ([0.0, 1.0, 0.0, -1.0], 1))
# The four weights that they are multiplied with, of three.
_WEIGHTS = torch.tensor([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]], dtype=torch.float64) / 2


def winograd(module: GraphModule) -> int:
    """Convolutions 3x3 of stride 1 by Winograd's F(2x2, 3x3) (Lavin and Gray, arXiv:1509.09308).

    Of each 4x4 pixels, 16 sums are taken (depthwise convolutions of stride 2) and multiplied with transformed kernels
    (1x1 convolutions); sums of those are 2x2 outputs. 2.25 times fewer MACs and 1.8 times as many weights. Returns how
    many convolutions were rewritten.
    """
    changed = 0
    for node in calls(module, _aten.conv2d.default):
        if not _fits(module, node):
            continue
        writer = Writer(module, node)
        sides = zip(*[_outputs(writer, row) for row in _products(writer, node)], strict=True)
        left, right = (_outputs(writer, side) for side in sides)
        writer.finish(interleaved(writer, [left[0], right[0], left[1], right[1]], 2))
        changed += 1
    return changed


def _fits(module: GraphModule, node: Node) -> bool:
    """A wide dense 3x3 convolution to an even number of rows and columns, and enough of them."""
    if not is_tensor(arguments_of(node)[1]):
        return False
    *channels, tall, broad = tensor_of(module, arguments_of(node)[1]).shape
    if (tall, broad) != (3, 3):
        return False
    if [argument(node, index, default) for index, default in ((3, [1, 1]), (5, [1, 1]), (6, 1))] != [[1, 1], [1, 1], 1]:
        return False
    height, width = shape_of(node)[2:]
    if height % 2 or width % 2 or height * width < _LEAST_PIXELS:
        return False
    return min(channels) >= (_LEAST_CHANNELS if height * width <= _MANY_PIXELS else _LEAST_CHANNELS_THEN)


def _products(writer: Writer, node: Node) -> list[list[Node]]:
    """Four rows of four (n, out, h / 2, w / 2)."""
    source, weight, bias = arguments_of(node)[0], tensor_of(writer.module, arguments_of(node)[1]), argument(node, 2)
    vertical, horizontal = argument(node, 4, [0, 0])
    if vertical or horizontal:
        pads = [horizontal, horizontal, vertical, vertical]
        source = writer.call(_aten.constant_pad_nd.default, source, pads, 0.0)
    kernels = torch.einsum("ay,bx,oiyx->aboi", _WEIGHTS, _WEIGHTS, weight.double())
    products: list[list[Node]] = []
    for row, tall in enumerate(_sums(writer, source, 0)):
        products.append([])
        for column, tile in enumerate(_sums(writer, tall, 1)):
            # In the middle, a bias goes into each output once.
            shift = bias if (row, column) == (1, 1) else None
            kernel = writer.tensor(kernels[row, column, :, :, None, None], "kernel")
            products[-1].append(writer.call(_aten.conv2d.default, tile, kernel, shift))
    return products


def _sums(writer: Writer, source: Node, axis: int) -> list[Node]:
    """The four sums of every second four neighbours, along the height (0) or the width (1)."""
    channels, sums = shape_of(source)[1], []
    for taps, step in _SUMS:
        shape, stride, dilation = [channels, 1, 1, 1], [1, 1], [1, 1]
        shape[2 + axis], stride[axis], dilation[axis] = len(taps), 2, step
        kernel = torch.tensor(taps).view(len(taps), *[1] * (1 - axis)).expand(shape)
        weight = writer.tensor(kernel.contiguous(), "sums")
        sums.append(writer.call(_aten.conv2d.default, source, weight, None, stride, [0, 0], dilation, channels))
    return sums


def _outputs(writer: Writer, products: Sequence[Node]) -> tuple[Node, Node]:
    """The two outputs of four products."""
    first, second, third, last = products
    total = writer.call(_aten.add.Tensor, second, third)
    difference = writer.call(_aten.sub.Tensor, second, third)
    return writer.call(_aten.add.Tensor, first, total), writer.call(_aten.sub.Tensor, difference, last)
