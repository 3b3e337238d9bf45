"""Training steps on a CPU in channels-last order: the few layers that torch does slowly there, with AVX-512 kernels.

oneDNN's kernels reach most of what the processor can in nearly every shape, in float32 and (AMX) in bfloat16, and are
as fast at 3x3 as Winograd in NNPACK, which knows AVX2 alone; but only in this order: in the plain one a stride-2
convolution's gradient of the input takes four times as long. Milliseconds of one thread of a Xeon with AMX, oneDNN
first, for the rest:

    float32   5x5, 256 -> 42, 64x64     forward 15.3 and 10.2 (NNPACK), gradient of the input 13.3 and 9.4
              7x7, 64 -> 3, 256x256     forward 40.6 and 17.8 (NNPACK), gradient of the weights 42 and 20 (exchanged)
              1x1 depthwise, 42, 64x64  all three 3.3, for what is a product
    bfloat16  7x7, 64 -> 3, 256x256     gradient of the input 13 and 1.3 (as a forward convolution)
              5x5 depthwise, 42, 64x64  gradient of the weights 8.9 and 1.5 (in float32)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from pocketgan.training.bfloat16 import PicturesInFloat32
from pocketgan.training.convolutions import nnpack, plain_padding

# FFT pays at 5x5 from these on: at half the side, or at 32 x 32 channels, it is as fast as oneDNN or slower.
LEAST_SIDE = 48
LEAST_CHANNELS = 3000
# Maps of a picture, or little more.
FEW = 8


class ChannelsLastLayers(PicturesInFloat32):
    """Within it layers of channels-last tensors take the faster way; in another layout they stay right."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is functional.conv2d and not kwargs:
            result = _convolved(*args)
            if result is not None:
                return result
        if func is functional.instance_norm:
            result = _instance_norm(*args, **(kwargs or {}))
            if result is not None:
                return result
        if func is functional.pad and args and args[0].dtype == torch.bfloat16:
            # Autocast pads reflections in float32: two copies of the map, and the next convolution casts it back.
            with torch.autocast("cpu", enabled=False):
                return func(*args, **(kwargs or {}))
        return super().__torch_function__(func, types, args, kwargs)


def _instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    """Image by image it is batch norm, which knows this order; torch's own puts everything into the plain one first.

    256 x 64 x 64, forward and backward: 12.4 ms so, 1.9 here. None where it keeps statistics or has another order.
    """
    if running_mean is not None or input.dim() != 4 or not input.is_contiguous(memory_format=torch.channels_last):
        return None
    if weight is None:
        # With scales in float32 the statistics of a map in bfloat16 are float32, too; else they are rounded to 8 bits.
        weight, bias = torch.ones(input.shape[1]), torch.zeros(input.shape[1])
    images = [functional.batch_norm(image, None, None, weight, bias, True, momentum, eps) for image in input.split(1)]
    return torch.cat(images) if len(images) > 1 else images[0]


