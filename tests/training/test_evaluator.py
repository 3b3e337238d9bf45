"""What a training is measured by is what `pocketgan quality` says of the same pictures."""

import numpy as np
import pytest

pytest.importorskip("cleanfid")
pytest.importorskip("lpips")
import torch
from PIL import Image
from tiny_judges import Brightest, Features, backbone, script

from pocketgan.errors import DataError, ModelError
from pocketgan.recipe.sections import TeacherStage
from pocketgan.training.data.images import to_pixels
from pocketgan.training.data.labels import LabelFormat, LabelMaps, find_scenes
from pocketgan.training.data.paired import PairedImages, find_pairs
from pocketgan.training.data.unpaired import UnpairedImages, find_domains
from pocketgan.training.evaluator import Evaluator, load_judges
from pocketgan.training.quality.evaluate import Options, evaluate
from pocketgan.training.quality.segmentation import Judging

CPU = torch.device("cpu")
SIZE = (32, 40)


def write(folder, count, seed=0, size=SIZE):
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.random.default_rng([seed, number]).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def darker(images):
    return images * 0.7 - 0.2


def stage(**fields):
    return TeacherStage(steps=1, evaluate_every=1, **fields)


def save(data, folder, generate=darker):
    """What the generator makes of the inputs, and the targets, as `pocketgan quality` reads them."""
    for name in ("made", "real"):
        (folder / name).mkdir()
    for number in range(len(data)):
        scene = data.whole(number)
        Image.fromarray(to_pixels(generate(scene["input"][None])[0])).save(folder / "made" / f"{number}.png")
        Image.fromarray(to_pixels(scene["target"])).save(folder / "real" / f"{number}.png")
    return folder / "made", folder / "real"


def test_distances_are_those_of_the_saved_pictures(tmp_path):
    for split in ("train", "val"):
        for seed, side in enumerate("AB"):
            write(tmp_path / "data" / split / side, 4, seed)
    data = PairedImages(find_pairs(tmp_path / "data")["train"], "AtoB", SIZE)
    asked = stage(
        evaluate=["fid", "l1", "lpips", "kid"],
        inception=script(Features(), tmp_path / "features.pt"),
        lpips_weights=backbone(tmp_path / "alex.safetensors"),
    )
    evaluator = Evaluator(data, asked.evaluate, load_judges(asked, SIZE, None, CPU), CPU)
    found = evaluator(darker)
    assert list(found) == ["fid", "l1", "lpips", "kid"]
    made, real = save(data, tmp_path)
    options = Options(("fid", "kid", "lpips"), inception=asked.inception, lpips_weights=tmp_path / "alex.safetensors")
    told = evaluate(made, real, options).measurements
    for metric, measured in told.items():
        assert found[metric] == pytest.approx(measured.value, rel=1e-3)
    pairs = [data.whole(number) for number in range(4)]
    differences = [float((darker(pair["input"]) - pair["target"]).abs().mean()) for pair in pairs]
    assert found["l1"] == pytest.approx(np.mean(differences), rel=1e-5)
    assert evaluator(darker) == found
    assert evaluator(lambda images: images)["l1"] != found["l1"]


def test_label_maps_are_found_again_but_for_unknown_pixels(tmp_path):
    # Classes are colours: red, green and blue; the fourth index is unknown.
    labels = np.random.default_rng(0).integers(0, 4, SIZE, np.uint8)
    for split in ("train", "val"):
        write(tmp_path / split / "photo", 1)
        (tmp_path / split / "label").mkdir()
        Image.fromarray(labels).save(tmp_path / split / "label" / "0.png")
    data = LabelMaps(find_scenes(tmp_path, LabelFormat(3))["train"], LabelFormat(3), SIZE)
    asked = stage(evaluate=["miou"], judge=script(Brightest(), tmp_path / "judge.pt"), judge_scale="unit")
    evaluator = Evaluator(data, asked.evaluate, load_judges(asked, SIZE, 3, CPU), CPU)
    colours = lambda maps: maps[:, :3] * 2 - 1  # noqa: E731
    assert evaluator(colours) == {"miou": 1.0}
    # Everything is red: that class's union is all that is known, and the others are never found.
    known = labels < 3
    reds = (labels == 0).sum() / known.sum() / 3
    assert evaluator(lambda maps: colours(maps).clone() * 0 + torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1))[
        "miou"
    ] == pytest.approx(reds)
    made, _ = save(data, tmp_path, colours)
    judging = Judging(scale="unit", ignore=3)
    options = Options(
        ("miou",), segmentation=tmp_path / "judge.pt", labels=tmp_path / "train" / "label", judging=judging
    )
    assert evaluate(made, None, options).measurements["miou"].value == 1.0


def test_label_maps_in_which_nothing_is_known_have_no_miou(tmp_path):
    for split in ("train", "val"):
        write(tmp_path / split / "photo", 1)
        (tmp_path / split / "label").mkdir()
        Image.fromarray(np.full(SIZE, 255, np.uint8)).save(tmp_path / split / "label" / "0.png")
    data = LabelMaps(find_scenes(tmp_path, LabelFormat(3))["train"], LabelFormat(3), SIZE)
    asked = stage(evaluate=["miou"], judge=script(Brightest(), tmp_path / "judge.pt"))
    with pytest.raises(DataError, match="every pixel of the label maps that are kept for choosing is unknown"):
        Evaluator(data, asked.evaluate, load_judges(asked, SIZE, 3, CPU), CPU)(lambda maps: maps[:, :3])


def test_unpaired_pictures_are_compared_with_the_teachers_and_as_sets_with_all_targets(tmp_path):
    for side, count in (("A", 3), ("B", 5)):
        for split in ("train", "val"):
            write(tmp_path / split / side, count, seed=count)
    data = UnpairedImages(find_domains(tmp_path)["train"], "AtoB", SIZE)
    asked = stage(evaluate=["l1", "fid"], inception=script(Features(), tmp_path / "features.pt"))
    judges = load_judges(asked, SIZE, None, CPU)
    assert Evaluator(data, ["l1"], judges, CPU, teacher=lambda x: x + 0.25)(lambda x: x)["l1"] == pytest.approx(0.25)
    # The same pictures on both sides, as often as they are there: no distance.
    same = UnpairedImages({"A": data.targets, "B": data.targets}, "AtoB", SIZE)
    assert Evaluator(same, ["fid"], judges, CPU)(lambda x: x)["fid"] == pytest.approx(0, abs=1e-3)
    found = Evaluator(data, ["fid"], judges, CPU)(lambda x: x)["fid"]
    options = Options(("fid",), inception=asked.inception)
    told = evaluate(tmp_path / "train" / "A", tmp_path / "train" / "B", options).measurements["fid"]
    assert (told.generated_images, told.reference_images) == (3, 5)
    assert found == pytest.approx(told.value, rel=1e-3)


def test_a_judge_that_fails_on_such_pictures_says_so(tmp_path):
    class Fixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Linear(7, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x.flatten(1))

    asked = stage(evaluate=["miou"], judge=script(Fixed(), tmp_path / "fixed.pt"))
    with pytest.raises(ModelError, match=r"fixed\.pt fails on pictures of 3x32x40: .*recipe's resolution"):
        load_judges(asked, SIZE, 3, CPU)
    with pytest.raises(ModelError, match="LPIPS needs images of 32 pixels a side at least, not 28x40"):
        load_judges(stage(evaluate=["lpips"]), (28, 40), None, CPU)
