"""What each operation of Core ML's programs computes, on torch in float32.

Names and arguments are those of the MIL specification (coremltools' documentation of its operators).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pocketgan.export.mil import compressed, elementwise, indexing, pooling, reductions, resizing
from pocketgan.export.mil.arguments import ints, padding, pair

OPERATORS: dict[str, Callable[..., Any]] = {
    **elementwise.OPERATORS,
    **indexing.OPERATORS,
    **pooling.OPERATORS,
    **reductions.OPERATORS,
    **resizing.OPERATORS,
    "expand_dims": lambda x, axes: _expanded(x, ints(axes)),
    "squeeze": lambda x, axes=None: x.squeeze() if axes is None else x.squeeze(_axes(axes)),
    "reshape": lambda x, shape: x.reshape(_resolved(x, ints(shape))),
    "transpose": lambda x, perm: x.permute(ints(perm)),
    "flatten2d": lambda x, axis=1: x.reshape(math.prod(x.shape[: int(axis)]), -1),
    "shape": lambda x: torch.tensor(x.shape),
    "fill": lambda shape, value=0.0: torch.full(ints(shape), value.item() if isinstance(value, Tensor) else value),
    "fill_like": lambda ref_tensor, value=0.0: torch.full(
        ref_tensor.shape, value.item() if isinstance(value, Tensor) else value
    ),
    "range_1d": lambda start, end, step: torch.arange(start.item(), end.item(), step.item()),
    "stack": lambda values, axis: torch.stack(_listed(values), int(axis)),
    "einsum": lambda values, equation: torch.einsum(equation, *_listed(values)),
    "tile": lambda x, reps: x.repeat(ints(reps)),
    "pixel_shuffle": lambda x, upscale_factor: functional.pixel_shuffle(x, int(upscale_factor)),
    "pixel_unshuffle": lambda x, downscale_factor: functional.pixel_unshuffle(x, int(downscale_factor)),
    "quantize": compressed.quantize,
    "dequantize": compressed.dequantize,
    "constexpr_affine_dequantize": compressed.constexpr_affine_dequantize,
    "constexpr_blockwise_shift_scale": compressed.constexpr_blockwise_shift_scale,
    "constexpr_lut_to_dense": compressed.constexpr_lut_to_dense,
    "constexpr_sparse_to_dense": compressed.constexpr_sparse_to_dense,
}


def _operator(function: Callable[..., Any]) -> Callable[..., Any]:
    """An operator under its function's name."""
    OPERATORS[function.__name__] = function
    return function


@_operator
def cast(x: Tensor, dtype: str) -> Tensor:
    if dtype.startswith("fp"):
        return x.float()
    return x.bool() if dtype == "bool" else x.long()


@_operator
def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    strides: Tensor | None = None,
    pad_type: str = "valid",
    pad: Tensor | None = None,
    dilations: Tensor | None = None,
    groups: Tensor | int = 1,
) -> Tensor:
    stride, dilation = pair(strides), pair(dilations)
    before_after = padding(x, weight.shape[2:], stride, dilation, pad_type=pad_type, pad=pad)
    padded = functional.pad(x, before_after)
    return functional.conv2d(padded, weight, bias, stride=stride, dilation=dilation, groups=int(groups))


@_operator
def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    strides: Tensor | None = None,
    pad_type: str = "valid",
    pad: Tensor | None = None,
    output_shape: Tensor | None = None,
    dilations: Tensor | None = None,
    groups: Tensor | int = 1,
) -> Tensor:
    """The whole of the transposed convolution, cut (or, where more is asked for, grown by its bias) to size."""
    if pad_type not in ("valid", "custom"):
        raise NotImplementedError(f"pad_type {pad_type!r}")
    whole = functional.conv_transpose2d(x, weight, stride=pair(strides), groups=int(groups), dilation=pair(dilations))
    top, bottom, left, right = ints(pad) if pad is not None and pad_type == "custom" else (0, 0, 0, 0)
    if output_shape is not None:
        height, width = ints(output_shape)[-2:]
        bottom, right = whole.shape[2] - top - height, whole.shape[3] - left - width
    cut = functional.pad(whole, (-left, -right, -top, -bottom))
    return cut if bias is None else cut + bias.view(1, -1, 1, 1)


@_operator
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return functional.linear(x, weight, bias)


@_operator
def matmul(x: Tensor, y: Tensor, transpose_x: Any = False, transpose_y: Any = False) -> Tensor:
    x = x.transpose(-1, -2) if bool(transpose_x) else x
    return x @ (y.transpose(-1, -2) if bool(transpose_y) else y)


@_operator
def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    return functional.scaled_dot_product_attention(query, key, value, attn_mask)


@_operator
def pad(x: Tensor, pad: Tensor, mode: str = "constant", constant_val: Tensor | float = 0.0) -> Tensor:
    """`pad` holds before and after of the last dimensions, in their order."""
    pairs = ints(pad)
    turned = [side for index in range(len(pairs) - 2, -1, -2) for side in pairs[index : index + 2]]
    if mode == "constant":
        return functional.pad(x, turned, value=float(constant_val))
    while len(turned) > 2 * (x.dim() - 2) and turned[-2:] == [0, 0]:
        turned = turned[:-2]
    return functional.pad(x, turned, mode={"reflect": "reflect", "replicate": "replicate"}[mode])


