"""What Core ML's operations that pick, sort and put values in places compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pocketgan.export.mil.arguments import ints


def _select(cond: Tensor, a: Tensor | None = None, b: Tensor | None = None) -> Tensor:
    if a is None or b is None:
        raise NotImplementedError("indices of what is true have no fixed shape")
    return torch.where(cond.bool(), a, b)


def _gather(
    x: Tensor, indices: Tensor, axis: Any = 0, batch_dims: Any = 0, validate_indices: Any = None
) -> Tensor:  # fmt: skip
    """Whole slices: x.shape[:axis] + indices.shape[batch_dims:] + x.shape[axis + 1:]."""
    dim, batch = int(axis) % x.dim(), int(batch_dims)
    positions = _positions(indices, x.shape[dim], validate_indices)
    if batch == 0:
        return x.index_select(dim, positions.reshape(-1)).reshape(*x.shape[:dim], *indices.shape, *x.shape[dim + 1 :])
    parts = [
        _gather(one, own, dim - 1, batch - 1, validate_indices) for one, own in zip(x, positions, strict=True)
    ]  # fmt: skip
    return torch.stack(parts)


def _gather_along_axis(x: Tensor, indices: Tensor, axis: Any = 0, validate_indices: Any = None) -> Tensor:
    dim = int(axis) % x.dim()
    positions = _positions(indices, x.shape[dim], validate_indices)
    # The other dimensions agree one by one, which `gather` does not ask for.
    sizes = [positions.shape[at] if at == dim else size for at, size in enumerate(x.shape)]
    return x.gather(dim, positions.expand(sizes))


def _gather_nd(x: Tensor, indices: Tensor, batch_dims: Any = 0, validate_indices: Any = None) -> Tensor:
    if int(batch_dims):
        raise NotImplementedError("batch_dims")
    columns = indices.unbind(-1)
    return x[tuple(_positions(one, x.shape[dim], validate_indices) for dim, one in enumerate(columns))]


def _scatter_nd(
    data: Tensor, indices: Tensor, updates: Tensor, mode: str = "add", validate_indices: Any = None
) -> Tensor:  # fmt: skip
    columns = indices.unbind(-1)
    places = tuple(_positions(one, data.shape[dim], validate_indices) for dim, one in enumerate(columns))
    return data.index_put(places, updates, accumulate=_adds(mode))


def _scatter_along_axis(
    data: Tensor, indices: Tensor, updates: Tensor, axis: Any = 0, mode: str = "add", validate_indices: Any = None
) -> Tensor:  # fmt: skip
    dim = int(axis) % data.dim()
    positions = _positions(indices, data.shape[dim], validate_indices)
    return (data.scatter_add if _adds(mode) else data.scatter)(dim, positions, updates)


def _scatter(
    data: Tensor, indices: Tensor, updates: Tensor, axis: Any = 0, mode: str = "add", validate_indices: Any = None
) -> Tensor:  # fmt: skip
    dim = int(axis) % data.dim()
    positions = _positions(indices, data.shape[dim], validate_indices)
    return (data.index_add if _adds(mode) else data.index_copy)(dim, positions, updates)


def _positions(indices: Tensor, size: int, validate_indices: Any) -> Tensor:
    """Negative ones count from the end, up to iOS 16; programs for later systems, which say whether indices are
    validated, have none: what comes of them is not defined."""
    if validate_indices is None:
        return torch.where(indices < 0, indices + size, indices)
    if bool((indices < 0).any()):
        raise NotImplementedError("negative indices, which have no meaning since iOS 17")
    return indices


def _adds(mode: str) -> bool:
    if mode not in ("add", "update"):
        raise NotImplementedError(f"mode {mode!r}")
    return mode == "add"


def _topk(
    x: Tensor, k: Any = 1, axis: Any = -1, ascending: Any = False, sort: Any = True, return_indices: Any = True,
    output_indices_dtype: Any = None,
) -> Any:  # fmt: skip
    values, indices = x.topk(int(k), int(axis), largest=not bool(ascending))
    return (values, indices) if bool(return_indices) else values


def _cumsum(x: Tensor, axis: Any = 0, exclusive: Any = False, reverse: Any = False) -> Tensor:
    dim = int(axis)
    turned = x.flip(dim) if bool(reverse) else x
    total = turned.cumsum(dim)
    if bool(exclusive):
        total = total - turned
    return total.flip(dim) if bool(reverse) else total


def _one_hot(
    indices: Tensor, one_hot_vector_size: Any, axis: Any = -1, on_value: Any = 1, off_value: Any = 0
) -> Tensor:  # fmt: skip
    hot = functional.one_hot(indices, int(one_hot_vector_size)).bool().movedim(-1, int(axis))
    return torch.where(hot, torch.as_tensor(on_value), torch.as_tensor(off_value))


def _band_part(x: Tensor, lower: Any = -1, upper: Any = -1) -> Tensor:
    """What lies at most so far below and above the diagonal; all of that side where negative."""
    below = torch.arange(x.shape[-2])[:, None] - torch.arange(x.shape[-1])
    kept = torch.ones_like(below, dtype=torch.bool)
    if int(lower) >= 0:
        kept &= below <= int(lower)
    if int(upper) >= 0:
        kept &= -below <= int(upper)
    return torch.where(kept, x, torch.zeros_like(x))


OPERATORS: dict[str, Callable[..., Any]] = {
    "select": _select,
    "gather": _gather,
    "gather_along_axis": _gather_along_axis,
    "gather_nd": _gather_nd,
    "scatter": _scatter,
    "scatter_along_axis": _scatter_along_axis,
    "scatter_nd": _scatter_nd,
    "topk": _topk,
    "argsort": lambda x, axis=-1, ascending=False: x.argsort(int(axis), descending=not bool(ascending)),
    "reverse": lambda x, axes=None: x.flip(list(range(x.dim())) if axes is None else ints(axes)),
    "cumsum": _cumsum,
    "one_hot": _one_hot,
    "band_part": _band_part,
}
