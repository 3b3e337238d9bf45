"""How channels are removed: which ones survive a pruning, and the smaller network with their weights.

Which widths a network gets is the search's business; both read the same layer rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import numpy as np

from pocketgan.errors import ModelError
from pocketgan.training import generators
from pocketgan.training.generators import GeneratorSpec, Layer

if TYPE_CHECKING:
    from torch import Tensor, nn

Survivors = Mapping[str, np.ndarray]


def survivors(teacher: nn.Module, spec: GeneratorSpec, pruned: GeneratorSpec) -> dict[str, np.ndarray]:
    """By width, the indices of the channels that `pruned` keeps: those with the largest scales, in their old order.

    Of a width that follows another, those that are read with the largest weights. Of equal ones the first are pruned
    first, as in the search.

    Raises:
        ModelError: `pruned` is wider somewhere, or narrower where nothing decides.
    """
    scales: dict[str, Tensor] = generators.scales(teacher, spec)
    for name in generators.followers(spec):
        if pruned.widths[name] < spec.widths[name]:
            scales[name] = _weights_on(name, teacher, spec)
    kept = {}
    for name, width in spec.widths.items():
        remaining = pruned.widths[name]
        if remaining == width:
            kept[name] = np.arange(width)
        elif remaining > width or name not in scales:
            raise ModelError(f"the width {name} cannot go from {width} to {remaining} by pruning")
        else:
            order = np.argsort(np.abs(scales[name].detach().cpu().numpy()), kind="stable")
            kept[name] = np.sort(order[width - remaining :])
    return kept


def _weights_on(width: str, teacher: nn.Module, spec: GeneratorSpec) -> Tensor:
    """By channel of a width, the sum of the weights' sizes in the convolutions that read it alone."""
    readers = [row for row in generators.layers(spec) if row.reads == (width,) and row.kind == "conv"]
    total = sum(teacher.get_submodule(row.name).weight.detach().abs().sum((0, 2, 3)) for row in readers)  # type: ignore
    return cast("Tensor", total)


def inherit(teacher: nn.Module, spec: GeneratorSpec, pruned: GeneratorSpec) -> nn.Module:
    """The network of `pruned` with the teacher's surviving weights, statistics included; the teacher is not changed.

    It computes what the teacher computes with the channels that were pruned set to zero.

    Raises:
        ModelError: `pruned` is no pruning of `spec`.
    """
    kept = survivors(teacher, spec, pruned)
    student = generators.build(pruned)
    rows = {row.name: row for row in generators.layers(spec)}
    old, new = teacher.state_dict(), student.state_dict()
    for name in new:
        owner, _, part = name.rpartition(".")
        new[name] = _sliced(old[name], part, rows[owner], kept, spec) if owner in rows else old[name]
    student.load_state_dict(new)
    return student.train(teacher.training)


def _sliced(tensor: Tensor, part: str, row: Layer, kept: Survivors, spec: GeneratorSpec) -> Tensor:
    """The surviving part of one tensor of a layer."""
    import torch

    if tensor.dim() == 0:
        return tensor
    outputs = torch.from_numpy(output_indices(row, kept, spec))
    if part != "weight" or row.kind == "norm" or row.groups > 1:
        return tensor[outputs]
    inputs = torch.from_numpy(_input_indices(row, kept, spec))
    if row.kind == "transposed":
        return tensor[inputs][:, outputs]
    return tensor[outputs][:, inputs]


def output_indices(row: Layer, kept: Survivors, spec: GeneratorSpec) -> np.ndarray:
    """Output channels of a layer that survive; a layer may write several maps of its width, one after the other."""
    if not row.writes:
        return np.arange(row.outputs)
    width = spec.widths[row.writes]
    return np.concatenate([kept[row.writes] + width * part for part in range(row.outputs // width)])


def _input_indices(row: Layer, kept: Survivors, spec: GeneratorSpec) -> np.ndarray:
    """Input channels that survive, of all maps that are read, one after the other."""
    if not row.reads:
        return np.arange(row.inputs)
    starts = np.cumsum([0, *(spec.widths[name] for name in row.reads)])
    return np.concatenate([kept[name] + start for name, start in zip(row.reads, starts[:-1], strict=True)])
