"""mIoU counts what it says, from logits and label maps, ONNX and TorchScript alike."""

import io
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import jaccard_score

from pocketgan.errors import DataError, ModelError
from pocketgan.files import sha256_file
from pocketgan.training.quality.confusion import Confusion
from pocketgan.training.quality.evaluate import Options, evaluate
from pocketgan.training.quality.segmentation import Judging

CLASSES = 3


@settings(max_examples=60, deadline=None)
@given(data=st.data(), classes=st.integers(2, 5))
def test_iou_equals_scikit_learns_and_does_not_depend_on_the_portions(data, classes):
    pixels = st.lists(st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1)), min_size=2, max_size=60)
    predicted, labels = np.array(data.draw(pixels)).T
    whole, parts = Confusion(classes), Confusion(classes)
    whole.add(predicted, labels)
    cut = data.draw(st.integers(0, len(labels)))
    parts.add(predicted[:cut], labels[:cut])
    parts.add(predicted[cut:], labels[cut:])
    np.testing.assert_array_equal(whole.counts, parts.counts)
    expected = jaccard_score(labels, predicted, labels=range(classes), average=None, zero_division=0)
    seen = set(labels) | set(predicted)
    assert whole.per_class() == [pytest.approx(v) if c in seen else None for c, v in enumerate(expected)]
    assert whole.mean() == pytest.approx(np.mean([expected[c] for c in seen]))
    assert whole.pixel_accuracy() == pytest.approx(np.mean(labels == predicted))


def test_ignored_pixels_do_not_count_and_unknown_classes_are_refused():
    confusion = Confusion(2, ignore=9)
    confusion.add(np.array([0, 1, 1, 0]), np.array([0, 1, 9, 9]))
    assert confusion.per_class() == [1, 1]
    for predicted, labels, wrong in (([0], [2], "label 2"), ([3], [1], "prediction 3"), ([-1], [1], "prediction -1")):
        with pytest.raises(ValueError, match=wrong):
            confusion.add(np.array(predicted), np.array(labels))
    empty = Confusion(2, ignore=9)
    empty.add(np.array([0]), np.array([9]))
    assert empty.mean() is None
    assert empty.pixel_accuracy() is None


