"""Data folders, built-in photos and filter effects."""

import unicodedata

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


def test_images_without_a_partner_are_told_in_a_whole_sentence(tmp_path):
    for side, names in (("A", "abcdefg"), ("B", "ab")):
        for name in names:
            picture(tmp_path / side / f"{name}.png")
    a, b = tmp_path / "A", tmp_path / "B"
    alone = ", ".join(str(a / f"{name}.png") for name in "cdefg")
    with pytest.raises(DataError) as told:
        find_pairs(tmp_path)
    assert str(told.value) == f"5 images have no partner of the same name in {a} and {b}: {alone}"


def test_a_folder_without_images_tells_what_it_holds(tmp_path):
    (tmp_path / "train").mkdir()
    for name in ("one.avi", "two.AVI", "film.mov", ".hidden.avi"):
        (tmp_path / "train" / name).write_bytes(b"no image that is read here")
    with pytest.raises(DataError, match=r"2 \.avi, 1 \.mov\), which are not read: convert them to JPEG or PNG"):
        find_pairs(tmp_path)


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
    odd = folder(tmp_path / "odd", ["{split}"])
    picture(odd / "train" / "2.png", size=(15, 8))
    with pytest.raises(DataError, match=r"1 side-by-side image has an odd width .*: .*2\.png \(15x8\)$"):
        find_pairs(odd)
    halves = folder(tmp_path / "halves", ["{split}/A", "{split}/B"])
    picture(halves / "val" / "A" / "1.png", size=(8, 8))
    with pytest.raises(DataError, match=r"1 pair has.*different sizes"):
        find_pairs(halves)


def test_side_by_side_images_of_any_sizes_are_each_halved_and_resized(tmp_path):
    pairs = folder(tmp_path, ["{split}"])
    for name, size in (("2.png", (40, 8)), ("3.png", (6, 50))):
        picture(pairs / "train" / name, size)
    data = PairedImages(find_pairs(pairs)["train"], "AtoB", (8, 8))
    for index in range(3):
        sample = data.whole(index)
        assert [(side.shape, side.unique().tolist()) for side in sample.values()] == [
            ((3, 8, 8), [1.0]),
            ((3, 8, 8), [-1.0]),
        ]


def columns(size):
    """Grey pixels of (height, width): 5 times the number of the column, or of the row where there are more of those."""
    height, width = size
    ramp = 5 * np.arange(max(size), dtype=np.uint8)
    grey = np.tile(ramp, (height, 1)) if width > height else np.tile(ramp[:, None], (1, width))
    return np.repeat(grey[..., None], 3, 2)


@pytest.mark.parametrize(("size", "middle"), [((8, 24), np.s_[:, 8:16]), ((20, 8), np.s_[6:14])])
def test_images_that_keep_their_proportions_are_cut_in_the_centre_to_validate(tmp_path, size, middle):
    left = columns(size)
    Image.fromarray(np.hstack([left, 255 - left])).save(tmp_path / "x.png")
    sample = PairedImages([Pair(tmp_path / "x.png")], "AtoB", (8, 8), fit="crop").whole(0)
    assert np.array_equal(to_pixels(sample["input"]), left[middle])
    assert np.array_equal(to_pixels(sample["target"]), 255 - left[middle])


def test_images_that_keep_their_proportions_are_cut_anywhere_to_train(tmp_path):
    left = columns((8, 24))
    Image.fromarray(np.hstack([left, 255 - left])).save(tmp_path / "x.png")
    data = PairedImages([Pair(tmp_path / "x.png")], "AtoB", (8, 8), fit="crop", part=(4, 4))
    starts = set()
    for seed in range(200):
        sample = data.sample(0, np.random.default_rng(seed))
        pixels = to_pixels(sample["input"])
        start = int(pixels[0, 0, 0]) // 5
        starts.add(start)
        assert np.array_equal(pixels, left[:4, start : start + 4])
        assert np.array_equal(to_pixels(sample["target"]), 255 - pixels)
    assert starts == set(range(21))


