"""Teachers that pocketgan did not train draw pictures; what does not fit is told before the long work."""

from __future__ import annotations

import hashlib
import json
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from pocketgan import console
from pocketgan.cli import app
from pocketgan.errors import ModelError, PocketganError
from pocketgan.foreign.packing import pack_foreign
from pocketgan.foreign.teacher import open_teacher, teacher_files
from pocketgan.pictures import read_image, write_image
from pocketgan.recipe.reading import load_recipe
from pocketgan.training.data.paired import find_pairs

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

SIDE = 32


def model(path, nodes, shape, out=None, dtype=TensorProto.FLOAT, values=(), outputs=("y",)):
    """An ONNX file from `x` to `y`; `nodes` are (operator, inputs, output), `values` constants by name."""
    graph = helper.make_graph(
        [helper.make_node(operator, given, [made], **more) for operator, given, made, more in nodes],
        "tiny",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info(name, dtype, out or shape) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path.write_bytes(made.SerializeToString())
    return str(path)


def affine(path, scale, shift):
    """scale * x + shift."""
    nodes = [("Mul", ["x", "scale"], "a", {}), ("Add", ["a", "shift"], "y", {})]
    values = [("scale", np.float32(scale)), ("shift", np.float32(shift))]
    return model(path, nodes, [1, 3, SIDE, SIDE], values=values)


def negative(path, white, shape=(1, 3, SIDE, SIDE)):
    """Colours exchanged for their opposites: white - x, in the range from 0 (or, of 0, from -1 to 1) on."""
    return model(path, [("Sub", ["white", "x"], "y", {})], list(shape), values=[("white", np.float32(white))])


def pictures(count=5, height=SIDE, width=SIDE):
    """Of every level from black to white."""
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (height, width, 3), np.uint8) for _ in range(count)]


def drawn(name, given=None, size=(SIDE, SIDE), **more):
    with open_teacher(str(name), size, **more) as teacher:
        return list(teacher.draw(pictures() if given is None else given))


def assert_negatives(made):
    for before, after in zip(pictures(len(made)), made, strict=True):
        assert after.dtype == np.uint8
        assert np.abs(255 - before.astype(int) - after).max() <= 1


@pytest.mark.parametrize("shape", [(1, 3, SIDE, SIDE), ("n", 3, "h", "w"), (1, SIDE, SIDE, 3), (None, None, None, 3)])
@pytest.mark.parametrize(("white", "told"), [(0.0, None), (255.0, (0.0, 255.0)), (1.0, (0.0, 1.0))])
def test_an_onnx_file_draws_whatever_its_layout_and_its_range(shape, white, told, tmp_path):
    made = drawn(negative(tmp_path / "m.onnx", white, shape), value_range=told)
    assert len(made) == 5
    assert_negatives(made)


def test_bytes_need_no_range(tmp_path):
    name = model(tmp_path / "m.onnx", [("BitwiseNot", ["x"], "y", {})], [1, SIDE, SIDE, 3], dtype=TensorProto.UINT8)
    assert_negatives(drawn(name))


def test_overshoot_is_clamped(tmp_path):
    """As public style networks of [0, 255] do: from -20 to 275."""
    nodes = [("Mul", ["x", "scale"], "a", {}), ("Sub", ["a", "below"], "y", {})]
    name = model(
        tmp_path / "m.onnx",
        nodes,
        [1, 3, SIDE, SIDE],
        values=[("scale", np.float32(295 / 255)), ("below", np.float32(20.0))],
    )
    grey, black, white = (np.full((SIDE, SIDE, 3), level, np.uint8) for level in (100, 0, 255))
    made = drawn(name, [grey, black, white], value_range=(0, 255))
    assert [int(picture[0, 0, 0]) for picture in made] == [round(100 * 295 / 255 - 20), 0, 255]