class Brightest(torch.nn.Module):
    """Logits of three classes: the pixel's red, green and blue."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2.0


class Map(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.argmax(1)


class Grey(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean([1])


class Pair(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": x, "aux": -x}


def script(module, path):
    torch.jit.script(module).save(str(path))
    return path


def onnx_model(path, batch="n", side="h", output=("float", 4), operators=None, element=1):
    """An ONNX file written by hand: `Identity`, or the operators given as (name, attributes)."""
    from onnx import TensorProto, helper, save

    nodes, last = [], "x"
    for index, (name, attributes) in enumerate(operators or [("Identity", {})]):
        nodes.append(helper.make_node(name, [last], [f"y{index}"], **attributes))
        last = f"y{index}"
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", element, [batch, 3, side, side])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT if output[0] == "float" else TensorProto.INT64, None)],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def scene(tmp_path):
    """Pictures whose brightest channel is a class, and label maps that differ from it in known pixels."""
    random = np.random.default_rng(0)
    truth, found = [], []
    for index in range(5):
        size = (16, 24) if index < 3 else (20, 12)
        guess = random.integers(0, CLASSES, size)
        labels = np.where(random.random(size) < 0.3, random.integers(0, CLASSES, size), guess)
        labels[0, :3] = 11
        for name in ("pictures", "labels"):
            (tmp_path / name).mkdir(exist_ok=True)
        Image.fromarray((np.eye(CLASSES)[guess] * 255).astype(np.uint8)).save(tmp_path / "pictures" / f"{index}.png")
        Image.fromarray(labels.astype(np.uint8)).save(tmp_path / "labels" / f"{index}.png")
        truth.append(labels[labels != 11])
        found.append(guess[labels != 11])
    expected = jaccard_score(np.concatenate(truth), np.concatenate(found), average=None)
    return tmp_path / "pictures", tmp_path / "labels", expected


def measure(scene, network, batch_size=2, **judging):
    pictures, labels, _ = scene
    options = Options(
        metrics=("miou",),
        segmentation=network,
        labels=labels,
        judging=Judging(**{"scale": "unit", "ignore": 11, **judging}),
        batch_size=batch_size,
        device="cpu",
    )
    return evaluate(pictures, None, options).measurements["miou"]


def test_logits_and_label_maps_of_both_formats_give_the_same_miou(scene, tmp_path):
    argmax = [("ArgMax", {"axis": 1, "keepdims": 1})]
    networks = {
        script(Brightest(), tmp_path / "logits.pt"): None,
        script(Pair(), tmp_path / "pair.pt"): None,
        script(Map(), tmp_path / "map.pt"): CLASSES,
        onnx_model(tmp_path / "logits.onnx"): None,
        onnx_model(tmp_path / "one.onnx", batch=1): None,
        onnx_model(tmp_path / "map.onnx", output=("int", 4), operators=argmax): CLASSES,
    }
    for network, classes in networks.items():
        found = measure(scene, network, classes=classes)
        assert found.more["per_class"] == pytest.approx(list(scene[2])), network.name
        assert found.value == pytest.approx(np.mean(scene[2]))
        assert 0.4 < found.value < 0.9
        assert (found.generated_images, found.more["classes"], found.resize) == (5, CLASSES, "none")
        assert found.weights.sha256 == sha256_file(network)


@pytest.mark.parametrize(
    ("scale", "low", "high"),
    [("bytes", [0, 0, 0], [255, 255, 255]), ("unit", [0, 0, 0], [1, 1, 1]), ("signed", [-1, -1, -1], [1, 1, 1]),
     ("imagenet", [-2.1179, -2.0357, -1.8044], [2.2489, 2.4286, 2.64])],
)  # fmt: skip
def test_the_network_sees_the_scale_it_asks_for(scale, low, high, tmp_path):
    class Range(torch.nn.Module):
        """Class 1 where the input is what black or white becomes, else class 0."""

        def __init__(self):
            super().__init__()
            self.register_buffer("low", torch.tensor(low).float().view(1, 3, 1, 1))
            self.register_buffer("high", torch.tensor(high).float().view(1, 3, 1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            off = torch.minimum((x - self.low).abs(), (x - self.high).abs()).amax(1, keepdim=True)
            return (off < 1e-3).squeeze(1).long()

    for name in ("pictures", "labels"):
        (tmp_path / name).mkdir()
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4] = 255
    Image.fromarray(pixels).save(tmp_path / "pictures" / "a.png")
    Image.fromarray(np.ones((8, 8), np.uint8)).save(tmp_path / "labels" / "a.png")
    network = script(Range(), tmp_path / "range.pt")
    scene = (tmp_path / "pictures", tmp_path / "labels", None)
    assert measure(scene, network, scale=scale, classes=2).value == 1


def test_a_smaller_answer_is_enlarged_to_the_labels(tmp_path):
    for name in ("pictures", "labels"):
        (tmp_path / name).mkdir()
    labels = np.repeat([[0, 1, 2, 0]], 4, 0).repeat(4, 0).repeat(4, 1)
    Image.fromarray((np.eye(CLASSES)[labels] * 255).astype(np.uint8)).save(tmp_path / "pictures" / "a.png")
    Image.fromarray(labels.astype(np.uint8)).save(tmp_path / "labels" / "a.png")
    scene = (tmp_path / "pictures", tmp_path / "labels", None)
    for network in (script(Brightest(), tmp_path / "logits.pt"), script(Map(), tmp_path / "map.pt")):
        found = measure(scene, network, size=(8, 8), classes=CLASSES)
        assert found.value > 0.85
        assert found.resize == "Pillow bicubic, 8x8"
    fixed = onnx_model(tmp_path / "fixed.onnx", side=8)
    assert measure(scene, fixed).resize == "Pillow bicubic, 8x8"


def test_a_network_with_the_wrong_output_is_told_what_was_expected(scene, tmp_path):
    wrong = re.escape("must return class logits (n, classes, h, w) or an integer label map (n, h, w)")
    with pytest.raises(ModelError, match=wrong):
        measure(scene, script(Grey(), tmp_path / "grey.pt"))
    mean = [("ReduceMean", {"axes": [1], "keepdims": 1})]
    with pytest.raises(ModelError, match=wrong):
        measure(scene, onnx_model(tmp_path / "grey.onnx", operators=mean))
    with pytest.raises(ModelError, match="returns label maps; say how many classes"):
        measure(scene, script(Map(), tmp_path / "map.pt"))
    with pytest.raises(ModelError, match="logits of 3 classes, but --classes 4"):
        measure(scene, script(Brightest(), tmp_path / "logits.pt"), classes=4)


class Fixed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(7, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x.flatten(1))


def test_files_that_are_no_segmentation_network_are_refused_in_one_line(scene, tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    (tmp_path / "text.pt").write_text("no model")
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, buffer)
    (tmp_path / "weights.pt").write_bytes(buffer.getvalue())
    cases = {
        tmp_path / "text.onnx": "is not an ONNX model",
        tmp_path / "text.pt": "is not a TorchScript file",
        tmp_path / "weights.pt": "is not a TorchScript file",
        tmp_path / "absent.pt": "cannot read",
        onnx_model(tmp_path / "bytes.onnx", element=2, output=("float", 4)): "is not an ONNX model|one NCHW float32",
        onnx_model(tmp_path / "four.onnx", batch=4): "4 pictures at a time",
        script(Fixed(), tmp_path / "fixed.pt"): "fails on pictures of 3x16x24: .*see --segmentation-size",
    }
    for network, message in cases.items():
        with pytest.raises(ModelError, match=message) as caught:
            measure(scene, network)
        assert "\n" not in str(caught.value)


def test_labels_that_are_none_are_named(scene, tmp_path):
    network = script(Brightest(), tmp_path / "logits.pt")
    with pytest.raises(DataError, match=r"0\.png: label 11 is not one of 3 classes .*--ignore-index"):
        measure(scene, network, ignore=255)
    all_ignored = Image.fromarray(np.full((16, 24), 11, np.uint8))
    for index in range(5):
        all_ignored.save(scene[1] / f"{index}.png")
    with pytest.raises(DataError, match=r"every pixel .* is ignored"):
        measure(scene, network)
    Image.new("RGB", (24, 16)).save(scene[1] / "2.png")
    with pytest.raises(DataError, match=r"2\.png has colours \(RGB\)"):
        measure(scene, network)
    (scene[1] / "2.png").unlink()
    with pytest.raises(DataError, match=r"2 of .*pictures \(5 images\) has no partner"):
        measure(scene, network)


def test_the_indices_of_a_palette_count_not_its_colours(scene, tmp_path):
    network = script(Brightest(), tmp_path / "logits.pt")
    expected = measure(scene, network).value
    for path in scene[1].iterdir():
        image = Image.open(path).copy()
        image.putpalette([255 - value // 3 for value in range(768)])
        assert image.mode == "P"
        image.save(path)
    assert measure(scene, network).value == expected
