"""Unpaired and label-map folders: layouts, encodings, and what is wrong with a folder."""

import numpy as np
import pytest
import torch
from PIL import Image

from pocketgan.errors import DataError
from pocketgan.training.data.images import to_pixels
from pocketgan.training.data.labels import LabelFormat, LabelMaps, Scene, edges, find_scenes
from pocketgan.training.data.samples import Crop
from pocketgan.training.data.unpaired import Image as UnpairedImage
from pocketgan.training.data.unpaired import UnpairedImages, find_domains


def picture(path, value=0, size=(16, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0], 3), value, np.uint8)).save(path)


def index_map(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values)).save(path)


def domains(root, layout, names=("train", "val")):
    for split in names:
        for side, count in (("A", 3), ("B", 2)):
            for index in range(count):
                picture(root / layout.format(split=split, side=side) / f"{side}{index}.png")
    return root


@pytest.mark.parametrize("layout", ["{split}{side}", "{split}/{side}", "{side}/{split}"])
@pytest.mark.parametrize("names", [("train", "val"), ("train", "test")])
def test_every_unpaired_layout_is_found_whatever_the_counts(tmp_path, layout, names):
    found = find_domains(domains(tmp_path, layout, names))
    assert {s: {side: len(images) for side, images in d.items()} for s, d in found.items()} == {
        "train": {"A": 3, "B": 2},
        "val": {"A": 3, "B": 2},
    }


def test_side_by_side_images_and_bare_folders_are_domains_too(tmp_path):
    for split in ("train", "val"):
        picture(tmp_path / "halves" / split / "1.png")
    found = find_domains(tmp_path / "halves")["train"]
    assert [found["A"][0].half, found["B"][0].half] == ["left", "right"]
    assert found["A"][0].pixels().shape == (8, 8, 3)
    for index in range(20):
        picture(tmp_path / "bare" / "A" / f"{index:02}.png")
    picture(tmp_path / "bare" / "B" / "x.png")
    picture(tmp_path / "bare" / "B" / "y.png")
    bare = find_domains(tmp_path / "bare")
    assert [len(bare[split][side]) for split in ("train", "val") for side in "AB"] == [18, 1, 2, 1]


def test_an_epoch_shows_the_larger_domain_and_partners_are_drawn(tmp_path):
    for index in range(5):
        picture(tmp_path / "trainA" / f"{index}.png", index)
    for index in range(3):
        picture(tmp_path / "trainB" / f"{index}.png", 100 + index)
    domains(tmp_path, "{split}{side}", ("test",))
    data = UnpairedImages(find_domains(tmp_path)["train"], "AtoB", (8, 8))
    shown = [data.sample(i % len(data), np.random.default_rng(i)) for i in range(60)]
    assert len(data) == 5
    assert len({s["input"].max().item() for s in shown}) == 5
    partners = {(s["input"].max().item(), s["target"].max().item()) for s in shown}
    assert len(partners) == 15
    back = UnpairedImages(find_domains(tmp_path)["train"], "BtoA", (8, 8))
    assert back.whole(0)["input"].max() > data.whole(0)["input"].max()


def test_bad_unpaired_folders_are_told(tmp_path):
    with pytest.raises(DataError, match="no data folder"):
        find_domains(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images of A for train"):
        find_domains(tmp_path / "empty")
    one_sided = domains(tmp_path / "one", "{split}{side}")
    for path in (one_sided / "valB").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="no images of B for val"):
        find_domains(one_sided)
    broken = domains(tmp_path / "broken", "{split}{side}")
    (broken / "trainA" / "A0.png").write_bytes(b"half")
    with pytest.raises(DataError, match=r"1 file is not readable .*: .*A0\.png"):
        find_domains(broken)


def scenes(root, layout="{split}/{side}", sides=("photo", "label"), classes=4):
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("1", "2", "3"):
            for side in sides:
                path = root / layout.format(split=split, side=side) / f"{name}.png"
                if side == "photo":
                    picture(path.with_suffix(".jpg"), 100)
                elif side == "label":
                    index_map(path, random.integers(0, classes + 1, (8, 16), np.uint8))
                else:
                    index_map(path, random.integers(0, 40000, (8, 16), np.uint16))
    return root


@pytest.mark.parametrize("layout", ["{split}/{side}", "{side}/{split}"])
@pytest.mark.parametrize("instance", [False, True])
def test_every_label_layout_is_found(tmp_path, layout, instance):
    sides = ("photo", "label", "instance")[: 2 + instance]
    found = find_scenes(scenes(tmp_path, layout, sides), LabelFormat(4, instance=instance))
    assert {split: len(items) for split, items in found.items()} == {"train": 3, "val": 3}
    assert found["train"][0].label.name == "1.png"
    assert (found["train"][0].instance is not None) == instance