def test_a_bundle_draws_by_its_own_contract(tmp_path):
    name = negative(tmp_path / "m.onnx", 255.0)
    pack_foreign("onnx", tmp_path / "m.onnx", tmp_path / "m.pgb", name="m", precision="fp32", value_range=(0, 255))
    assert_negatives(drawn(tmp_path / "m.pgb"))
    with pytest.raises(ModelError, match=r"m\.pgb says its range itself"):
        drawn(tmp_path / "m.pgb", value_range=(0, 255))
    with open_teacher(name, (SIDE, SIDE), value_range=(0, 255)) as teacher:
        assert teacher.bundle is not None
        assert teacher.bundle.is_file()


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The working folder holds a module `drawers` with that code."""

    def write(code):
        (tmp_path / "drawers.py").write_text("import torch\nfrom torch import nn\n" + code)
        monkeypatch.chdir(tmp_path)
        monkeypatch.delitem(sys.modules, "drawers", raising=False)
        monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    return write


NEGATIVE = """
class Negative(nn.Module):
    def forward(self, x):
        assert not self.training
        return -x * 1.5
def negative():
    return Negative()
def enlarge():
    return nn.Upsample(scale_factor=2)
"""


def test_a_function_draws_in_eval_mode_and_its_file_is_named(own, capsys, tmp_path):
    own(NEGATIVE)
    grey = np.full((SIDE, SIDE, 3), 102, np.uint8)  # -0.2, so that 0.3 comes out, which is 165.75
    (made,) = drawn("drawers:negative", [grey])
    assert made[0, 0, 0] == 166
    assert f"teacher: calling drawers:negative, a function of {tmp_path / 'drawers.py'}" in capsys.readouterr().err
    with pytest.raises(ModelError, match="drawers:enlarge makes 1x3x64x64 of an input of 1x3x32x32"):
        drawn("drawers:enlarge")


def test_a_model_file_draws(tmp_path):
    import torch

    from pocketgan.training.data.images import to_pixels, to_tensor
    from pocketgan.training.generators import build, spec_by_name
    from pocketgan.training.generators.files import save_generator

    spec = spec_by_name("resnet6", ngf=2)
    network = build(spec)
    save_generator(tmp_path / "m.safetensors", network, spec, {"trained": "yes"})
    given = pictures(1, 32, 48)
    (made,) = drawn(tmp_path / "m.safetensors", given, (32, 48))
    with torch.no_grad():
        expected = to_pixels(network.eval()(to_tensor(given[0])[None])[0])
    assert np.abs(made.astype(int) - expected).max() <= 1
    with pytest.raises(ModelError, match=r"multiples of 4 .*change `resolution` in the recipe, --size"):
        drawn(tmp_path / "m.safetensors", given, (30, 48))


def test_an_origin_names_the_file_and_its_bytes(tmp_path, own):
    own(NEGATIVE)
    name = negative(tmp_path / "m.onnx", 0.0)
    for teacher, kind, file in ((name, "onnx", tmp_path / "m.onnx"), ("drawers:negative", "function", "drawers.py")):
        with open_teacher(teacher, (SIDE, SIDE)) as opened:
            origin = opened.origin
        content = (tmp_path / file).read_bytes()
        assert (origin.kind, origin.sha256) == (kind, hashlib.sha256(content).hexdigest())
        assert origin.file == ("m.onnx" if kind == "onnx" else "drawers:negative")
        assert teacher_files(teacher) == [tmp_path / file]


def test_a_range_that_does_not_fit_is_told_with_the_one_that_does(tmp_path):
    name = negative(tmp_path / "m.onnx", 255.0)
    with pytest.raises(ModelError, match=r"values from 254 to 256, .* was assumed; .*--range 0,255, in a recipe"):
        drawn(name)
    with pytest.raises(ModelError, match=r"0 \(black\) to 1 \(white\) is its range; .*--range 0,255"):
        drawn(name, value_range=(0, 1))


def squashed(path, operator):
    return model(path, [(operator, ["x"], "y", {})], [1, 3, SIDE, SIDE])


def test_values_between_0_and_1_are_doubted_and_believed_once_they_are_said(tmp_path):
    name = squashed(tmp_path / "m.onnx", "Sigmoid")
    with pytest.raises(ModelError, match=r"from 0\.269 to 0\.731, where -1 .* was assumed; .*--range 0,1"):
        drawn(name)
    assert len(drawn(name, value_range=(-1, 1))) == 5
    assert len(drawn(name, value_range=(0, 1))) == 5
    assert len(drawn(name, pictures(1))) == 1  # one picture may well be bright
    with pytest.raises(ModelError, match=r"0 \(black\) to 255 \(white\) is its range; .*--range 0,1"):
        drawn(name, value_range=(0, 255))


def test_normalised_outputs_are_no_range(tmp_path):
    """ImageNet's mean and deviation bring photos from -2.1 to 2.6."""
    nodes = [("Mul", ["x", "scale"], "a", {}), ("Add", ["a", "shift"], "y", {})]
    name = model(
        tmp_path / "m.onnx",
        nodes,
        [1, 3, SIDE, SIDE],
        values=[("scale", np.float32(2.35)), ("shift", np.float32(0.25))],
    )
    with pytest.raises(ModelError, match=r"from -2\.1 to 2\.6, .*ImageNet's.* function that undoes it"):
        drawn(name)


