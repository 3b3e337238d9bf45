"""What Core ML's operations that make one number of many compute; over all dimensions where none are named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pocketgan.export.mil.arguments import ints

_Reduce = Callable[[Tensor, list[int], bool], Tensor]


def _over(reduce: _Reduce) -> Callable[..., Tensor]:
    def operator(x: Tensor, axes: Any = None, keep_dims: Any = False) -> Tensor:
        return reduce(x, list(range(x.dim())) if axes is None else ints(axes), bool(keep_dims))

    return operator


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in axes:
        x = x.prod(axis, True)
    return x if keep else x.squeeze(tuple(axes))


OPERATORS: dict[str, Callable[..., Any]] = {
    "reduce_mean": _over(lambda x, axes, keep: x.mean(axes, keep)),
    "reduce_sum": _over(lambda x, axes, keep: x.sum(axes, keep)),
    "reduce_max": _over(lambda x, axes, keep: x.amax(axes, keep)),
    "reduce_min": _over(lambda x, axes, keep: x.amin(axes, keep)),
    "reduce_prod": _over(_product),
    "reduce_l1_norm": _over(lambda x, axes, keep: x.abs().sum(axes, keep)),
    "reduce_l2_norm": _over(lambda x, axes, keep: x.square().sum(axes, keep).sqrt()),
    "reduce_sum_square": _over(lambda x, axes, keep: x.square().sum(axes, keep)),
    "reduce_log_sum": _over(lambda x, axes, keep: x.sum(axes, keep).log()),
    "reduce_log_sum_exp": _over(lambda x, axes, keep: torch.logsumexp(x, axes, keep)),
    "reduce_argmax": lambda x, axis=-1, keep_dims=False, output_dtype=None: x.argmax(int(axis), bool(keep_dims)),
    "reduce_argmin": lambda x, axis=-1, keep_dims=False, output_dtype=None: x.argmin(int(axis), bool(keep_dims)),
}