def test_label_folders_without_splits_keep_every_tenth(tmp_path):
    for index in range(20):
        picture(tmp_path / "photo" / f"{index:02}.png")
        index_map(tmp_path / "label" / f"{index:02}.png", np.zeros((8, 16), np.uint8))
    assert len(find_scenes(tmp_path, LabelFormat(1))["val"]) == 2


def test_labels_become_one_hot_with_unknown_apart_or_nowhere():
    labels = np.array([[0, 1, 2, 3, 255]], np.uint8)
    own = LabelFormat(3).encode(labels, None)
    assert own.shape == (LabelFormat(3).channels, 1, 5) == (4, 1, 5)
    assert own.argmax(0).tolist() == [[0, 1, 2, 3, 3]]
    assert own.sum(0).tolist() == [[1] * 5]
    nowhere = LabelFormat(3, unknown="zero").encode(labels, None)
    assert nowhere.shape == (3, 1, 5)
    assert nowhere.sum(0).tolist() == [[1, 1, 1, 0, 0]]


def test_cityscapes_has_36_channels():
    form = LabelFormat(35, unknown="zero", instance=True)
    assert form.channels == 36
    assert form.encode(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint16)).shape == (36, 4, 4)


def test_edges_lie_on_both_sides_of_a_border():
    instances = np.zeros((5, 6), int)
    instances[2:, 3:] = 24001
    assert edges(instances).tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 1, 1, 1],
        [0, 0, 1, 1, 1, 1],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 1, 1, 0, 0],
    ]


def test_labels_are_resized_without_mixing_and_cropped_with_the_photo(tmp_path):
    labels = np.repeat(np.repeat(np.random.default_rng(1).integers(0, 4, (6, 6), np.uint8), 8, 0), 8, 1)
    index_map(tmp_path / "label.png", labels)
    Image.fromarray(np.repeat(labels[..., None] * 60, 3, 2)).save(tmp_path / "photo.png")
    scene = Scene(tmp_path / "photo.png", tmp_path / "label.png")
    data = LabelMaps([scene], LabelFormat(4), (32, 32), load_scale=1.5, flip=True)
    for seed in range(6):
        sample = data.sample(0, np.random.default_rng(seed))
        assert sample["input"].dtype == torch.uint8
        assert sample["input"].sum(0).unique().tolist() == [1]
        photo = ((sample["target"][0] + 1) * 127.5 / 60).round()
        assert torch.equal(photo.long(), sample["input"].argmax(0))
    assert data.whole(0)["input"].dtype == torch.float32