def test_every_other_mistake_is_one_line(tmp_path):
    x = [1, 3, SIDE, SIDE]
    both = [("Neg", ["x"], one, {}) for one in ("y", "z")]
    doubled = [("Concat", ["x", "x"], "y", {"axis": 1})]
    enlarged = [("Concat", ["x"] * 4, "a", {"axis": 1}), ("DepthToSpace", ["a"], "y", {"blocksize": 2})]
    (tmp_path / "text.onnx").write_text("no model")
    expected = {
        negative(tmp_path / "fixed.onnx", 0.0, (1, 3, 24, 24)): "fixed.onnx takes pictures of 24x24 pixels alone, not "
        "32x32: set `resolution: 24` in the recipe, --size 24 in `pairs make`",
        negative(tmp_path / "wide.onnx", 0.0, (1, 24, 40, 3)): "`resolution: [24, 40]` in the recipe",
        negative(tmp_path / "four.onnx", 0.0, (1, 4, SIDE, SIDE)): "four.onnx takes 4 channels",
        negative(tmp_path / "batch.onnx", 0.0, (4, 3, SIDE, SIDE)): "takes batches of 4",
        negative(tmp_path / "flat.onnx", 0.0, (1, 99)): "flat.onnx takes 1x99; a teacher takes one picture",
        model(tmp_path / "two.onnx", both, x, outputs=("y", "z")): "gives 2 outputs (y, z)",
        model(tmp_path / "labels.onnx", doubled, x, [1, 6, SIDE, SIDE]): "labels.onnx gives 1x6x32x32",
        model(tmp_path / "large.onnx", enlarged, x, [1, 3, 64, 64]): "large.onnx makes 64x64 pixels of 32x32",
        squashed(tmp_path / "nan.onnx", "Log"): "not finite numbers",
        str(tmp_path / "text.onnx"): "is no ONNX model",
        str(tmp_path / "none.onnx"): "there is no teacher",
        str(tmp_path / "w.pth"): "there is no file",
        "mosaic": "there is no teacher 'mosaic': give FILE.onnx, FILE.pgb",
        "nowhere:net": "there is no module nowhere",
    }
    for name, words in expected.items():
        with pytest.raises(PocketganError) as error:
            drawn(name)
        assert words in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(ModelError, match="a range is black and white"):
        drawn(tmp_path / "fixed.onnx", value_range=(1, 0))


def test_a_teacher_that_teaches_nothing_is_noted_after_drawing(tmp_path, capsys):
    grey = affine(tmp_path / "grey.onnx", 0.001, 0)
    drawn(grey)
    assert "teacher: grey.onnx drew one colour, or nearly, in every picture" in capsys.readouterr().err
    same = squashed(tmp_path / "same.onnx", "Identity")
    drawn(same)
    assert "teacher: same.onnx gave every picture back as it was" in capsys.readouterr().err
    drawn(negative(tmp_path / "m.onnx", 0.0))
    drawn(same, [np.full((SIDE, SIDE, 3), 50, np.uint8)])  # a picture of one colour says nothing
    assert capsys.readouterr().err == ""


