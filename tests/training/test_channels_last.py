"""Layers in channels-last order compute what torch's own compute, in float32 and under autocast."""

import platform

import pytest
import torch
from torch import nn
from torch.nn import functional

from pocketgan.training.layout import faster_layers

pytestmark = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64") or not torch._nnpack_available(),
    reason="measured and used on x86-64 alone",
)
CPU, LAST = torch.device("cpu"), torch.channels_last


def outcome(layer, x, faster, bf16=False):
    """Output, gradient of the input and gradients of the parameters."""
    x = x.contiguous(memory_format=LAST).requires_grad_()
    x.grad = None
    layer.to(memory_format=LAST).zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        if faster:
            with faster_layers(CPU, LAST):
                y = layer(x)
        else:
            y = layer(x)
        weights = torch.linspace(-1, 1, y[0].numel()).view(y[0].shape)
        (y.float() * weights).sum().backward()
    return [y.detach(), x.grad.clone(), *(p.grad.clone() for p in layer.parameters())]


LAYERS = {
    "5x5, FFT": (nn.Conv2d(60, 52, 5), (2, 60, 49, 52)),
    "5x5, FFT, padded": (nn.Conv2d(52, 60, 5, padding=2), (1, 52, 48, 48)),
    "5x5, narrow": (nn.Conv2d(4, 6, 5), (1, 4, 49, 52)),
    "7x7 to a picture": (nn.Conv2d(12, 3, 7), (2, 12, 54, 50)),
    "7x7 to a picture, padded": (nn.Conv2d(12, 3, 7, padding=3), (1, 12, 50, 51)),
    "7x7 from a picture": (nn.Conv2d(3, 12, 7), (1, 3, 54, 54)),
    "small 7x7": (nn.Conv2d(12, 3, 7), (1, 12, 20, 20)),
    "depthwise 5x5": (nn.Conv2d(6, 6, 5, groups=6, bias=False), (2, 6, 20, 24)),
    "depthwise 1x1": (nn.Conv2d(6, 6, 1, groups=6), (2, 6, 8, 9)),
    "1x1 to one map": (nn.Conv2d(6, 1, 1), (2, 6, 8, 9)),
    "instance norm": (nn.InstanceNorm2d(6, affine=True), (3, 6, 8, 9)),
    "reflection": (nn.ReflectionPad2d(2), (2, 6, 8, 9)),
}


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", LAYERS)
def test_values_and_gradients_are_torchs_own(name, bf16):
    layer, shape = LAYERS[name]
    torch.manual_seed(0)
    x = torch.randn(shape)
    exact = outcome(layer, x, faster=False)
    made = zip(exact, *(outcome(layer, x, faster, bf16) for faster in (False, True)), strict=True)
    # Sums of thousands in another order; in bfloat16 to its 8 bits, or what torch's own are off where the processor has
    # no bfloat16: it sums in it there.
    tolerance = 2**-7 if bf16 else 1e-4
    for right, told, found in made:
        assert (found.shape, found.dtype) == (told.shape, told.dtype)
        assert (found - right).abs().max() <= max(tolerance * right.abs().max(), (told - right).abs().max())


def test_under_autocast_a_map_of_bfloat16_is_padded_as_it_is():
    x = torch.randn(1, 4, 8, 8).bfloat16().contiguous(memory_format=LAST)
    with torch.autocast("cpu", torch.bfloat16), faster_layers(CPU, LAST):
        padded = nn.ReflectionPad2d(1)(x)
    assert padded.dtype == torch.bfloat16
    assert torch.equal(padded[:, :, 1:-1, 1:-1], x)
    assert torch.equal(padded[:, :, 0, 1:-1], x[:, :, 1])


@pytest.mark.parametrize("layout", [torch.contiguous_format, LAST])
@pytest.mark.parametrize("activation", [nn.Tanh(), nn.Sigmoid()])
def test_a_picture_in_bfloat16_still_learns_near_white(activation, layout):
    # tanh 3.5 = 0.99818 and sigmoid 6.5 = 0.9985, which bfloat16, in steps of 2**-8, rounds to 1.
    x = torch.full((1, 3, 2, 2), 3.5 if isinstance(activation, nn.Tanh) else 6.5).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16), faster_layers(CPU, layout, bf16=True):
        picture = activation(x)
    picture.sum().backward()
    assert picture.dtype == torch.float32
    assert x.grad.min() > 0


def test_the_statistics_of_norms_are_taken_in_float32_under_autocast():
    torch.manual_seed(0)
    # 1 to 1.5 in bfloat16's steps of 2**-7: a sum of 16,384 of them in bfloat16 would stop growing at 256.
    x = (1 + torch.rand(4, 3, 64, 64) / 2).bfloat16().contiguous(memory_format=LAST)
    batch, instance = nn.BatchNorm2d(3, momentum=1.0), nn.InstanceNorm2d(3)
    with torch.autocast("cpu", torch.bfloat16), faster_layers(CPU, LAST):
        batch(x)
        normed = instance(x)
    exact = x.double()
    assert batch.running_mean.dtype == torch.float32
    assert torch.allclose(batch.running_mean.double(), exact.mean((0, 2, 3)), rtol=1e-5)
    assert torch.allclose(batch.running_var.double(), exact.var((0, 2, 3)), rtol=1e-4)
    told = (exact - exact.mean((2, 3), True)) / (exact.var((2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    assert (normed.double() - told).abs().max() <= 2**-8 * told.abs().max()


def test_the_same_step_gives_the_same_bits():
    layer, shape = LAYERS["5x5, FFT"]
    torch.manual_seed(0)
    x = torch.randn(shape)
    first, second = (outcome(layer, x, True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_frozen_weight_gets_no_gradient():
    x, weight = torch.randn(1, 12, 50, 50, requires_grad=True), torch.randn(3, 12, 7, 7)
    with faster_layers(CPU, LAST):
        functional.conv2d(x, weight).sum().backward()
    assert x.grad is not None
    assert weight.grad is None