def test_a_phone_photo_and_its_upright_copy_are_a_pair(tmp_path):
    upright = np.zeros((8, 16, 3), np.uint8)
    upright[:, :8] = 255
    turned = Image.Exif()
    turned[0x0112] = 6  # the first row is the right side, the first column the top
    for split in ("train", "val"):
        for side in "AB":
            (tmp_path / split / side).mkdir(parents=True)
        stored = np.ascontiguousarray(upright.transpose(1, 0, 2)[::-1])
        Image.fromarray(stored).save(tmp_path / split / "A" / "1.png", exif=turned)
        Image.fromarray(upright).save(tmp_path / split / "B" / "1.png")
    sample = PairedImages(find_pairs(tmp_path)["train"], "AtoB", (8, 16)).whole(0)
    assert sample["input"].equal(sample["target"])


def test_partners_are_found_however_their_names_are_spelt(tmp_path):
    for side, name in (("A", unicodedata.normalize("NFC", "naïve")), ("B", unicodedata.normalize("NFD", "naïve"))):
        for index in range(2):
            picture(tmp_path / side / f"{name}{index}.png")
    assert len(find_pairs(tmp_path)["train"]) == 1


def test_two_images_of_one_name_on_one_side_are_refused(tmp_path):
    for name in ("A/1.png", "A/1.jpg", "B/1.png"):
        picture(tmp_path / name)
    with pytest.raises(DataError, match=r"A holds 1\.jpg and 1\.png, two images of one name"):
        find_pairs(tmp_path)


def test_pictures_of_unknown_range_are_refused_before_training(tmp_path):
    pairs = folder(tmp_path, ["{split}"])
    Image.fromarray(np.full((8, 16), 200, np.uint16)).save(pairs / "train" / "2.png")
    with pytest.raises(DataError, match=r"2\.png holds 16-bit values of 200 at most"):
        find_pairs(pairs)


def test_pixels_survive_the_way_to_tensors_and_back():
    pixels = np.arange(768, dtype=np.uint16).astype(np.uint8).reshape(16, 16, 3)
    assert np.array_equal(to_pixels(to_tensor(pixels)), pixels)


def test_crops_are_deterministic_and_no_photo_is_in_both_splits(monkeypatch):
    # each photo is one shade of its own, so that a crop shows where it was cut
    shades = {photo.path: 20 * index for index, photo in enumerate(builtin.PHOTOS)}
    monkeypatch.setattr(builtin, "load_photo", lambda photo: np.full((300, 451, 3), shades[photo.path] + 1, np.uint8))
    first, again = crops(128, 20, 20, 7), crops(128, 20, 20, 7)
    assert all(np.array_equal(a, b) for split in first for a, b in zip(first[split], again[split], strict=True))
    seen = {split: {int(crop[0, 0, 0]) for crop in cut} for split, cut in first.items()}
    assert not seen["train"] & seen["val"]
    assert len(seen["train"] | seen["val"]) == len(builtin.PHOTOS)


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


def test_ink_is_white_paper_on_a_flat_picture_and_dark_along_an_edge():
    flat = np.full((64, 64, 3), 128, np.uint8)
    assert (filters.apply("ink", flat) == filters.PAPER).all()
    flat[:, :32], flat[:, 32:] = 100, 220
    drawn = filters.apply("ink", flat)
    assert (drawn[:, 28:32].min(axis=(1, 2)) < 100).all()
    assert (drawn[:, :16] == filters.PAPER).all()
    assert (drawn[:, 48:] == filters.PAPER).all()


def test_ink_depends_on_near_pixels_alone():
    photo = crops(96, 1, 1, 0)["train"][0]
    changed = photo.copy()
    changed[:, 60:] = 255 - changed[:, 60:]
    before, after = (filters.apply("ink", pixels) for pixels in (photo, changed))
    assert np.array_equal(before[:, : 60 - filters.REACH], after[:, : 60 - filters.REACH])
    assert not np.array_equal(before[:, 60 - filters.REACH : 60], after[:, 60 - filters.REACH : 60])


def test_an_unknown_effect_names_the_known_ones():
    with pytest.raises(DataError, match="stylization, pencil"):
        filters.apply("sketch", np.zeros((8, 8, 3), np.uint8))
