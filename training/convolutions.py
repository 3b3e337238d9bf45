"""The same convolutions, faster: Winograd and FFT for the training steps on a CPU with AVX2 alone.

torch computes a convolution on the CPU directly (oneDNN). At stride 1 the NNPACK inside its wheels reaches the same
sums with fewer products: Winograd at 3x3, FFT at 5x5 and 7x7. One thread, 256 -> 42 channels at 64x64, 5x5: forward
30 ms direct and 11 ms so, gradient of the input 28 and 11, of the weights 34 and 14; results differ by rounding (1e-5
of the largest value). Measured on an AMD Zen 3; with AVX-512 another way is faster, see `channels_last.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode

KERNELS = (3, 5, 7)
# Pixels. 96 -> 16 channels at 16x16, batch 4: 0.4 to 0.8 times as fast with AVX-512, 0.6 to 1.2 times with AVX2.
LEAST_SIDE = 24
FFT_TILE = 16


class PlainConvolutions(TorchFunctionMode):
    """Within it `functional.conv2d` of tensors in the plain order goes to NNPACK where that profits."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is functional.conv2d and not kwargs:
            arguments = _fitting(*args)
            if arguments is not None:
                return _StrideOne.apply(*arguments)
        return func(*args, **(kwargs or {}))


def _fitting(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> tuple[Tensor, Tensor, Tensor | None, int] | None:
    """The arguments of `_StrideOne`, or None for a convolution that stays where it is."""
    pad = plain_padding(x, weight, stride, padding, dilation)
    if pad is None or groups != 1 or weight.shape[-1] not in KERNELS or min(x.shape[2:]) < LEAST_SIDE:
        return None
    if not x.dtype == weight.dtype == torch.float32 or torch.is_autocast_enabled("cpu"):
        return None
    return x, weight, bias, pad


def plain_padding(x: Tensor, weight: Tensor, stride: Any, padding: Any, dilation: Any) -> int | None:
    """Pixels of padding of a convolution of images with stride 1 and an odd square kernel; None for any other."""
    kernel = weight.shape[-1]
    pad = padding if isinstance(padding, int) else padding[0]
    plain = (
        x.dim() == 4
        and kernel % 2 == 1
        and weight.shape[-2] == kernel
        and stride in (1, (1, 1), [1, 1])
        and dilation in (1, (1, 1), [1, 1])
        and padding in (pad, (pad, pad), [pad, pad])
        and pad < kernel
    )
    return pad if plain else None


class _StrideOne(torch.autograd.Function):
    """A convolution of stride 1 and an odd square kernel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, pad: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.pad = pad
        return nnpack(x, weight, bias, pad)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        pad, kernel = ctx.pad, weight.shape[-1]
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            turned = weight.flip(2, 3).transpose(0, 1)
            of_x = nnpack(gradient, turned, None, kernel - 1 - pad)
        if ctx.needs_input_grad[1]:
            of_weight = weight_gradient(x, gradient, kernel, pad)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_x, of_weight, of_bias, None


def nnpack(x: Tensor, weight: Tensor, bias: Tensor | None, pad: int) -> Tensor:
    """A convolution of stride 1 by NNPACK; input and output are in the plain order."""
    return torch._nnpack_spatial_convolution(x.contiguous(), weight.contiguous(), bias, pad, 1)


def weight_gradient(x: Tensor, gradient: Tensor, kernel: int, pad: int) -> Tensor:
    """Gradient of the weights (c_out, c_in, k, k) of a convolution of stride 1.

    Args:
        x: (n, c_in, h, w) input.
        gradient: (n, c_out, h', w') gradient of the output.
    At 5x5 it is computed as a convolution itself: gradient and input are cut into tiles of 12x12 and 16x16 pixels, the
    tiles are its channels, the input's channels its batch, and the gradient its kernel. FFT gains there; at 3x3 direct
    products are as fast, and at 7x7 the first and last layers are too narrow for it.
    """
    if kernel != 5:
        mask = [False, True, False]
        shape = (gradient.shape[1], x.shape[1], kernel, kernel)
        return torch.ops.aten.convolution_backward(
            gradient, x, x.new_empty(1).expand(shape), None, [1, 1], [pad, pad], [1, 1], False, [0, 0], 1, mask
        )[1]
    step = FFT_TILE - kernel + 1
    n, outputs, height, width = gradient.shape
    rows, columns = -(-height // step), -(-width // step)
    below, right = rows * step - height, columns * step - width
    gradient = functional.pad(gradient, (0, right, 0, below))
    x = functional.pad(x, (pad, pad + right, pad, pad + below))
    tiles = n * rows * columns
    small = gradient.view(n, outputs, rows, step, columns, step).permute(1, 0, 2, 4, 3, 5)
    large = x.unfold(2, FFT_TILE, step).unfold(3, FFT_TILE, step).transpose(0, 1)
    small = small.reshape(outputs, tiles, step, step)
    large = large.reshape(x.shape[1], tiles, FFT_TILE, FFT_TILE)
    return nnpack(large, small, None, 0).transpose(0, 1)
