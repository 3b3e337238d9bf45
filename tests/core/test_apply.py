"""A model on the validation images of a recipe's data: what `pocketgan quality` compares."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from pocketgan.apply import apply_bundle, apply_model, apply_to_validation
from pocketgan.errors import DataError, ModelError
from pocketgan.pairs.making import make_filtered
from pocketgan.pictures import read_image
from pocketgan.recipe.reading import load_recipe
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


def test_pairs_are_cut_as_the_recipe_says(model, tmp_path):
    for split in ("train", "val"):
        picture(tmp_path / "data" / split / "0.png", (32, 128), 0)
    recipe = load_recipe("facades", ["resolution=32", "data.fit=crop"])
    apply_to_validation(model, recipe, tmp_path / "data", tmp_path / "out")
    whole = read_image(tmp_path / "data/val/0.png")
    assert (read_image(tmp_path / "out/target/00000.png") == whole[:, 16:48]).all()  # the centre of the left half


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


@pytest.fixture
def unet(tmp_path):
    """Takes multiples of 128."""
    spec = spec_by_name("unet128", ngf=2)
    save_generator(tmp_path / "unet.safetensors", build(spec), spec, {"trained": "no"})
    return tmp_path / "unet.safetensors"


def sizes(folder):
    return {path.name: Image.open(path).size for path in folder.iterdir()}


def test_what_comes_out_has_the_size_of_what_went_in(unet, tmp_path, capsys):
    for name, size in (("a.png", (100, 300)), ("b.png", (7, 5)), ("c.jpg", (128, 256)), ("long.png", (20, 1500))):
        picture(tmp_path / "pictures" / name, size, 0)
    written = apply_model(unet, tmp_path / "pictures", tmp_path / "out")
    assert written == ["a.png", "b.png", "c.png", "long.png"]
    assert sizes(tmp_path / "out") == {
        "a.png": (300, 100),
        "b.png": (5, 7),
        "c.png": (256, 128),
        "long.png": (1500, 20),
    }
    assert "1 picture is larger than 1024 pixels a side: computed at that size" in capsys.readouterr().err


def test_a_phone_photo_comes_out_upright(unet, tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (64, 32)).save(tmp_path / "pictures" / "phone.jpg", exif=turned)
    apply_model(unet, tmp_path / "pictures", tmp_path / "out")
    assert sizes(tmp_path / "out") == {"phone.png": (32, 64)}


def test_a_pass_that_needs_more_than_the_memory_is_made_smaller_with_a_note(unet, tmp_path, capsys, monkeypatch):
    from pocketgan import apply

    picture(tmp_path / "pictures" / "a.png", (250, 500), 0)
    monkeypatch.setattr(apply, "free_memory", lambda: 8_000_000)
    apply_model(unet, tmp_path / "pictures", tmp_path / "out")
    assert sizes(tmp_path / "out") == {"a.png": (500, 250)}
    assert "a.png: computed at " in capsys.readouterr().err
    monkeypatch.setattr(apply, "free_memory", lambda: 1_000_000)
    apply_model(unet, tmp_path / "pictures", tmp_path / "smaller")
    (size,) = sizes(tmp_path / "smaller").values()
    assert size[0] * size[1] * apply.BYTES_A_PIXEL <= 1_000_000
    assert "a.png: scaled down to " in capsys.readouterr().err


def test_pictures_that_cannot_be_used_are_left_out_with_the_reason(unet, tmp_path, capsys):
    picture(tmp_path / "pictures" / "good.png", (8, 8), 0)
    Image.fromarray(np.full((8, 8), 900, np.uint16)).save(tmp_path / "pictures" / "dim.png")
    (tmp_path / "pictures" / "broken.jpg").write_bytes(b"half")
    assert apply_model(unet, tmp_path / "pictures", tmp_path / "out") == ["good.png"]
    (note,) = capsys.readouterr().err.splitlines()
    assert note.startswith("2 of 3 pictures were left out: ")
    assert "broken.jpg is not a readable image" in note
    assert "dim.png holds 16-bit values of 900" in note
    with pytest.raises(DataError, match=r"dim\.png holds 16-bit"):
        apply_model(unet, tmp_path / "pictures" / "dim.png", tmp_path / "out")


def test_grey_outputs_are_grey_pictures(tmp_path):
    spec = spec_by_name("resnet6", ngf=2, output_channels=1)
    save_generator(tmp_path / "grey.safetensors", build(spec), spec, {"trained": "no"})
    picture(tmp_path / "pictures" / "a.png", (30, 50), 0)
    apply_model(tmp_path / "grey.safetensors", tmp_path / "pictures", tmp_path / "out")
    with Image.open(tmp_path / "out" / "a.png") as image:
        assert (image.mode, image.size) == ("L", (50, 30))


def bundle_of(operator, path, **attributes):
    """A bundle of one ONNX operator that takes 3x24x24."""
    onnx = pytest.importorskip("onnx")
    from pocketgan.foreign.packing import pack_foreign

    channels = 3 if operator == "Identity" else 1
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(operator, ["x"], ["y"], **attributes)],
        "tiny",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 24, 24])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, channels, 24, 24])],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    path.with_suffix(".onnx").write_bytes(
        onnx.helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()
    )
    pack_foreign("onnx", path.with_suffix(".onnx"), path, name="tiny", precision="fp32")
    return path


def test_a_bundle_of_one_size_sees_the_whole_picture(tmp_path, capsys):
    identity = bundle_of("Identity", tmp_path / "identity.pgb")
    (tmp_path / "pictures").mkdir()
    left_and_right = np.zeros((60, 120, 3), np.uint8)
    left_and_right[:, :20], left_and_right[:, 100:] = (255, 0, 0), (0, 0, 255)
    for name, pixels in (("wide", left_and_right), ("tall", left_and_right.transpose(1, 0, 2)[:, :30])):
        Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / "pictures" / f"{name}.png")
    small = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    Image.fromarray(small).save(tmp_path / "pictures" / "exact.png")
    assert apply_bundle(identity, tmp_path / "pictures", tmp_path / "out") == ["exact.png", "tall.png", "wide.png"]
    assert np.array_equal(read_image(tmp_path / "out/exact.png"), small)
    wide, tall = read_image(tmp_path / "out/wide.png"), read_image(tmp_path / "out/tall.png")
    assert (wide.shape, tall.shape) == ((60, 120, 3), (120, 30, 3))
    assert np.abs(wide[:, :12].astype(int) - (255, 0, 0)).max() < 30
    assert np.abs(tall[-12:].astype(int) - (0, 0, 255)).max() < 30
    assert "2 pictures are larger than the 24x24 pixels that onnx-fp32 takes" in capsys.readouterr().err


def test_a_bundle_that_gives_grey_writes_grey(tmp_path):
    mean = bundle_of("ReduceMean", tmp_path / "mean.pgb", axes=[1], keepdims=1)
    picture(tmp_path / "pictures" / "a.png", (24, 24), 0)
    apply_bundle(mean, tmp_path / "pictures", tmp_path / "out")
    with Image.open(tmp_path / "out" / "a.png") as image:
        assert (image.mode, image.size) == ("L", (24, 24))
        expected = read_image(tmp_path / "pictures" / "a.png").mean(2)
        assert np.abs(np.asarray(image) - expected).max() <= 1


def test_pairs_are_made_of_upright_pictures_by_their_centre(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    rows = np.zeros((40, 20, 3), np.uint8)
    rows[:20] = 255  # upright: above white, below black
    (tmp_path / "pictures").mkdir()
    for index in range(2):
        rows[0, 0] = index  # no copies of each other
        # stored with the right side as the first row, the top as the first column
        stored = np.ascontiguousarray(rows.transpose(1, 0, 2)[::-1])
        Image.fromarray(stored).save(tmp_path / "pictures" / f"{index}.png", exif=turned)
    (concept,) = make_filtered(tmp_path / "pictures", tmp_path / "out", ["detail"], 16)
    assert concept.record.counts == {"train": 1, "val": 1}
    for path in (tmp_path / "out/photos").iterdir():
        photo = read_image(path)
        assert photo[:6].min() > 200
        assert photo[-6:].max() < 55


@pytest.mark.heavy
@pytest.mark.parametrize(("name", "ngf"), [("resnet9", 64), ("unet256", 64), ("incres9", 24), ("e2gan", 64)])
def test_a_pass_needs_no_more_memory_than_was_predicted(name, ngf):
    code = (
        "import resource, sys, torch\n"
        "from pocketgan.training.cost import forward_bytes\n"
        "from pocketgan.training.generators import build, grid, spec_by_name\n"
        f"spec = spec_by_name({name!r}, ngf={ngf}, height=512, width=512); network = build(spec).eval()\n"
        "least = grid(spec)[1]\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "with torch.no_grad():\n"
        "    network(torch.zeros(1, 3, least, least)); before = peak()\n"
        "    network(torch.zeros(1, 3, 512, 512)); print(peak() - before, forward_bytes(spec))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    taken, predicted = map(int, done.stdout.split())
    assert 0 < taken <= predicted


@pytest.mark.slow
@pytest.mark.parametrize("command", ["apply", "pairs"])
def test_many_photos_need_no_more_memory_than_the_largest(tmp_path, command):
    identity = bundle_of("Identity", tmp_path / "identity.pgb")
    rough = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    photo = np.asarray(Image.fromarray(rough).resize((1500, 1000))).copy()
    for folder, count in (("one", 2), ("many", 12)):
        (tmp_path / folder).mkdir()
        for index in range(count):
            photo[:20, :20] = 20 * index  # no copies of each other
            Image.fromarray(photo).save(tmp_path / folder / f"{index:02}.jpg", quality=90)
    calls = {
        "apply": f"apply_bundle(Path({str(identity)!r}), images, Path('out'))",
        "pairs": "make_filtered(images, Path('out'), ['detail'], 64)",
    }
    code = (
        "import resource, sys; from pathlib import Path; from pocketgan.apply import apply_bundle\n"
        "from pocketgan.pairs.making import make_filtered\n"
        f"images = Path(sys.argv[1]); Path('out').mkdir(); {calls[command]}\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for folder in ("one", "many"):
        (tmp_path / "work" / folder).mkdir(parents=True)
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / folder)],
            capture_output=True, text=True, check=True, cwd=tmp_path / "work" / folder,
        )  # fmt: skip
        peaks.append(int(done.stdout))
    assert peaks[1] <= 1.1 * peaks[0]


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