@_operator
def crop(x: Tensor, crop_height: Tensor, crop_width: Tensor) -> Tensor:
    top, bottom = ints(crop_height)
    left, right = ints(crop_width)
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


@_operator
def instance_norm(
    x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, epsilon: Tensor | float = 1e-5
) -> Tensor:
    return functional.instance_norm(x, weight=gamma, bias=beta, eps=float(epsilon))


@_operator
def layer_norm(
    x: Tensor,
    axes: Tensor | None = None,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: Tensor | float = 1e-5,
) -> Tensor:
    dims = list(range(x.dim())) if axes is None else [axis % x.dim() for axis in ints(axes)]
    deviation = x - x.mean(dims, True)
    normalised = deviation * (deviation.square().mean(dims, True) + float(epsilon)).rsqrt()
    shape = [size if index in dims else 1 for index, size in enumerate(x.shape)]
    normalised = normalised if gamma is None else normalised * gamma.reshape(shape)
    return normalised if beta is None else normalised + beta.reshape(shape)


@_operator
def l2_norm(x: Tensor, epsilon: Tensor | float = 1e-6) -> Tensor:
    """Over the last three dimensions."""
    return x / (x.square().sum((-3, -2, -1), True) + float(epsilon)).sqrt()


@_operator
def local_response_norm(
    x: Tensor,
    size: Tensor,
    alpha: Tensor | float = 1e-4,
    beta: Tensor | float = 0.75,
    k: Tensor | float = 1.0,
) -> Tensor:
    return functional.local_response_norm(x, int(size), float(alpha), float(beta), float(k))


@_operator
def batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: Tensor | float = 1e-5,
) -> Tensor:
    return functional.batch_norm(x, mean, variance, weight=gamma, bias=beta, eps=float(epsilon))


@_operator
def gelu(x: Tensor, mode: str = "EXACT") -> Tensor:
    if mode == "SIGMOID_APPROXIMATION":
        return x * (1.702 * x).sigmoid()
    return functional.gelu(x, approximate="none" if mode == "EXACT" else "tanh")


@_operator
def concat(values: list[Tensor] | Tensor, axis: Tensor, interleave: Any = False) -> Tensor:
    """Interleaved, the first of each comes before the second of any."""
    values, dim = _listed(values), int(axis)
    if not bool(interleave):
        return torch.cat(values, dim)
    dim %= values[0].dim()
    return torch.stack(values, dim + 1).flatten(dim, dim + 1)


@_operator
def split(x: Tensor, axis: Tensor, num_splits: Tensor | None = None, split_sizes: Tensor | None = None) -> Any:
    dim = int(axis)
    if split_sizes is not None:
        return tuple(x.split(ints(split_sizes), dim))
    return tuple(x.split(x.shape[dim] // int(num_splits), dim))  # type: ignore[arg-type]


@_operator
def slice_by_index(
    x: Tensor,
    begin: Tensor,
    end: Tensor,
    stride: Tensor | None = None,
    begin_mask: Tensor | None = None,
    end_mask: Tensor | None = None,
    squeeze_mask: Tensor | None = None,
) -> Tensor:
    index: list[Any] = []
    for dim, (first, last) in enumerate(zip(ints(begin), ints(end), strict=True)):
        if squeeze_mask is not None and bool(squeeze_mask[dim]):
            index.append(first)
            continue
        step = 1 if stride is None else int(stride[dim])
        if step < 0:
            raise NotImplementedError("negative stride")
        low = None if begin_mask is not None and bool(begin_mask[dim]) else first
        high = None if end_mask is not None and bool(end_mask[dim]) else last
        index.append(slice(low, high, step))
    return x[tuple(index)]


@_operator
def slice_by_size(x: Tensor, begin: Tensor, size: Tensor) -> Tensor:
    for dim, (first, length) in enumerate(zip(ints(begin), ints(size), strict=True)):
        x = x.narrow(dim, first, x.shape[dim] - first if length == -1 else length)
    return x


@_operator
def constexpr_cast(source_val: Tensor, output_dtype: str) -> Tensor:
    return cast(source_val, output_dtype)


def _listed(values: list[Tensor] | Tensor) -> list[Tensor]:
    """The tensors of an argument that takes several, of which there may be one."""
    return [values] if isinstance(values, Tensor) else values


def _axes(axes: Tensor | None) -> tuple[int, ...] | None:
    """None: all."""
    return None if axes is None else tuple(ints(axes))


def _expanded(x: Tensor, axes: list[int]) -> Tensor:
    """Axes count in the result."""
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _resolved(x: Tensor, shape: list[int]) -> list[int]:
    """0 stands for the input's own size there, where there are as many sizes."""
    if len(shape) != x.dim():
        return shape
    return [x.shape[index] if size == 0 else size for index, size in enumerate(shape)]