def test_a_network_of_one_channel_draws_grey_pictures(tmp_path):
    nodes = [("ReduceMean", ["x", "axes"], "y", {"keepdims": 1})]
    name = model(tmp_path / "m.onnx", nodes, [1, 3, SIDE, SIDE], [1, 1, SIDE, SIDE], values=[("axes", [1])])
    for before, after in zip(pictures(), drawn(name), strict=True):
        assert after.shape == (SIDE, SIDE, 3)
        assert np.abs(before.mean(2, keepdims=True) - after).max() <= 1


def test_a_large_folder_is_streamed(tmp_path):
    given = []

    def endless():
        for picture in pictures(100):
            given.append(0)
            yield picture

    with open_teacher(negative(tmp_path / "m.onnx", 0.0), (SIDE, SIDE)) as teacher:
        made = teacher.draw(endless())
        for _ in range(10):
            next(made)
        assert len(given) == 10


def photos(folder, count=3):
    folder.mkdir()
    for index, pixels in enumerate(pictures(count, SIDE + 8, SIDE + 20)):
        write_image(folder / f"{index}.png", pixels)


def made_pairs(*arguments):
    return CliRunner().invoke(app, ["pairs", "make", "photos", "--out", "pairs", "--size", str(SIDE), *arguments])


@pytest.mark.parametrize(
    ("teacher", "more", "name"),
    [
        ("my mosaic.onnx", ["--range", "0,255"], "my-mosaic"),
        ("m.pgb", ["--concept", "opposite"], "opposite"),
        ("drawers:negative", [], "negative"),
    ],
)
def test_pairs_are_made_by_any_teacher_and_their_recipe_says_by_which(teacher, more, name, tmp_path, own):
    own(NEGATIVE.replace(" * 1.5", ""))
    photos(tmp_path / "photos")
    negative(tmp_path / "my mosaic.onnx", 255.0)
    negative(tmp_path / "m.onnx", 0.0)
    pack_foreign("onnx", tmp_path / "m.onnx", tmp_path / "m.pgb", name="m", precision="fp32")
    console.use_json()
    done = made_pairs("--teacher", teacher, *more)
    console.use_json(False)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["train"], told["val"], told["recipe"]) == (2, 1, f"pairs/{name}.yaml")
    pairs = [pair for split in find_pairs(tmp_path / "pairs" / name).values() for pair in split]
    assert len(pairs) == 3
    for pair in pairs:
        photo, drawn = (read_image(path).astype(int) for path in pair.files())
        assert np.abs(255 - photo - drawn).max() <= 1
    recipe = load_recipe(f"pairs/{name}.yaml")
    assert (recipe.name, recipe.size, recipe.data.folder) == (name, (SIDE, SIDE), str(tmp_path / "pairs" / name))
    source = tmp_path / (teacher if ":" not in teacher else "drawers.py")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert told["teacher"] == {**told["teacher"], "file": teacher, "sha256": digest}
    assert f'drawn by "{teacher}", SHA-256 {digest}' in (tmp_path / f"pairs/{name}.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "--concept says which effects the filters draw: stylization, pencil"),
        (["--concept", "ink", "--range", "0,1"], "--range is for networks that draw"),
        (["--teacher", "m.onnx", "--concept", "a/b"], "--concept takes letters, digits"),
        (["--teacher", "m.onnx", "--range", "255"], "--range is black and white with a comma between"),
        (["--teacher", "m.onnx", "--size", "30"], "--size is a multiple of 4"),
        (["--teacher", "m.onnx", "--size", "64"], "set `resolution: 32` in the recipe, --size 32 in `pairs make`"),
        (["--teacher", "m.onnx"], "--range 0,255"),
    ],
)
def test_pairs_that_cannot_be_made_leave_nothing(arguments, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos(tmp_path / "photos")
    negative(tmp_path / "m.onnx", 255.0)
    done = made_pairs(*arguments)
    assert isinstance(done.exception, PocketganError)
    assert expected in str(done.exception)
    assert not (tmp_path / "pairs").exists()
