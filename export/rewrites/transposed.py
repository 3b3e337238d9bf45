"""Transposed convolutions as convolutions."""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from pocketgan.export.rewrites.graph import Writer, argument, arguments_of, calls, is_tensor, shape_of, tensor_of

_aten = torch.ops.aten


def transposed_as_phases(module: GraphModule) -> int:
    """A transposed convolution of stride s as s * s convolutions, one a phase of the output, and depth to space.

    Output row s * q + r meets input row q - j through tap s * j + r + p (p the padding), so that each phase r has the
    taps of one residue; there are as many products as before. Only those whose output is s times as large as the
    input. Returns how many.
    """
    changed = 0
    for node in calls(module, _aten.conv_transpose2d.input):
        settings = _settings(node)
        if settings is None:
            continue
        stride, padding = settings
        weight = tensor_of(module, arguments_of(node)[1])
        rows, columns = (_phases(size, stride, padding) for size in weight.shape[2:])
        if not rows or not columns:
            continue
        writer, source, bias, phases = Writer(module, node), arguments_of(node)[0], argument(node, 2), []
        for down, above, below in rows:
            for across, left, right in columns:
                pads = [left, right, above, below]
                padded = writer.call(_aten.constant_pad_nd.default, source, pads, 0.0) if any(pads) else source
                kernel = writer.tensor(weight[:, :, down][:, :, :, across].transpose(0, 1).contiguous(), "phase")
                # A copy each: a quantiser knows no bias of several.
                shift = None if bias is None else writer.tensor(tensor_of(module, bias), "bias")
                phases.append(writer.call(_aten.conv2d.default, padded, kernel, shift))
        writer.finish(interleaved(writer, phases, stride))
        changed += 1
    return changed


def interleaved(writer: Writer, phases: list[Node], stride: int) -> Node:
    """(n, c, h, w) of each phase, row by row -> (n, c, stride * h, stride * w)."""
    batch, channels, height, width = shape_of(phases[0])
    stacked = writer.call(_aten.stack.default, phases, 2)
    flat = writer.call(_aten.reshape.default, stacked, [batch, channels * stride**2, height, width])
    return writer.call(_aten.pixel_shuffle.default, flat, stride)


def _settings(node: Node) -> tuple[int, int] | None:
    """Stride and padding, where both sides have the same, nothing is grouped or dilated and the size grows s times."""
    stride, padding = argument(node, 3, [1, 1]), argument(node, 4, [0, 0])
    if not is_tensor(arguments_of(node)[1]) or argument(node, 6, 1) != 1 or argument(node, 7, [1, 1]) != [1, 1]:
        return None
    if len(set(stride)) > 1 or len(set(padding)) > 1 or stride[0] < 2:
        return None
    before, after = shape_of(arguments_of(node)[0])[2:], shape_of(node)[2:]
    return (stride[0], padding[0]) if after == [size * stride[0] for size in before] else None


def _phases(size: int, stride: int, padding: int) -> list[tuple[list[int], int, int]]:
    """Of each phase along one axis, its taps from the first input on and the zeros needed before and after the input;
    nothing where a phase has no taps, or does not begin or end at the input's edges."""
    phases = []
    for phase in range(stride):
        taps = [tap for tap in range(size) if (tap - phase - padding) % stride == 0][::-1]
        reach = [(tap - phase - padding) // stride for tap in taps]
        if not taps or reach[0] < 0 or reach[-1] > 0:
            return []
        phases.append((taps, reach[0], -reach[-1]))
    return phases
