"""Reading the arguments of operations of Core ML's programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def ints(values: Any) -> list[int]:
    return [int(value) for value in torch.as_tensor(values).reshape(-1)]


def pair(values: Tensor | None) -> list[int]:
    """One for the height and one for the width, 1 where left out."""
    return [1, 1] if values is None else ints(values)


def padding(
    x: Tensor, kernel: Sequence[int], stride: list[int], dilation: list[int], *, pad_type: str, pad: Tensor | None
) -> list[int]:
    """torch's order: left, right, top, bottom."""
    if pad_type == "valid":
        return [0, 0, 0, 0]
    if pad_type == "custom":
        top, bottom, left, right = [0, 0, 0, 0] if pad is None else ints(pad)
        return [left, right, top, bottom]
    sides_of_all: list[int] = []
    for dim in (1, 0):  # "same": as many outputs as the input has strides; the odd row comes last, or first
        size, reach = x.shape[2 + dim], (kernel[dim] - 1) * dilation[dim] + 1
        total = max((-(-size // stride[dim]) - 1) * stride[dim] + reach - size, 0)
        sides = [total // 2, total - total // 2]
        sides_of_all += sides if pad_type == "same" else sides[::-1]
    return sides_of_all