def test_labels_and_instances_that_keep_their_proportions_are_cut_with_their_photo(tmp_path):
    across = np.tile(np.arange(12, dtype=np.uint8), (4, 1))
    index_map(tmp_path / "label.png", across)
    index_map(tmp_path / "instance.png", across // 6)
    Image.fromarray(np.repeat(across[..., None] * 20, 3, 2)).save(tmp_path / "photo.png")
    scene = Scene(tmp_path / "photo.png", tmp_path / "label.png", tmp_path / "instance.png")
    data = LabelMaps([scene], LabelFormat(12, unknown="zero", instance=True), (4, 4), flip=True, fit="crop")
    centre = data.whole(0)
    assert data.indices(centre["input"]).tolist() == [[4, 5, 6, 7]] * 4
    assert centre["input"][-1].tolist() == [[0, 1, 1, 0]] * 4
    seen = set()
    for seed in range(100):
        sample = data.sample(0, np.random.default_rng(seed))
        classes = data.indices(sample["input"])
        seen |= set(classes.ravel().tolist())
        assert np.abs(np.diff(classes[0].astype(int))).tolist() == [1, 1, 1]
        assert torch.equal(((sample["target"][0] + 1) * 127.5 / 20).round().long(), torch.from_numpy(classes).long())
    assert seen == set(range(12))


def test_unpaired_images_keep_their_own_proportions(tmp_path):
    ramp = np.arange(24, dtype=np.uint8)[:, None, None].repeat(8, 1).repeat(3, 2)
    Image.fromarray(ramp).save(tmp_path / "tall.png")
    Image.fromarray(ramp.transpose(1, 0, 2)).save(tmp_path / "wide.png")
    sides = {"A": [UnpairedImage(tmp_path / "tall.png")], "B": [UnpairedImage(tmp_path / "wide.png")]}
    data = UnpairedImages(sides, "AtoB", (8, 8), fit="crop")
    whole = {name: to_pixels(tensor)[..., 0].tolist() for name, tensor in data.whole(0).items()}
    assert whole == {"input": [[row] * 8 for row in range(8, 16)], "target": [list(range(8, 16))] * 8}
    samples = [data.sample(0, np.random.default_rng(seed)) for seed in range(100)]
    firsts = {(int(to_pixels(s["input"])[0, 0, 0]), int(to_pixels(s["target"])[0, 0, 0])) for s in samples}
    assert {first for first, _ in firsts} == {first for _, first in firsts} == set(range(17))
    assert any(first != second for first, second in firsts)


def test_an_image_is_resized_in_its_proportions_until_it_covers_what_is_loaded():
    # 1.5 times 16x32 is 24x48, which an image of 10x12 covers at 40x48, and one of 30x90 at 24x72.
    random = np.random.default_rng(0)
    drawn = [Crop.draw((16, 32), 1.5, False, random, source=source) for source in ((10, 12), (30, 90))]
    assert [(crop.tall, crop.wide, crop.size) for crop in drawn] == [(40, 48, (16, 32)), (24, 72, (16, 32))]
    assert Crop.whole((16, 32), (10, 12)) == Crop((16, 32), 27, 32, top=5, left=0)
    assert Crop.whole((16, 32)) == Crop((16, 32), 16, 32)


def test_sixteen_bit_instances_keep_their_numbers(tmp_path):
    index_map(tmp_path / "instance.png", np.array([[24001, 24002], [24001, 24002]], np.uint16))
    index_map(tmp_path / "label.png", np.zeros((2, 2), np.uint8))
    picture(tmp_path / "photo.png", size=(2, 2))
    scene = Scene(tmp_path / "photo.png", tmp_path / "label.png", tmp_path / "instance.png")
    assert LabelMaps([scene], LabelFormat(1, instance=True), (2, 2)).whole(0)["input"][-1].tolist() == [[1, 1], [1, 1]]


def test_a_label_map_is_shown_in_colours():
    form = LabelFormat(3, instance=True)
    labels, instances = np.array([[0, 1, 2, 255]] * 2, np.uint8), np.array([[0, 0, 0, 9]] * 2)
    view = LabelMaps([], form, (2, 4)).view(torch.from_numpy(form.encode(labels, instances)))
    assert view.shape == (2, 4, 3)
    assert len({tuple(pixel) for pixel in view[0, :2]}) == 2
    assert view[0, 3].tolist() == [255, 255, 255]


def test_crops_stay_inside_and_mirror_half_of_the_images():
    drawn = [Crop.draw((8, 16), 1.25, True, np.random.default_rng(seed)) for seed in range(200)]
    assert {crop.top for crop in drawn} == {0, 1, 2}
    assert {crop.left for crop in drawn} == {0, 1, 2, 3, 4}
    assert 60 < sum(crop.mirror for crop in drawn) < 140


def test_bad_label_folders_are_told(tmp_path):
    with pytest.raises(DataError, match="no data folder"):
        find_scenes(tmp_path / "missing", LabelFormat(4))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="train/photo/ and train/label/"):
        find_scenes(tmp_path / "empty", LabelFormat(4))
    alone = scenes(tmp_path / "alone")
    (alone / "val" / "label" / "2.png").unlink()
    with pytest.raises(DataError, match=r"1 image has.*2\.jpg"):
        find_scenes(alone, LabelFormat(4))
    with pytest.raises(DataError, match=r"no folder .*instance"):
        find_scenes(scenes(tmp_path / "instances"), LabelFormat(4, instance=True))
    with pytest.raises(DataError, match=r"an index above data.classes 2: classes are 0 to 1, and 2 or 255"):
        find_scenes(scenes(tmp_path / "many"), LabelFormat(2))
    coloured = scenes(tmp_path / "coloured")
    picture(coloured / "train" / "label" / "1.png")
    with pytest.raises(DataError, match=r"1 label map is a colour image: .*1\.png; a label map"):
        find_scenes(coloured, LabelFormat(4))
    negative = scenes(tmp_path / "negative")
    (negative / "val" / "label" / "3.png").unlink()
    index_map(negative / "val" / "label" / "3.tif", np.full((8, 16), -1, np.int32))
    with pytest.raises(DataError, match=r"1 label map holds a negative index: classes are 0 to 3, .*3\.tif \(-1\)"):
        find_scenes(negative, LabelFormat(4))
    rainbow = scenes(tmp_path / "rainbow", sides=("photo", "label", "instance"))
    picture(rainbow / "train" / "instance" / "2.png")
    with pytest.raises(DataError, match=r"1 instance map is a colour image: .*2\.png; an instance map"):
        find_scenes(rainbow, LabelFormat(4, instance=True))
    sizes = scenes(tmp_path / "sizes")
    picture(sizes / "train" / "photo" / "1.jpg", size=(8, 8))
    with pytest.raises(DataError, match=r"1 scene has.*different sizes"):
        find_scenes(sizes, LabelFormat(4))
