"""Parity finds wrong files, and floors hold trained models only."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch")

from pocketgan.errors import ParityError
from pocketgan.export.entry import export
from pocketgan.export.golden import Golden, golden_outputs, natural_images, seeded_inputs
from pocketgan.export.parity import agreement, check, measure

IMAGE = natural_images(3, 32, 32)[None]


def _parity(difference: float, floor: float = 60.0):
    expected = np.zeros((1, 1, 3, 16, 16), np.float32)
    return measure(expected + np.float32(difference), Golden(expected, expected), floor, "onnxruntime")


def test_psnr_has_a_peak_of_two():
    parity = _parity(0.02)
    assert parity.psnr_db == pytest.approx(10 * math.log10(4 / 0.02**2), abs=1e-3)  # 40 dB
    assert parity.max_abs_error == pytest.approx(0.02)


def test_equal_outputs_have_no_finite_psnr():
    parity = _parity(0.0)
    assert parity.psnr_db is None
    assert parity.passed


def test_trained_model_below_its_floor_is_an_error_that_names_both():
    with pytest.raises(ParityError, match=r"onnx-fp32 is 40\.0 dB.*floor of 60 dB"):
        check(_parity(0.02), "onnx-fp32", bound=True)


def test_untrained_model_below_its_floor_is_reported():
    parity = _parity(0.02)
    check(parity, "onnx-fp32", bound=False)
    assert not parity.passed


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_an_error(value):
    with pytest.raises(
        ParityError, match=r"^\S+ gives values that are not finite numbers where the source module's are"
    ):
        _parity(value)
    with pytest.raises(ParityError, match=r"^the source module gives values that are not finite"):
        agreement(IMAGE, IMAGE + np.float32(value), 2, "onnxruntime")


def test_another_shape_is_an_error():
    with pytest.raises(ParityError, match="shape"):
        measure(np.zeros((1, 1, 3, 4, 4)), Golden(IMAGE, IMAGE), 60, "onnxruntime")


def test_images_of_the_same_structure_are_similar_in_either_contract():
    noisy = np.clip(IMAGE + np.random.default_rng(0).normal(0, 0.3, IMAGE.shape), -1, 1).astype(np.float32)
    golden = Golden(IMAGE, IMAGE)
    same, other = measure(IMAGE, golden, 30, "r"), measure(noisy, golden, 30, "r")
    assert same.ssim == pytest.approx(1)
    assert other.ssim is not None
    assert 0.1 < other.ssim < 0.9
    levels = Golden(noisy, noisy).to("image").outputs
    image = measure(levels, golden.to("image"), 30, "r")
    assert image.ssim == pytest.approx(other.ssim, abs=1e-3)
    assert image.psnr_db == pytest.approx(other.psnr_db, abs=1e-2)
    small = np.zeros((1, 1, 3, 8, 8), np.float32)
    assert measure(small, Golden(small, small), 30, "r").ssim is None


def test_one_wrong_weight_is_detected(network, example, tmp_path):
    golden = golden_outputs(network, natural_images(3, 32, 32))
    network[1].weight.data[0, 0, 0, 0] += 0.01
    with pytest.raises(ParityError, match="below the floor of 100 dB"):
        export(network, "onnx", folder=tmp_path, example=example, golden=golden, bound=True)


def test_untrained_generator_that_gives_almost_nothing_reaches_the_floor(network, example, tmp_path):
    for parameter in network.parameters():
        parameter.data *= 1e-6
    parity = export(network, "onnx", folder=tmp_path, example=example, bound=True).entry.parity
    assert parity is not None
    assert parity.passed


def test_golden_images_are_pictures_of_256_levels_that_use_the_whole_range():
    images = natural_images(3, 64, 48)
    assert images.shape == (1, 3, 64, 48)
    assert images.dtype == np.float32
    assert images.min() == -1
    assert images.max() == 1
    levels = (images + 1) * 127.5
    np.testing.assert_allclose(levels, np.round(levels), atol=1e-4)
    np.testing.assert_array_equal(images, natural_images(3, 64, 48))
    neighbours = np.corrcoef(images[0, 0, :, 1:].ravel(), images[0, 0, :, :-1].ravel())[0, 1]
    assert neighbours > 0.8  # photos: above 0.9; white noise: 0


def test_networks_with_more_channels_than_a_picture_are_shown_a_label_map():
    inputs = seeded_inputs(36, 32, 64)
    assert inputs.shape == (1, 36, 32, 64)
    assert set(np.unique(inputs)) == {0, 1}
    assert (inputs.sum(1) == 1).all()
    assert (inputs.any((2, 3))).sum() > 10  # classes that occur
    contract = Golden(inputs[None], np.zeros((1, 1, 3, 32, 64))).specs()
    assert [spec.value_range for spec in contract] == [(0, 1), (-1, 1)]
    assert [spec.colour_space for spec in contract] == [None, "RGB"]
