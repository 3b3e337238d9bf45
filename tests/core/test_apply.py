"""A model on the validation images of a recipe's data: what `pocketgan quality` compares."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from pocketgan.apply import apply_model, apply_to_validation
from pocketgan.errors import DataError, ModelError
from pocketgan.recipe.reading import load_recipe
from pocketgan.training.data.images import read_image
from pocketgan.training.generators import build, spec_by_name
from pocketgan.training.generators.files import save_generator

CLASSES = 3


def picture(path, size, seed, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    high, shape = (256, (*size, 3)) if mode == "RGB" else (CLASSES + 1, size)
    Image.fromarray(random.integers(0, high, shape, dtype=np.uint8)).save(path)


@pytest.fixture
def model(tmp_path):
    spec = spec_by_name("incres9", ngf=6, height=32, width=32)
    path = tmp_path / "model.safetensors"
    save_generator(path, build(spec), spec, {"trained": "no"})
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_pairs_become_outputs_and_targets_of_equal_names(model, tmp_path):
    for split, count in (("train", 1), ("val", 3)):
        for index in range(count):
            picture(tmp_path / "data" / split / f"{index}.png", (32, 64), index)
    recipe = load_recipe("facades", ["resolution=32"])
    assert len(apply_to_validation(model, recipe, tmp_path / "data", tmp_path / "out")) == 3
    assert names(tmp_path / "out/output") == names(tmp_path / "out/target") == ["00000.png", "00001.png", "00002.png"]
    whole = read_image(tmp_path / "data/val/1.png")
    assert (read_image(tmp_path / "out/target/00001.png") == whole[:, :32]).all()  # BtoA: the left half is the target


def test_unpaired_targets_are_all_images_of_the_other_domain(model, tmp_path):
    for side, count in (("A", 2), ("B", 4)):
        for split in ("train", "test"):
            for index in range(count):
                picture(tmp_path / "data" / f"{split}{side}" / f"{index}.png", (32, 32), index)
    recipe = load_recipe("cyclegan_cat", ["resolution=32"])
    assert len(apply_to_validation(model, recipe, tmp_path / "data", tmp_path / "out")) == 2
    assert len(names(tmp_path / "out/output")) == 2
    assert len(names(tmp_path / "out/target")) == 4


def test_label_maps_are_written_as_the_network_saw_them(tmp_path):
    for split in ("train", "val"):
        picture(tmp_path / "data" / split / "photo" / "a.png", (64, 64), 0)
        picture(tmp_path / "data" / split / "label" / "a.png", (64, 64), 1, mode="L")
    sets = [f"data.classes={CLASSES}", "data.unknown=channel", "data.instance=false", "resolution=64"]
    recipe = load_recipe("gaugan_cat", sets)
    spec = spec_by_name("incres-spade", ngf=2, height=64, width=64, input_channels=CLASSES + 1)
    save_generator(tmp_path / "model.safetensors", build(spec), spec, {"trained": "no"})
    apply_to_validation(tmp_path / "model.safetensors", recipe, tmp_path / "data", tmp_path / "out")
    written = np.asarray(Image.open(tmp_path / "out/label/00000.png"))
    assert (written == np.asarray(Image.open(tmp_path / "data/val/label/a.png"))).all()


def test_models_and_data_that_do_not_fit_are_refused(model, tmp_path):
    picture(tmp_path / "pictures" / "a.png", (32, 32), 0)
    with pytest.raises(DataError, match="reads no folder"):
        apply_to_validation(model, load_recipe("demo"), tmp_path / "pictures", tmp_path / "out")
    spec = spec_by_name("gaugan", ngf=2, height=64, width=64, input_channels=5)
    save_generator(tmp_path / "labels.safetensors", build(spec), spec, {"trained": "no"})
    with pytest.raises(ModelError, match="5 channels, no pictures"):
        apply_model(tmp_path / "labels.safetensors", tmp_path / "pictures", tmp_path / "out")
    for split in ("train", "val"):
        picture(tmp_path / "data" / split / "a.png", (32, 64), 0)
    recipe = load_recipe("facades", ["resolution=32"])
    with pytest.raises(ModelError, match="takes 5 input channels, the recipe's data has 3"):
        apply_to_validation(tmp_path / "labels.safetensors", recipe, tmp_path / "data", tmp_path / "out")


def test_pictures_are_rounded_to_what_the_network_takes(tmp_path):
    picture(tmp_path / "pictures" / "a.png", (100, 300), 0)
    spec = spec_by_name("unet128", ngf=2)
    save_generator(tmp_path / "unet.safetensors", build(spec), spec, {"trained": "no"})
    apply_model(tmp_path / "unet.safetensors", tmp_path / "pictures", tmp_path / "out")
    assert read_image(tmp_path / "out/a.png").shape == (128, 256, 3)


def test_a_judge_learns_to_tell_classes_and_is_written_for_quality(tmp_path):
    from pocketgan.training.quality.segmentation import Judging, Segmenter, measure_confusion

    data = tmp_path / "data"
    random = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 2)):
        for index in range(count):
            labels = np.kron(random.integers(0, CLASSES, (2, 2)), np.ones((16, 16), int)).astype(np.uint8)
            for side, pixels in (("label", labels), ("photo", np.repeat(labels[..., None] * 100, 3, 2))):
                (data / split / side).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(data / split / side / f"{index}.png")
    out = tmp_path / "judge.onnx"
    options = ["--classes", str(CLASSES), "--size", "32x32", "--steps", "60", "--out", str(out)]
    command = [sys.executable, "-m", "pocketgan.training.quality.judge", str(data), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    score = json.loads(done.stdout.splitlines()[-1])["miou_of_real_photos"]
    assert score > 0.6
    files = [(path, data / "val/label" / path.name) for path in sorted((data / "val/photo").iterdir())]
    confusion = measure_confusion(Segmenter(out), files, Judging("signed", ignore=CLASSES))
    assert confusion.mean() == pytest.approx(score, abs=0.01)
