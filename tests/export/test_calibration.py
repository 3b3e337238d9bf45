"""Calibration takes a folder of real inputs, and says what is wrong with another one."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pocketgan.errors import ExportError
from pocketgan.export.calibration import LEAST_IMAGES, MOST_IMAGES, load_calibration


def _photos(folder, count=LEAST_IMAGES, size=(40, 30), mode="RGB"):
    random = np.random.default_rng(0)
    for index in range(count):
        shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
        Image.fromarray(random.integers(0, 256, shape, np.uint8), mode).save(folder / f"{index:03}.png")


def test_photos_become_inputs_in_the_order_of_their_names(tmp_path):
    for index, value in enumerate((0, 255, 51, 0, 0, 0, 0, 0)):
        Image.new("RGB", (10, 20), (value, 0, 255)).save(tmp_path / f"{index}.png")
    found = load_calibration(tmp_path, (3, 8, 8))
    assert found.shape == (8, 3, 8, 8)
    assert found.dtype == np.float32
    assert found[:3, 0, 0, 0].tolist() == pytest.approx([-1, 1, -0.6])
    assert set(np.unique(found[:, 1])) == {-1}
    assert set(np.unique(found[:, 2])) == {1}


def test_a_large_folder_is_read_in_part(tmp_path):
    _photos(tmp_path, MOST_IMAGES + 3, (8, 8))
    assert len(load_calibration(tmp_path, (3, 8, 8))) == MOST_IMAGES


def test_class_maps_become_one_channel_a_class(tmp_path):
    classes = np.random.default_rng(0).integers(0, 6, (16, 16), np.uint8)
    for index in range(LEAST_IMAGES):
        Image.fromarray(classes).save(tmp_path / f"{index}.png")
    found = load_calibration(tmp_path, (6, 16, 16))
    np.testing.assert_array_equal(found[0].argmax(0), classes)
    assert (found.sum(1) == 1).all()


def test_arrays_are_taken_as_they_are(tmp_path):
    array = np.random.default_rng(0).normal(size=(5, 4, 4)).astype(np.float32)
    for index in range(LEAST_IMAGES):
        np.save(tmp_path / f"{index}.npy", array)
    np.testing.assert_array_equal(load_calibration(tmp_path, (5, 4, 4))[3], array)


@pytest.mark.parametrize(
    ("count", "shape", "expected"),
    [
        (0, (3, 8, 8), "has 0 inputs .* needs 8"),
        (LEAST_IMAGES - 1, (3, 8, 8), "has 7 inputs"),
        (LEAST_IMAGES, (2, 8, 8), "inputs of 2 channels are .npy files"),
        (LEAST_IMAGES, (6, 8, 8), r"has colours \(RGB\).* maps of 6 classes"),
    ],
)
def test_a_folder_that_does_not_do_is_one_line(count, shape, expected, tmp_path):
    _photos(tmp_path, count)
    with pytest.raises(ExportError, match=expected) as caught:
        load_calibration(tmp_path, shape)
    assert "\n" not in str(caught.value)


def test_photos_are_turned_as_phones_tag_them_and_what_is_no_picture_is_left_out(tmp_path, capsys):
    turned = Image.Exif()
    turned[0x0112] = 3  # upside down
    stored = np.zeros((8, 8, 3), np.uint8)
    stored[:4] = 255
    for index in range(LEAST_IMAGES):
        Image.fromarray(stored).save(tmp_path / f"{index}.JPG", format="PNG", exif=turned)
    (tmp_path / "._0.jpg").write_bytes(b"a Mac's notes")
    (tmp_path / "notes.txt").write_text("no picture")
    found = load_calibration(tmp_path, (3, 8, 8))
    assert (found[:, :, :4] == -1).all()
    assert (found[:, :, 4:] == 1).all()
    assert capsys.readouterr().err == "1 file is no picture and was left out: notes.txt\n"


def test_a_class_map_with_a_negative_index_is_refused(tmp_path):
    for index in range(LEAST_IMAGES):
        Image.fromarray(np.full((8, 8), -1, np.int32)).save(tmp_path / f"{index}.tif")
    with pytest.raises(ExportError, match=r"0\.tif is no map of 6 classes"):
        load_calibration(tmp_path, (6, 8, 8))


def test_other_mistakes_are_one_line(tmp_path):
    with pytest.raises(ExportError, match="there is no folder"):
        load_calibration(tmp_path / "nowhere", (3, 8, 8))
    _photos(tmp_path)
    (tmp_path / "003.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(ExportError, match=r"003\.png is not a readable image"):
        load_calibration(tmp_path, (3, 8, 8))
    np.save(tmp_path / "003.npy", np.zeros((3, 9, 8), np.float32))
    (tmp_path / "003.png").unlink()
    with pytest.raises(ExportError, match=r"003\.npy holds \(3, 9, 8\)"):
        load_calibration(tmp_path, (3, 8, 8))
