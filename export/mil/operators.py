"""What each operation of Core ML's programs computes, on torch in float32.

Names and arguments are those of the MIL specification (coremltools' documentation of its operators).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pocketgan.export.mil import compressed

OPERATORS: dict[str, Callable[..., Any]] = {
    "relu": lambda x: x.relu(),
    "relu6": lambda x: x.clamp(0, 6),
    "leaky_relu": lambda x, alpha: functional.leaky_relu(x, float(alpha)),
    "prelu": lambda x, alpha: functional.prelu(x, alpha),
    "elu": lambda x, alpha: functional.elu(x, float(alpha)),
    "sigmoid": lambda x: x.sigmoid(),
    "silu": lambda x: functional.silu(x),
    "tanh": lambda x: x.tanh(),
    "softplus": lambda x: functional.softplus(x),
    "softmax": lambda x, axis: x.softmax(int(axis)),
    "abs": lambda x: x.abs(),
    "exp": lambda x: x.exp(),
    "erf": lambda x: x.erf(),
    "square": lambda x: x.square(),
    "sqrt": lambda x: x.sqrt(),
    "rsqrt": lambda x, epsilon=0.0: (x + epsilon).rsqrt(),
    "inverse": lambda x, epsilon=0.0: 1 / (x + epsilon),
    "log": lambda x, epsilon=0.0: (x + epsilon).log(),
    "floor": lambda x: x.floor(),
    "round": lambda x: x.round(),
    "clip": lambda x, alpha, beta: x.clamp(float(alpha), float(beta)),
    "identity": lambda x: x,
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "real_div": lambda x, y: x / y,
    "pow": lambda x, y: x**y,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "reduce_mean": lambda x, axes=None, keep_dims=False: x.mean(_axes(axes), bool(keep_dims)),
    "reduce_sum": lambda x, axes=None, keep_dims=False: x.sum(_axes(axes), bool(keep_dims)),
    "reduce_max": lambda x, axes, keep_dims=False: x.amax(_axes(axes), bool(keep_dims)),
    "expand_dims": lambda x, axes: _expanded(x, _ints(axes)),
    "squeeze": lambda x, axes: x.squeeze(_axes(axes)),
    "reshape": lambda x, shape: x.reshape(_resolved(x, _ints(shape))),
    "transpose": lambda x, perm: x.permute(_ints(perm)),
    "tile": lambda x, reps: x.repeat(_ints(reps)),
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
    stride, dilation = _pair(strides), _pair(dilations)
    before_after = _padding(x, weight.shape[2:], stride, dilation, pad_type=pad_type, pad=pad)
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
        raise ValueError(f"pad_type {pad_type!r}")
    whole = functional.conv_transpose2d(x, weight, stride=_pair(strides), groups=int(groups), dilation=_pair(dilations))
    top, bottom, left, right = _ints(pad) if pad is not None and pad_type == "custom" else (0, 0, 0, 0)
    if output_shape is not None:
        height, width = _ints(output_shape)[-2:]
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
    pairs = _ints(pad)
    turned = [side for index in range(len(pairs) - 2, -1, -2) for side in pairs[index : index + 2]]
    if mode == "constant":
        return functional.pad(x, turned, value=float(constant_val))
    while len(turned) > 2 * (x.dim() - 2) and turned[-2:] == [0, 0]:
        turned = turned[:-2]
    return functional.pad(x, turned, mode={"reflect": "reflect", "replicate": "replicate"}[mode])


@_operator
def crop(x: Tensor, crop_height: Tensor, crop_width: Tensor) -> Tensor:
    top, bottom = _ints(crop_height)
    left, right = _ints(crop_width)
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


@_operator
def instance_norm(
    x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, epsilon: Tensor | float = 1e-5
) -> Tensor:
    return functional.instance_norm(x, weight=gamma, bias=beta, eps=float(epsilon))


@_operator
def layer_norm(
    x: Tensor,
    axes: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: Tensor | float = 1e-5,
) -> Tensor:
    dims = [axis % x.dim() for axis in _ints(axes)]
    deviation = x - x.mean(dims, True)
    normalised = deviation * (deviation.square().mean(dims, True) + float(epsilon)).rsqrt()
    shape = [size if index in dims else 1 for index, size in enumerate(x.shape)]
    normalised = normalised if gamma is None else normalised * gamma.reshape(shape)
    return normalised if beta is None else normalised + beta.reshape(shape)


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
def concat(values: list[Tensor], axis: Tensor, interleave: Any = False) -> Tensor:
    if bool(interleave):
        raise ValueError("interleave")
    return torch.cat(values, int(axis))


@_operator
def split(x: Tensor, axis: Tensor, num_splits: Tensor | None = None, split_sizes: Tensor | None = None) -> Any:
    dim = int(axis)
    if split_sizes is not None:
        return tuple(x.split(_ints(split_sizes), dim))
    return tuple(x.chunk(int(num_splits), dim))  # type: ignore[arg-type]


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
    for dim, (first, last) in enumerate(zip(_ints(begin), _ints(end), strict=True)):
        if squeeze_mask is not None and bool(squeeze_mask[dim]):
            index.append(first)
            continue
        step = 1 if stride is None else int(stride[dim])
        if step < 0:
            raise ValueError("negative stride")
        low = None if begin_mask is not None and bool(begin_mask[dim]) else first
        high = None if end_mask is not None and bool(end_mask[dim]) else last
        index.append(slice(low, high, step))
    return x[tuple(index)]


@_operator
def slice_by_size(x: Tensor, begin: Tensor, size: Tensor) -> Tensor:
    for dim, (first, length) in enumerate(zip(_ints(begin), _ints(size), strict=True)):
        x = x.narrow(dim, first, x.shape[dim] - first if length == -1 else length)
    return x


@_operator
def upsample_nearest_neighbor(x: Tensor, scale_factor_height: Any = 1, scale_factor_width: Any = 1) -> Tensor:
    """Row r of the result is row floor(r / scale) of the input, as Core ML computes it: in float32, from the scale."""
    rows, columns = (
        _nearest(x.shape[dim], float(scale)) for dim, scale in ((-2, scale_factor_height), (-1, scale_factor_width))
    )
    return x[..., rows, :][..., columns]


@_operator
def upsample_bilinear(
    x: Tensor, scale_factor_height: Any = 1, scale_factor_width: Any = 1, align_corners: Any = True,
    half_pixel_centers: Any = None,
) -> Tensor:  # fmt: skip
    aligned = bool(align_corners)
    if not aligned and half_pixel_centers is not None and not bool(half_pixel_centers):
        raise ValueError("neither align_corners nor half_pixel_centers")
    size = [int(x.shape[-2] * float(scale_factor_height)), int(x.shape[-1] * float(scale_factor_width))]
    return functional.interpolate(x, size, mode="bilinear", align_corners=aligned)


@_operator
def avg_pool(
    x: Tensor, kernel_sizes: Tensor, strides: Tensor | None = None, pad_type: str = "valid",
    pad: Tensor | None = None, exclude_padding_from_average: Any = False, ceil_mode: Any = False,
) -> Tensor:  # fmt: skip
    kernel, stride = _ints(kernel_sizes), _pair(strides)
    before_after = _padding(x, kernel, stride, [1, 1], pad_type=pad_type, pad=pad)
    padded = functional.avg_pool2d(functional.pad(x, before_after), kernel, stride, ceil_mode=bool(ceil_mode))
    if not bool(exclude_padding_from_average):
        return padded
    there = functional.pad(torch.ones_like(x[:, :1]), before_after)
    return padded / functional.avg_pool2d(there, kernel, stride, ceil_mode=bool(ceil_mode))


@_operator
def max_pool(
    x: Tensor, kernel_sizes: Tensor, strides: Tensor | None = None, pad_type: str = "valid",
    pad: Tensor | None = None, ceil_mode: Any = False,
) -> Tensor:  # fmt: skip
    kernel, stride = _ints(kernel_sizes), _pair(strides)
    before_after = _padding(x, kernel, stride, [1, 1], pad_type=pad_type, pad=pad)
    padded = functional.pad(x, before_after, value=-math.inf)
    return functional.max_pool2d(padded, kernel, stride, ceil_mode=bool(ceil_mode))


@_operator
def constexpr_cast(source_val: Tensor, output_dtype: str) -> Tensor:
    return cast(source_val, output_dtype)


def _ints(values: Any) -> list[int]:
    return [int(value) for value in torch.as_tensor(values).reshape(-1)]


def _pair(values: Tensor | None) -> list[int]:
    return [1, 1] if values is None else _ints(values)


def _axes(axes: Tensor | None) -> Any:
    return None if axes is None else tuple(_ints(axes))


def _expanded(x: Tensor, axes: list[int]) -> Tensor:
    for axis in sorted(axes):
        x = x.unsqueeze(axis)
    return x


def _resolved(x: Tensor, shape: list[int]) -> list[int]:
    """0 stands for the input's own size there."""
    return [x.shape[index] if size == 0 else size for index, size in enumerate(shape)]


def _padding(
    x: Tensor, kernel: Sequence[int], stride: list[int], dilation: list[int], *, pad_type: str, pad: Tensor | None
) -> list[int]:
    """torch's order: left, right, top, bottom."""
    if pad_type == "valid":
        return [0, 0, 0, 0]
    if pad_type == "custom":
        top, bottom, left, right = _ints(pad)
        return [left, right, top, bottom]
    padding: list[int] = []
    for dim in (1, 0):  # "same": as many outputs as the input has strides; the odd row comes last, or first
        size, reach = x.shape[2 + dim], (kernel[dim] - 1) * dilation[dim] + 1
        total = max((-(-size // stride[dim]) - 1) * stride[dim] + reach - size, 0)
        sides = [total // 2, total - total // 2]
        padding += sides if pad_type == "same" else sides[::-1]
    return padding


def _nearest(size: int, scale: float) -> Tensor:
    count = math.floor(size * scale)
    return torch.floor(torch.arange(count, dtype=torch.float32) / torch.tensor(scale, dtype=torch.float32)).long()