def _convolved(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    """The convolution, or None for one that oneDNN does as fast."""
    pad = plain_padding(x, weight, stride, padding, dilation)
    if pad is None or weight.dtype != torch.float32:
        return None
    if torch.is_autocast_enabled("cpu"):
        half = torch.get_autocast_dtype("cpu")
        if half != torch.bfloat16 or not _slow_in_bfloat16(weight, groups):
            return None
        return _Convolution.apply(x.to(half), weight.to(half), None if bias is None else bias.to(half), pad, groups)
    if x.dtype != torch.float32:
        return None
    if weight.shape[-1] == 1:
        return _scaled(x, weight, bias) if pad == 0 and _is_depthwise(weight, groups) else None
    if groups > 1 or not _slow_in_float32(x, weight):
        return None
    return _Convolution.apply(x, weight, bias, pad, groups)


def _is_depthwise(weight: Tensor, groups: int) -> bool:
    return groups == weight.shape[0] > 1 and weight.shape[1] == 1


def _slow_in_bfloat16(weight: Tensor, groups: int) -> bool:
    if weight.shape[-1] == 5:
        return _is_depthwise(weight, groups)
    return weight.shape[-1] == 7 and groups == 1 and weight.shape[0] <= FEW


def _slow_in_float32(x: Tensor, weight: Tensor) -> bool:
    if min(x.shape[2:]) < LEAST_SIDE:
        return False
    if weight.shape[-1] == 7:
        return min(weight.shape[:2]) <= FEW
    return _fft_pays(x, weight)


def _fft_pays(x: Tensor, weight: Tensor) -> bool:
    outputs, inputs, kernel = weight.shape[:3]
    if x.dtype != torch.float32 or min(x.shape[2:]) < LEAST_SIDE:
        return False
    return (kernel == 5 and outputs * inputs >= LEAST_CHANNELS) or (kernel == 7 and outputs <= FEW)


def _scaled(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A depthwise convolution of 1x1."""
    y = x * weight.view(1, -1, 1, 1)
    return y if bias is None else y + bias.view(1, -1, 1, 1)


class _Convolution(torch.autograd.Function):
    """A convolution of stride 1 and an odd square kernel, dense or depthwise."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, pad: int, groups: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.pad, ctx.groups = pad, groups
        return _convolve(x, weight, bias, pad, groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        pad, groups, kernel = ctx.pad, ctx.groups, weight.shape[-1]
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0] and groups == 1:
            of_x = _convolve(gradient, _turned(weight), None, kernel - 1 - pad)
        elif ctx.needs_input_grad[0]:
            of_x = _gradients(gradient, x, weight, pad, groups, [True, False, False])[0]
        if ctx.needs_input_grad[1]:
            of_weight = weight_gradient(x, gradient, weight, pad, groups)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_x, of_weight, of_bias, None, None


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, pad: int, groups: int = 1) -> Tensor:
    if groups == 1 and _fft_pays(x, weight):
        return nnpack(_plain(x), weight, bias, pad).contiguous(memory_format=torch.channels_last)
    return torch.ops.aten.conv2d(x, weight, bias, [1, 1], [pad, pad], [1, 1], groups)


def _turned(weight: Tensor) -> Tensor:
    """The kernel by which a gradient of the output becomes that of the input."""
    return weight.flip(2, 3).transpose(0, 1).contiguous(memory_format=torch.channels_last)


def weight_gradient(x: Tensor, gradient: Tensor, weight: Tensor, pad: int, groups: int = 1) -> Tensor:
    """Gradient of the weights, of their shape and type.

    Args:
        x: (n, c_in, h, w) input.
        gradient: (n, c_out, h', w') gradient of the output.
    oneDNN takes blocks of 16 outputs. With fewer, in float32, input and gradient exchange their parts: the gradient,
    padded, is what the input's values slide over, which gives the kernel turned.
    """
    kernel, inputs, few = weight.shape[-1], x.shape[1], weight.shape[0] <= FEW
    if x.dtype == torch.float32 and groups == 1 and few and inputs > FEW:
        found = _gradients(x, gradient, _turned(weight), kernel - 1 - pad, 1, [False, True, False])[1]
        return found.flip(2, 3).transpose(0, 1)
    if x.dtype == torch.bfloat16 and groups > 1:
        parts = (gradient.float(), x.float(), weight.float())
        return _gradients(*parts, pad, groups, [False, True, False])[1].to(weight.dtype)
    return _gradients(gradient, x, weight, pad, groups, [False, True, False])[1]


def _gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, pad: int, groups: int, mask: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """oneDNN's gradients of input, weights and bias; those that `mask` leaves out are None."""
    return torch.ops.aten.convolution_backward(
        gradient, x, weight, None, [1, 1], [pad, pad], [1, 1], False, [0, 0], groups, mask
    )


def _plain(x: Tensor) -> Tensor:
    """The same numbers in the plain order. torch's own copy of (1, 256, 64, 64) takes 9 ms, by images and blocks 1."""
    n, channels, height, width = x.shape
    plain = x.new_empty(n, channels, height * width)
    for image, pixels in zip(plain, x.permute(0, 2, 3, 1).reshape(n, height * width, channels), strict=True):
        image.copy_(pixels.t())
    return plain.view(x.shape)
