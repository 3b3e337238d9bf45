"""Pictures of any size go through networks of some sizes, and come out as large as they went in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketgan.fitting import Fit

SIDES = st.integers(1, 70)


def picture(height, width, channels=3):
    return np.random.default_rng(height * 100 + width).integers(0, 256, (height, width, channels)).astype(np.uint8)


@given(SIDES, SIDES, st.sampled_from([1, 4, 8, 32]))
def test_what_is_only_padded_comes_back_pixel_by_pixel(height, width, multiple):
    pixels = picture(height, width)
    fit = Fit.to_multiple((height, width), multiple, 16, 1024)
    inside = fit.enter(pixels)
    assert inside.shape[0] % multiple == inside.shape[1] % multiple == 0
    assert min(inside.shape[:2]) >= 16
    assert max(inside.shape[:2]) < max(height, width, 16) + multiple
    assert np.array_equal(fit.leave(inside), pixels)


@given(SIDES, SIDES, SIDES, SIDES)
def test_every_picture_fits_into_every_frame_and_keeps_its_size(height, width, tall, wide):
    fit = Fit.into((height, width), (tall, wide))
    inside = fit.enter(picture(height, width))
    assert inside.shape == (tall, wide, 3)
    assert fit.leave(inside).shape == (height, width, 3)
    assert fit.scaled[0] == tall or fit.scaled[1] == wide


def test_450_by_800_is_padded_and_not_scaled():
    fit = Fit.to_multiple((800, 450), 256, 256, 1024)
    assert (fit.scaled, fit.padded) == ((800, 450), (1024, 512))
    assert not fit.is_smaller


def test_a_long_picture_is_scaled_in_its_proportions():
    fit = Fit.to_multiple((3000, 4000), 4, 4, 1024)
    assert fit.scaled == (768, 1024)
    assert fit.is_smaller


def test_margins_are_the_picture_mirrored_at_its_edges():
    row = np.arange(6, dtype=np.uint8).reshape(1, 6, 1)
    inside = Fit.to_multiple((1, 6), 10, 1, 1024).enter(row)
    assert inside[0, :, 0].tolist() == [2, 1, 0, 1, 2, 3, 4, 5, 4, 3]


@pytest.mark.parametrize("factor", [1, 2])
def test_the_whole_picture_goes_in_and_a_larger_answer_is_scaled_back(factor):
    halves = np.zeros((40, 80, 1), np.uint8)
    halves[:, 40:] = 255
    fit = Fit.into((40, 80), (32, 32))
    answer = np.repeat(np.repeat(fit.enter(halves), factor, 0), factor, 1)
    assert fit.scaled == (16, 32)
    back = fit.leave(answer)
    assert back.shape == (40, 80, 1)
    assert back[:, :35].max() < 10
    assert back[:, 45:].min() > 245
