"""What Core ML's pools compute, by the MIL specification, which differs from torch's at the far edge."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pocketgan.export.mil.arguments import ints, padding, pair


def _avg_pool(
    x: Tensor, kernel_sizes: Tensor, strides: Tensor | None = None, pad_type: str = "valid",
    pad: Tensor | None = None, exclude_padding_from_average: Any = False, ceil_mode: Any = False,
) -> Tensor:  # fmt: skip
    """The sum of each window over the whole kernel's size, whatever lies outside of the input; or over the pixels that
    lie in it, where padding is excluded. torch leaves out what `ceil_mode` adds (coremltools' pull request 2844)."""
    kernel, stride = ints(kernel_sizes), pair(strides)
    sides = _sides(x, kernel, stride, pad_type, pad, ceil=bool(ceil_mode))
    means = functional.avg_pool2d(functional.pad(x, sides), kernel, stride)
    if not bool(exclude_padding_from_average):
        return means
    share = functional.avg_pool2d(functional.pad(torch.ones_like(x[:, :1]), sides), kernel, stride)
    return means / share


def _max_pool(
    x: Tensor, kernel_sizes: Tensor, strides: Tensor | None = None, pad_type: str = "valid",
    pad: Tensor | None = None, ceil_mode: Any = False,
) -> Tensor:  # fmt: skip
    kernel, stride = ints(kernel_sizes), pair(strides)
    sides = _sides(x, kernel, stride, pad_type, pad, ceil=bool(ceil_mode))
    return functional.max_pool2d(functional.pad(x, sides, value=-math.inf), kernel, stride)


def _sides(
    x: Tensor, kernel: list[int], stride: list[int], pad_type: str, pad: Tensor | None, *, ceil: bool
) -> list[int]:  # fmt: skip
    """What is added to each side, in torch's order: the padding, and how far the last window reaches beyond it."""
    if len(kernel) != 2:
        raise NotImplementedError(f"a pool over {len(kernel)} dimensions")
    left, right, top, bottom = padding(x, kernel, stride, [1, 1], pad_type=pad_type, pad=pad)
    if ceil:
        bottom += _overhang(x.shape[2], top, bottom, kernel[0], stride[0])
        right += _overhang(x.shape[3], left, right, kernel[1], stride[1])
    return [left, right, top, bottom]


def _overhang(size: int, before: int, after: int, kernel: int, stride: int) -> int:
    """ceil((size + padding - kernel) / stride) + 1 windows, less one that would begin beyond a padded input."""
    windows = -(-(size + before + after - kernel) // stride) + 1
    if (windows - 1) * stride >= size + before and before + after > 0:
        windows -= 1
    return max(0, (windows - 1) * stride + kernel - (size + before + after))


OPERATORS: dict[str, Callable[..., Any]] = {"avg_pool": _avg_pool, "max_pool": _max_pool}
