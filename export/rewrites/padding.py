"""Padding with the picture's own pixels."""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from pocketgan.export.rewrites.graph import Writer, argument, arguments_of, calls, shape_of

_aten = torch.ops.aten


def reflection_pads(module: GraphModule) -> int:
    """Reflection and replication as slices of one row or column each, put side by side.

    Delegates that know slices and concatenation, but no such padding, then keep the graph in one piece.
    """
    changed = 0
    for node in calls(module, _aten.pad.default):
        source, pads, mode = arguments_of(node)[0], list(arguments_of(node)[1]), argument(node, 2, "constant")
        if mode not in ("reflect", "replicate") or min(pads) < 0:
            continue
        writer, padded = Writer(module, node), source
        rank = len(shape_of(source))
        for pair in range(len(pads) // 2):
            before, after = pads[2 * pair : 2 * pair + 2]
            padded = _pad(writer, padded, rank - 1 - pair, before, after, reflect=mode == "reflect")
        writer.finish(padded)
        changed += 1
    return changed


def _pad(writer: Writer, source: Node, dim: int, before: int, after: int, *, reflect: bool) -> Node:
    last = shape_of(source)[dim] - 1
    first = [step if reflect else 0 for step in range(before, 0, -1)]
    end = [last - step if reflect else last for step in range(1, after + 1)]
    if not first and not end:
        return source

    def line(at: int) -> Node:
        return writer.call(_aten.slice.Tensor, source, dim, at, at + 1)

    return writer.call(_aten.cat.default, [*map(line, first), source, *map(line, end)], dim)
