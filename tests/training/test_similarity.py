"""Global kernel alignment against its known values."""

import pytest
import torch

from pocketgan.training.similarity import GlobalKernelAlignment

GKA = GlobalKernelAlignment()


def test_features_align_with_themselves_rotated_and_scaled():
    x = torch.randn(2, 8, 16, 16)
    rotation = torch.linalg.qr(torch.randn(8, 8)).Q
    rotated = torch.einsum("nchw,cd->ndhw", x, rotation) * 7
    assert GKA(x, x).item() == pytest.approx(1, abs=1e-5)
    assert GKA(x, rotated).item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("n", "expected"), [(1, 0.137), (20, 0.007)])
def test_independent_gaussian_features_do_not_align(n, expected):
    torch.manual_seed(0)
    # 64 and 32 channels on 8 x 8 pixels: the value depends on channels / (n h w) alone
    value = GKA(torch.randn(n, 12, 8, 8), torch.randn(n, 7, 8, 8)).item()
    assert value == pytest.approx(expected, rel=0.5)


def test_independent_relu_features_align_by_their_means():
    torch.manual_seed(0)
    x, y = torch.relu(torch.randn(4, 64, 32, 32)), torch.relu(torch.randn(4, 32, 32, 32))
    assert 0.75 < GKA(x, y).item() <= 1


def test_channels_may_differ_and_sizes_may_not():
    GKA(torch.randn(1, 4, 8, 8), torch.randn(1, 9, 8, 8))
    with pytest.raises(ValueError, match="more than channels"):
        GKA(torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 4))


def test_gradients_reach_the_student_and_large_values_stay_finite():
    y = (torch.randn(1, 4, 8, 8) * 1e12).requires_grad_()
    GKA(torch.randn(1, 6, 8, 8) * 1e12, y).backward()
    assert y.grad is not None
    assert torch.isfinite(y.grad).all()
