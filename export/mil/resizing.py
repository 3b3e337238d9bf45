"""What Core ML's operations that sample pictures anew compute."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pocketgan.export.mil.arguments import ints


def _upsample_nearest_neighbor(x: Tensor, scale_factor_height: Any = 1, scale_factor_width: Any = 1) -> Tensor:
    """Row r of the result is row floor(r / scale) of the input, as Core ML computes it: in float32, from the scale."""
    rows, columns = (
        _nearest(x.shape[dim], float(scale)) for dim, scale in ((-2, scale_factor_height), (-1, scale_factor_width))
    )
    return x[..., rows, :][..., columns]


def _upsample_bilinear(
    x: Tensor, scale_factor_height: Any = 1, scale_factor_width: Any = 1, align_corners: Any = True,
    half_pixel_centers: Any = None,
) -> Tensor:  # fmt: skip
    aligned = bool(align_corners)
    if not aligned and half_pixel_centers is not None and not bool(half_pixel_centers):
        raise NotImplementedError("neither align_corners nor half_pixel_centers")
    sizes = [int(x.shape[-2] * float(scale_factor_height)), int(x.shape[-1] * float(scale_factor_width))]
    return _linear(x, sizes, "STRICT_ALIGN_CORNERS" if aligned else "UNALIGN_CORNERS")


def _resize_bilinear(
    x: Tensor, target_size_height: Any = 1, target_size_width: Any = 1, sampling_mode: str = "DEFAULT"
) -> Tensor:  # fmt: skip
    return _linear(x, [int(target_size_height), int(target_size_width)], sampling_mode)


def _resize(
    x: Tensor, shape: Tensor, resized_dims: Any, interpolation_mode: str = "LINEAR", sampling_mode: str = "DEFAULT"
) -> Tensor:  # fmt: skip
    if interpolation_mode != "LINEAR" or int(resized_dims) != 2:
        raise NotImplementedError(f"{interpolation_mode} of {int(resized_dims)} dimensions")
    sizes = [size or x.shape[dim] for dim, size in zip((-2, -1), ints(shape)[-2:], strict=True)]
    return _linear(x, sizes, sampling_mode)


def _linear(x: Tensor, sizes: list[int], mode: str) -> Tensor:
    """Rows, then columns, each a mean of the two neighbours of its grid point."""
    for dim, size in zip((-2, -1), sizes, strict=True):
        points = _grid(x.shape[dim], size, mode)
        low = points.floor().long()
        share = points - low
        shape = [-1, 1] if dim == -2 else [-1]
        first, second = x.index_select(dim, low), x.index_select(dim, (low + 1).clamp(max=x.shape[dim] - 1))
        x = first + (second - first) * share.reshape(shape).to(x.dtype)
    return x


def _grid(size: int, count: int, mode: str) -> Tensor:
    """Where in an axis of `size` pixels each of `count` points lies, by `resize_bilinear`'s notes."""
    numbers, last = torch.arange(count, dtype=torch.float64), size - 1
    steps = max(count - 1, 1)
    if mode == "ALIGN_CORNERS" and count == 1:
        points = numbers + last / 2
    elif mode in ("ALIGN_CORNERS", "STRICT_ALIGN_CORNERS"):
        points = numbers * (last / steps)
    elif mode == "UNALIGN_CORNERS":
        points = (numbers + 0.5) * (size / count) - 0.5
    elif mode == "DEFAULT":
        points = numbers * ((size - size / count) / steps)
    elif mode == "OFFSET_CORNERS":
        points = (numbers + 0.5) * (max(1, last) / count)
    else:
        raise NotImplementedError(f"sampling_mode {mode!r}")
    return points.clamp(0, last)


def _resample(
    x: Tensor, coordinates: Tensor, sampling_mode: str, padding_mode: str, padding_value: Any, coordinates_mode: str,
    align_corners: Any,
) -> Tensor:  # fmt: skip
    """As torch's `grid_sample`, where both say the same."""
    paddings = {"constant": "zeros", "border": "border"}
    paddings |= {"reflection": "reflection"} if bool(align_corners) else {"symmetric": "reflection"}
    if coordinates_mode != "normalized_minus_one_to_one" or padding_mode not in paddings or float(padding_value) != 0:
        raise NotImplementedError(f"{coordinates_mode}, {padding_mode} with {float(padding_value):g}")
    return functional.grid_sample(
        x, coordinates, sampling_mode, paddings[padding_mode], align_corners=bool(align_corners)
    )  # fmt: skip


def _nearest(size: int, scale: float) -> Tensor:
    count = math.floor(size * scale)
    return torch.floor(torch.arange(count, dtype=torch.float32) / torch.tensor(scale, dtype=torch.float32)).long()


OPERATORS: dict[str, Callable[..., Any]] = {
    "upsample_nearest_neighbor": _upsample_nearest_neighbor,
    "upsample_bilinear": _upsample_bilinear,
    "resize_bilinear": _resize_bilinear,
    "resize": _resize,
    "resample": _resample,
}
