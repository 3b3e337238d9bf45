"""Data folders, built-in photos and filter effects."""

import numpy as np
import pytest
from PIL import Image

from pocketgan.errors import DataError
from pocketgan.recipe.choices import Direction
from pocketgan.training.data import builtin
from pocketgan.training.data.builtin import crops
from pocketgan.training.data.images import to_pixels, to_tensor
from pocketgan.training.data.paired import Pair, PairedImages, find_pairs
from pocketgan.training.teachers import filters


def picture(path, size=(16, 8), value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 3), value, np.uint8)
    pixels[:, : size[0] // 2] = 255
    Image.fromarray(pixels).save(path)


def folder(root, layout):
    for split in ("train", "val"):
        for name in ("1.png", "2.png", "3.png"):
            for where in layout:
                picture(root / where.format(split=split) / name)
    return root


@pytest.mark.parametrize("layout", [["{split}"], ["{split}/A", "{split}/B"], ["A/{split}", "B/{split}"]])
def test_every_layout_is_found(tmp_path, layout):
    found = find_pairs(folder(tmp_path, layout))
    assert {split: len(pairs) for split, pairs in found.items()} == {"train": 3, "val": 3}


def test_two_folders_without_splits_keep_every_tenth_for_validation(tmp_path):
    for index in range(20):
        picture(tmp_path / "A" / f"{index:02}.png")
        picture(tmp_path / "B" / f"{index:02}.png")
    found = find_pairs(tmp_path)
    assert [pair.a.stem for pair in found["val"]] == ["00", "10"]
    assert len(found["train"]) == 18


def test_the_direction_says_which_half_is_the_input(tmp_path):
    picture(tmp_path / "x.png")
    directions: dict[Direction, float] = {"AtoB": 1.0, "BtoA": -1.0}
    for direction, value in directions.items():
        sample = PairedImages([Pair(tmp_path / "x.png")], direction, (8, 8)).whole(0)
        assert sample["input"].unique().tolist() == [value]
        assert sample["target"].unique().tolist() == [-value]


def test_input_and_target_are_cropped_and_mirrored_alike(tmp_path):
    left = np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)
    Image.fromarray(np.hstack([left, left])).save(tmp_path / "x.png")
    data = PairedImages([Pair(tmp_path / "x.png")], "AtoB", (8, 8), load_scale=1.5, flip=True)
    for seed in range(8):
        sample = data.sample(0, np.random.default_rng(seed))
        assert sample["input"].equal(sample["target"])


def test_bad_folders_are_named_and_counted(tmp_path):
    with pytest.raises(DataError, match="no data folder"):
        find_pairs(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images for train"):
        find_pairs(tmp_path / "empty")
    unpaired = folder(tmp_path / "unpaired", ["{split}/A", "{split}/B"])
    (unpaired / "train" / "B" / "2.png").unlink()
    with pytest.raises(DataError, match=r"1 image has.*2\.png"):
        find_pairs(unpaired)
    broken = folder(tmp_path / "broken", ["{split}"])
    for name in ("1.png", "3.png"):
        (broken / "val" / name).write_bytes((broken / "val" / name).read_bytes()[:40])
    with pytest.raises(DataError, match="2 files are"):
        find_pairs(broken)
    sizes = folder(tmp_path / "sizes", ["{split}"])
    picture(sizes / "train" / "2.png", size=(20, 8))
    with pytest.raises(DataError, match=r"2\.png \(20x8\).*16x8"):
        find_pairs(sizes)
    halves = folder(tmp_path / "halves", ["{split}/A", "{split}/B"])
    picture(halves / "val" / "A" / "1.png", size=(8, 8))
    with pytest.raises(DataError, match=r"1 pair has.*different sizes"):
        find_pairs(halves)


def test_pixels_survive_the_way_to_tensors_and_back():
    pixels = np.arange(768, dtype=np.uint16).astype(np.uint8).reshape(16, 16, 3)
    assert np.array_equal(to_pixels(to_tensor(pixels)), pixels)


def test_crops_are_deterministic_and_the_splits_never_overlap(monkeypatch):
    shape = (300, 451)
    # red and green carry each pixel's column and row, so that a crop shows where it was cut
    y, x = np.mgrid[: shape[0], : shape[1]]
    coordinates = np.stack([x // 2, y // 2, np.zeros(shape, int)], -1).astype(np.uint8)
    monkeypatch.setattr(builtin, "load_photo", lambda photo: coordinates)
    first, again = crops(128, 20, 20, 7), crops(128, 20, 20, 7)
    assert all(np.array_equal(a, b) for split in first for a, b in zip(first[split], again[split], strict=True))
    assert max(crop[..., 0].max() for crop in first["train"]) < min(crop[..., 0].min() for crop in first["val"]) + 2


def test_the_photos_are_there_and_give_crops_at_every_size():
    for size in (64, 256):
        made = crops(size, 6, 6, 0)
        assert [crop.shape for split in made.values() for crop in split] == [(size, size, 3)] * 12


@pytest.mark.parametrize("effect", filters.EFFECTS)
def test_effects_change_the_picture_the_same_way_every_time(effect):
    photo = crops(96, 1, 1, 0)["train"][0]
    once, twice = filters.apply(effect, photo), filters.apply(effect, photo)
    assert once.shape == photo.shape
    assert once.dtype == np.uint8
    assert np.array_equal(once, twice)
    assert np.abs(once.astype(int) - photo).mean() > 2


def test_an_unknown_effect_names_the_known_ones():
    with pytest.raises(DataError, match="stylization, pencil"):
        filters.apply("sketch", np.zeros((8, 8, 3), np.uint8))
