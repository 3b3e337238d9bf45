"""Transposed convolutions as convolutions and depth to space."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from pocketgan.export.rewrites.graph import Writer, argument, arguments_of, calls, is_tensor, shape_of, tensor_of

_aten = torch.ops.aten


def transposed_as_shuffled(module: GraphModule) -> int:
    """A transposed convolution of stride s as a convolution to s * s times the channels, then depth to space.

    Output row s * q + r meets input row q - j through tap s * j + r + p, so that each of the s phases r is a
    convolution with every s-th tap. Only those whose output is s times as large as the input. Returns how many.
    """
    changed = 0
    for node in calls(module, _aten.conv_transpose2d.input):
        settings = _settings(node)
        if settings is None:
            continue
        stride, padding = settings
        weight = tensor_of(module, arguments_of(node)[1])
        kernel, before, after = _phases(weight, stride, padding)
        writer, source = Writer(module, node), arguments_of(node)[0]
        if before or after:
            source = writer.call(_aten.constant_pad_nd.default, source, [before, after, before, after], 0.0)
        bias = argument(node, 2)
        if bias is not None:
            bias = writer.tensor(tensor_of(module, bias).repeat_interleave(stride * stride), "bias")
        spread = writer.tensor(kernel, "phases")
        mixed = writer.call(_aten.conv2d.default, source, spread, bias)
        writer.finish(writer.call(_aten.pixel_shuffle.default, mixed, stride))
        changed += 1
    return changed


def _settings(node: Node) -> tuple[int, int] | None:
    """Stride and padding, where both sides have the same, nothing is grouped or dilated and the size grows s times."""
    stride, padding = argument(node, 3, [1, 1]), argument(node, 4, [0, 0])
    if not is_tensor(arguments_of(node)[1]) or argument(node, 6, 1) != 1 or argument(node, 7, [1, 1]) != [1, 1]:
        return None
    if len(set(stride)) > 1 or len(set(padding)) > 1 or stride[0] < 2:
        return None
    before, after = shape_of(arguments_of(node)[0])[2:], shape_of(node)[2:]
    return (stride[0], padding[0]) if after == [size * stride[0] for size in before] else None


def _phases(weight: Tensor, stride: int, padding: int) -> tuple[Tensor, int, int]:
    """(in, out, k, k) -> the kernel (out * s * s, in, K, K) of all phases, and the rows that it needs before and after
    the input."""
    inputs, outputs, height, width = weight.shape
    size = max(height, width)
    reach = [(tap - phase - padding) // stride for phase in range(stride) for tap in range(size)
             if (tap - phase - padding) % stride == 0]  # fmt: skip
    first, last = min(reach), max(reach)
    kernel = weight.new_zeros(outputs, stride, stride, inputs, last - first + 1, last - first + 1)
    for top in range(height):
        row, down = (top - padding) % stride, last - (top - padding) // stride
        for left in range(width):
            column, across = (left - padding) % stride, last - (left - padding) // stride
            kernel[:, row, column, :, down, across] = weight[:, :, top, left].T
    return kernel.flatten(0, 2), last, -first
