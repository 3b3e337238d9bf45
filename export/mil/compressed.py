"""Operations of Core ML's programs that hold tensors in fewer bits: quantised values, palettes, sparse weights.

As in `operators.py`, which names them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def quantize(
    input: Tensor, scale: Tensor, output_dtype: str, zero_point: Tensor | None = None, axis: Any = None
) -> Tensor:
    """round(x / scale) + zero point, cut to the integers of `output_dtype`."""
    steps = (input / _along(scale, input, axis)).round()
    if zero_point is not None:
        steps = steps + _along(zero_point, input, axis)
    low, high = (-128, 127) if output_dtype == "int8" else (0, 255)
    return steps.clamp(low, high)


def dequantize(input: Tensor, scale: Tensor, zero_point: Tensor | None = None, axis: Any = None) -> Tensor:
    shifted = input if zero_point is None else input - _along(zero_point, input, axis)
    return shifted * _along(scale, input, axis)


def constexpr_affine_dequantize(quantized_data: Tensor, zero_point: Tensor, scale: Tensor, axis: Tensor) -> Tensor:
    """iOS 16: (data - zero point) * scale, of a whole tensor or of each index along `axis`."""
    return (quantized_data - _along(zero_point, quantized_data, axis)) * _along(scale, quantized_data, axis)


def constexpr_blockwise_shift_scale(data: Tensor, scale: Tensor, offset: Tensor | None = None) -> Tensor:
    """iOS 18: (data - offset) * scale, both the same within blocks."""
    shifted = data if offset is None else data - _repeated(offset, data.shape)
    return shifted * _repeated(scale, data.shape)


def constexpr_lut_to_dense(
    indices: Tensor, lut: Tensor, shape: Tensor | None = None, vector_axis: Tensor | None = None
) -> Tensor:
    """Palettes: one a tensor, its indices packed in bytes (iOS 16, which gives `shape`), or one a block (iOS 18)."""
    if shape is not None:
        return lut[_unpacked(indices, int(math.log2(len(lut))), shape.tolist())]
    palettes, size = lut.shape[-2:]
    blocks = _repeated(torch.arange(math.prod(lut.shape[:-2])).reshape(lut.shape[:-2]), indices.shape)
    vectors = lut.reshape(-1, palettes, size)[blocks, indices]
    if size == 1:
        return vectors[..., 0]
    axis = int(vector_axis) % indices.dim()  # type: ignore[arg-type]
    return vectors.movedim(-1, axis + 1).flatten(axis, axis + 1)


def constexpr_sparse_to_dense(nonzero_data: Tensor, mask: Tensor, shape: Tensor | None = None) -> Tensor:
    """Values where the mask has ones, which are packed in bytes where `shape` is given (iOS 16)."""
    ones = mask.bool() if shape is None else _unpacked(mask, 1, shape.tolist()).bool()
    return torch.zeros(ones.shape, dtype=nonzero_data.dtype).masked_scatter(ones, nonzero_data)


def _along(vector: Tensor, like: Tensor, axis: Any) -> Tensor:
    """A vector turned so that it meets `axis`; a single number as it is."""
    if vector.dim() == 0 or vector.numel() == 1:
        return vector.reshape(())
    shape = [1] * like.dim()
    shape[int(axis)] = -1
    return vector.reshape(shape)


def _repeated(blocks: Tensor, shape: Sequence[int]) -> Tensor:
    """Each number of `blocks` as often as fills `shape`."""
    for dim, size in enumerate(shape):
        blocks = blocks.repeat_interleave(size // blocks.shape[dim], dim)
    return blocks


def _unpacked(packed: Tensor, bits: int, shape: list[int]) -> Tensor:
    """Integers of so many bits, side by side in bytes, the lowest bits first."""
    single = (packed[:, None] >> torch.arange(8)) & 1
    numbers = single.reshape(-1)[: math.prod(shape) * bits].reshape(-1, bits)
    return (numbers << torch.arange(bits)).sum(1).reshape(shape)
