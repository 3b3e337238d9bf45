"""Faster convolutions in the plain order (NNPACK) compute what torch's own compute."""

import platform

import pytest
import torch
from torch.nn import functional

from pocketgan.training.convolutions import _fitting
from pocketgan.training.layout import faster_layers

pytestmark = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64") or not torch._nnpack_available(),
    reason="NNPACK is used on x86-64 alone",
)
CPU, PLAIN = torch.device("cpu"), torch.contiguous_format


def results(x, weight, bias, padding, faster):
    x, weight, bias = leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
    if faster:
        assert _fitting(x, weight, bias, 1, padding) is not None
        with faster_layers(CPU, PLAIN):
            y = functional.conv2d(x, weight, bias, 1, padding)
            y.square().sum().backward()
    else:
        y = functional.conv2d(x, weight, bias, 1, padding)
        y.square().sum().backward()
    return [y.detach(), *(leaf.grad for leaf in leaves)]


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("shape", [(1, 6, 5, 33, 28), (3, 4, 9, 24, 47)])
def test_values_and_gradients_are_those_of_the_direct_convolution(kernel, padded, shape):
    n, inputs, outputs, height, width = shape
    torch.manual_seed(kernel)
    x, weight = torch.randn(n, inputs, height, width), torch.randn(outputs, inputs, kernel, kernel)
    bias, padding = torch.randn(outputs), kernel // 2 * padded
    pairs = zip(*(results(x, weight, bias, padding, faster) for faster in (False, True)), strict=True)
    for direct, faster in pairs:
        assert faster.shape == direct.shape
        assert (faster - direct).abs().max() < 1e-4 * direct.abs().max()


def test_other_convolutions_stay_where_they_are():
    x = torch.randn(1, 4, 32, 32)
    weight = torch.randn(4, 4, 3, 3)
    assert _fitting(x, weight, None, (2, 2), (1, 1)) is None
    assert _fitting(x, weight, None, 1, 1, 2) is None
    assert _fitting(x, torch.randn(4, 1, 3, 3), None, 1, 1, 1, 4) is None
    assert _fitting(x, torch.randn(4, 4, 4, 4)) is None
    assert _fitting(x.bfloat16(), weight.bfloat16()) is None
    assert _fitting(x[..., :8, :8], weight) is None
    with torch.autocast("cpu", torch.bfloat16):
        assert _fitting(x, weight) is None


def test_the_same_convolution_gives_the_same_bits():
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 8, 40, 40), torch.randn(8, 8, 5, 5), torch.randn(8)
    first, second = (results(x, weight, bias, 2, True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_frozen_weight_gets_no_gradient():
    x, weight = torch.randn(1, 4, 32, 32, requires_grad=True), torch.randn(4, 4, 3, 3)
    with faster_layers(CPU, PLAIN):
        functional.conv2d(x, weight).sum().backward()
    assert x.grad is not None
    assert weight.grad is None
