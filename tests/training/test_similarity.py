"""Alignment of features against its known values."""

import pytest
import torch

from pocketgan.errors import PocketganError
from pocketgan.training.similarity import SIMILARITIES, FeatureDistance, check_batch

GKA, CKA, KA = (SIMILARITIES[name] for name in ("gka", "cka", "ka"))


@pytest.mark.parametrize("similarity", [GKA, CKA])
def test_features_align_with_themselves_rotated_and_scaled(similarity):
    x = torch.randn(2, 8, 16, 16)
    rotation = torch.linalg.qr(torch.randn(8, 8)).Q
    rotated = torch.einsum("nchw,cd->ndhw", x, rotation) * 7
    assert similarity(x, x).item() == pytest.approx(1, abs=1e-5)
    assert similarity(x, rotated).item() == pytest.approx(1, abs=1e-4)


# 64 channels on 20x20 pixels: 1 / (n h w / c + 1) is 0.138 for one image and 0.0079 for twenty.
@pytest.mark.parametrize(("n", "expected"), [(1, 0.137), (20, 0.0079)])
def test_independent_gaussian_features_do_not_align(n, expected):
    torch.manual_seed(0)
    values = [GKA(torch.randn(n, 64, 20, 20), torch.randn(n, 64, 20, 20)).item() for _ in range(8)]
    assert sum(values) / 8 == pytest.approx(expected, rel=0.03)


def test_independent_relu_features_align_by_their_means_which_cka_takes_away():
    torch.manual_seed(0)
    # the value depends on the channels alone where pixels are many: 0.80 at 36, 0.88 at 64
    x, y = torch.relu(torch.randn(4, 36, 32, 32)), torch.relu(torch.randn(4, 36, 32, 32))
    assert GKA(x, y).item() == pytest.approx(0.80, abs=0.01)
    assert CKA(x, y).item() < 0.02


def test_the_released_codes_alignment_has_no_signal_in_small_batches():
    torch.manual_seed(0)
    x, y = torch.relu(torch.randn(4, 64, 32, 32)), torch.relu(torch.randn(4, 32, 32, 32))
    assert KA(x, x).item() == pytest.approx(1, abs=1e-5)
    assert KA(x, y).item() > 0.998
    with pytest.raises(PocketganError, match="1 for any features of a single image"):
        KA(x[:1], y[:1])
    with pytest.raises(PocketganError, match="at least 2 images"):
        check_batch("ka", 1)
    check_batch("gka", 1)


@pytest.mark.parametrize("similarity", [GKA, CKA])
def test_channels_may_differ_and_sizes_may_not(similarity):
    similarity(torch.randn(1, 4, 8, 8), torch.randn(1, 9, 8, 8))
    with pytest.raises(ValueError, match="more than channels"):
        similarity(torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 4))


@pytest.mark.parametrize("similarity", [GKA, CKA, KA])
def test_gradients_reach_the_student_and_large_values_stay_finite(similarity):
    y = (torch.randn(2, 4, 8, 8) * 1e12).requires_grad_()
    similarity(torch.randn(2, 6, 8, 8) * 1e12, y).backward()
    assert y.grad is not None
    assert torch.isfinite(y.grad).all()
    assert y.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["gka", "cka", "ka", "mse"])
def test_descending_the_distance_makes_features_alike(name):
    torch.manual_seed(0)
    teacher = [torch.randn(4, 6, 8, 8), torch.randn(4, 3, 4, 4)]
    student = [torch.randn(4, 4, 8, 8, requires_grad=True), torch.randn(4, 2, 4, 4, requires_grad=True)]
    distance = FeatureDistance(name, student=(4, 2), teacher=(6, 3))
    optimiser = torch.optim.Adam([*student, *distance.parameters()], 0.05)
    values = []
    for _ in range(30):
        loss = distance(teacher, student)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(loss.item())
    assert values[-1] < 0.8 * values[0]
    assert len(list(distance.parameters())) == (4 if name == "mse" else 0)


@pytest.mark.parametrize("name", ["gka", "cka", "ka", "mse"])
def test_distances_are_computed_in_float32_under_autocast(name):
    torch.manual_seed(0)
    teacher, student = torch.randn(2, 6, 16, 16) + 3, torch.randn(2, 4, 16, 16) + 3
    distance = FeatureDistance(name, student=(4,), teacher=(6,))
    exact = distance([teacher], [student])
    with torch.autocast("cpu", torch.bfloat16):
        found = distance([teacher], [student])
    assert found.dtype == torch.float32
    assert found.item() == exact.item()
