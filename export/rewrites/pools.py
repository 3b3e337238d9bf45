"""Average pools that divide by the whole kernel, as all runtimes do."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.nn import functional

from pocketgan.export.rewrites.graph import Writer, argument, arguments_of, calls, shape_of

_aten = torch.ops.aten


def whole_kernels(module: GraphModule) -> int:
    """Average pools with `ceil_mode` or a divisor of their own, over an input that is padded with zeros to the last
    window's end, times what torch divides by in place of the kernel's size.

    Core ML divides by all of the kernel where torch leaves out what `ceil_mode` adds (coremltools' pull request 2844).
    Average and maximum pools whose windows all fit lose `ceil_mode`. Returns how many were rewritten.
    """
    changed = 0
    for node in calls(module, _aten.avg_pool2d.default, _aten.max_pool2d.default):
        mean = node.target is _aten.avg_pool2d.default
        ceil_index = 4 if mean else 5
        kernel, stride = (_two(argument(node, index)) for index in (1, 2))
        padding = _two(argument(node, 3, 0))
        source, ceil = shape_of(arguments_of(node)[0]), bool(argument(node, ceil_index, False))
        if len(source) != 4:
            continue
        ends = [
            (count - 1) * step + size - (length + pad)
            for count, step, size, length, pad in zip(
                shape_of(node)[2:], stride, kernel, source[2:], padding, strict=True
            )
        ]
        beyond = [max(end, 0) for end in ends]
        if ceil and all(end <= pad for end, pad in zip(beyond, padding, strict=True)):
            node.args = (*node.args[:ceil_index], False, *node.args[ceil_index + 1 :])
            ceil, changed = False, changed + 1
        if not mean or (not ceil and argument(node, 6) is None):
            continue
        _rewrite(module, node, kernel, stride, padding, beyond)
        changed += 1
    return changed


def _rewrite(
    module: GraphModule, node: Node, kernel: list[int], stride: list[int], padding: list[int], beyond: list[int]
) -> None:
    writer, source = Writer(module, node), arguments_of(node)[0]
    pads = [padding[1], beyond[1], padding[0], beyond[0]]
    padded = writer.call(_aten.constant_pad_nd.default, source, pads, 0.0) if any(pads) else source
    means = writer.call(_aten.avg_pool2d.default, padded, kernel, stride)
    factors = writer.tensor(_factors(node, shape_of(source)[2:], kernel, pads, stride), "factors")
    writer.finish(writer.call(_aten.mul.Tensor, means, factors))


def _factors(node: Node, size: list[int], kernel: list[int], pads: list[int], stride: list[int]) -> Tensor:
    """What torch makes of a window of the mean 1 over the whole kernel: (1, 1, h, w)."""
    ones = torch.ones(1, 1, *size)
    share = functional.avg_pool2d(functional.pad(ones, pads), kernel, stride)
    if argument(node, 6) is not None:
        return torch.full_like(share, kernel[0] * kernel[1] / argument(node, 6))
    counted = [argument(node, index, default) for index, default in ((3, 0), (4, False), (5, True))]
    kept = functional.avg_pool2d(ones, kernel, stride, *counted) / share
    return torch.where(share > 0, kept, torch.ones_like(kept))  # windows in the padding alone are 0 either way


def _two(value: object) -> list[int]:
    sizes = [value, value] if isinstance(value, int) else list(value)  # type: ignore[call-overload]
    return sizes * 2 if len(sizes) == 1 else sizes
