"""Labels for a share of the images: the same ones everywhere, within each other, and inputs without targets beside."""

import hashlib
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import semi_supervised
from PIL import Image

from pocketgan.errors import DataError, RecipeError
from pocketgan.pipeline import data, teacher
from pocketgan.pipeline.digest import settings_of
from pocketgan.pipeline.images import Split
from pocketgan.pipeline.labelled import part_by_labels
from pocketgan.pipeline.processes import OneProcess
from pocketgan.pipeline.resume import run_stages
from pocketgan.pipeline.stage import read_stage
from pocketgan.recipe.programs import TEACHER_PROGRAMS, TeacherProgram
from pocketgan.recipe.reading import load_recipe
from pocketgan.training.data.images import to_pixels
from pocketgan.training.data.paired import PairedImages

RECIPE = """
name: tiny
resolution: 32
data: {kind: paired}
teacher: {generator: resnet6, ngf: 2, ndf: 2, steps: 1, flip: false}
"""
SEMI = "teacher.program=semi"


def grey(path, value, size=(32, 32)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0], 3), value, np.uint8)).save(path)


def pairs(root, train=20):
    """Inputs are as bright as their number, targets 100 brighter; validation inputs are 90 and 91."""
    for split, values in (("train", range(train)), ("val", (90, 91))):
        for value in values:
            grey(root / split / "A" / f"{value:02}.png", value)
            grey(root / split / "B" / f"{value:02}.png", value + 100)
    return root


@pytest.fixture
def recipe(tmp_path):
    def load(*settings, text=RECIPE):
        (tmp_path / "r.yaml").write_text(text)
        return load_recipe(str(tmp_path / "r.yaml"), [f"data.folder={tmp_path / 'images'}", *settings])

    return load


@pytest.fixture
def semi(monkeypatch):
    """Makes `semi` a program that takes inputs without targets; what it gets is in `semi.last.seen`."""
    method = semi_supervised.Method()
    monkeypatch.setitem(sys.modules, "semi_of_tests", SimpleNamespace(METHOD=method))
    row = TeacherProgram("semi_of_tests", data=("paired", "label"), unlabelled=True)
    monkeypatch.setitem(TEACHER_PROGRAMS, "semi", row)
    return method


@pytest.fixture
def go(recipe, tmp_path):
    """Runs data, or data and teacher, with settings."""

    def run(*settings, stages=(data.STAGE, teacher.STAGE), out="run", **text):
        run_stages(recipe(*settings, **text), stages, tmp_path / out, None, OneProcess(), lambda recipe, done: None)
        return tmp_path / out

    return run


def values(tensor):
    """The grey value of each image of a batch."""
    return [int(to_pixels(image)[0, 0, 0]) for image in tensor]


def contents(*names):
    return {name: hashlib.sha256(name.encode()).hexdigest() for name in names}


def test_labelled_images_are_those_whose_contents_digest_is_lowest():
    found = contents(*(f"{number}.png" for number in range(40)))
    split = Split([[name] for name in found])
    lowest = sorted(found, key=lambda name: hashlib.sha256(found[name].encode()).hexdigest())
    shares = {}
    for fraction, count in ((0.1, 4), (0.25, 10), (0.5, 20), (1.0, 40)):
        labelled, others = part_by_labels(split, fraction, found.__getitem__)
        assert {name for (name,) in labelled.items} == set(lowest[:count])
        assert {name for (name,) in others.items} == set(lowest[count:])
        assert [item for item in split.items if item in labelled.items] == labelled.items
        shares[fraction] = labelled.items
    assert all(item in shares[0.25] for item in shares[0.1])
    assert all(item in shares[0.5] for item in shares[0.25])


def test_neither_names_nor_order_decide_which_are_labelled():
    found = contents(*"abcdefgh")
    moved = {f"0{name}": digest for name, digest in found.items()}
    labelled = [
        {of[name] for (name,) in part_by_labels(Split(items), 0.5, of.__getitem__)[0].items}
        for of, items in ((found, [[name] for name in found]), (moved, [[name] for name in reversed(moved)]))
    ]
    assert labelled[0] == labelled[1]


def test_the_split_is_recorded(tmp_path, go):
    pairs(tmp_path / "images")
    run = go("data.labels=0.25", stages=(data.STAGE,))
    facts = read_stage(run, "data")["facts"]
    assert (facts["train"], facts["unlabelled"], facts["val"]) == (5, 15, 2)
    assert facts["labels"] == {"share": 0.25, "labelled": 5, "of": 20}
    splits = json.loads((run / "data" / "index.json").read_text())["splits"]
    assert len({tuple(item) for name in ("train", "unlabelled") for item in splits[name]}) == 20


def test_without_labels_the_index_is_what_it_was(tmp_path, go, recipe):
    pairs(tmp_path / "images", 2)
    run = go(stages=(data.STAGE,))
    index = json.loads((run / "data" / "index.json").read_text())
    assert (set(index), set(index["splits"])) == ({"root", "splits", "files"}, {"train", "val"})
    assert set(read_stage(run, "data")["facts"]) == {"train", "val"}
    written_out = recipe("data.labels=1", "data.unlabelled=null", "teacher.unlabelled_batch_size=null")
    for stage in (data.STAGE, teacher.STAGE):
        assert settings_of(written_out, stage) == settings_of(recipe(), stage)
        assert settings_of(recipe("data.labels=0.5"), stage) != settings_of(recipe(), stage)


def test_an_ordinary_program_trains_on_the_labelled_share_and_keeps_some_of_it_for_choosing(tmp_path, go, monkeypatch):
    seen, sample = set(), PairedImages.sample

    def seeing(self, index, random):
        seen.add(self.pairs[index].a.stem)
        return sample(self, index, random)

    monkeypatch.setattr(PairedImages, "sample", seeing)
    pairs(tmp_path / "images")
    run = go("data.labels=0.5", "teacher.batch_size=9", "teacher.evaluate_every=1")
    labelled = json.loads((run / "data" / "index.json").read_text())["splits"]["train"]
    kept = read_stage(run, "teacher")["facts"]["evaluations"]["kept_images"]
    assert len(labelled) == 10
    assert len(kept) == 2  # 15 % of 10
    assert set(kept) < {names[0] for names in labelled}
    assert seen == {names[0][-6:-4] for names in labelled if names[0] not in kept}


def test_inputs_without_targets_come_from_the_rest_and_from_the_folder_and_no_target_of_theirs_is_read(
    tmp_path, go, semi
):
    root = pairs(tmp_path / "images")
    for value in (200, 201):
        grey(tmp_path / "more" / f"{value}.png", value, (64, 64))
    settings = (SEMI, "data.labels=0.25", f"data.unlabelled={tmp_path / 'more'}", "teacher.batch_size=2")
    run = go(*settings, stages=(data.STAGE,))
    index = json.loads((run / "data" / "index.json").read_text())
    assert index["inputs"]["names"] == [["200.png"], ["201.png"]]
    for names in index["splits"]["unlabelled"]:
        (root / names[1]).unlink()
    given = load_recipe(
        str(tmp_path / "r.yaml"), [f"data.folder={root}", *settings, "teacher.unlabelled_batch_size=17"]
    )
    from pocketgan.pipeline.stage import Context

    (run / "teacher.partial").mkdir()
    teacher.STAGE.run(Context(given, run, run / "teacher.partial", OneProcess()))
    (batch,) = semi.last.seen
    assert batch["input"].shape == batch["target"].shape == (2, 3, 32, 32)
    assert batch["unlabelled"].shape == (17, 3, 32, 32)
    others = {int(names[0][-6:-4]) for names in index["splits"]["unlabelled"]}
    assert set(values(batch["unlabelled"])) == others | {200, 201}
    assert not set(values(batch["input"])) & others
    assert [b - a for a, b in zip(values(batch["input"]), values(batch["target"]), strict=True)] == [100, 100]


def test_as_many_inputs_as_pairs_are_drawn_and_where_all_are_labelled_their_own_serve(tmp_path, go, semi, capsys):
    pairs(tmp_path / "images")
    run = go(SEMI, "teacher.batch_size=5", "teacher.steps=4", "teacher.evaluate_every=4")
    kept = {int(name[-6:-4]) for name in read_stage(run, "teacher")["facts"]["evaluations"]["kept_images"]}
    drawn = [value for batch in semi.last.seen for value in values(batch["unlabelled"])]
    assert len(drawn) == 20
    assert set(drawn) == set(range(20)) - kept  # 17 of them, in an order of their own
    assert drawn[:5] != values(semi.last.seen[0]["input"])
    assert "no image is without a label" in capsys.readouterr().err


def test_repeats_are_counted_by_content_and_left_out(tmp_path, go, capsys):
    pairs(tmp_path / "images")
    for name, value in {"val": 90, "a": 3, "b": 4, "own": 150, "copy": 150}.items():
        grey(tmp_path / "more" / f"{name}.tiff", value)  # other files, the same pixels
    settings = (f"data.unlabelled={tmp_path / 'more'}",)
    run = go(*settings, stages=(data.STAGE,))
    told = capsys.readouterr().err
    assert "4 of 5 inputs in" in told
    assert "(labelled training images: 2, validation images: 1, the folder itself: 1) and are left out" in told
    assert read_stage(run, "data")["facts"]["unlabelled_folder"]["inputs"] == 1
    (tmp_path / "more" / "copy.tiff").unlink()
    (tmp_path / "more" / "own.tiff").unlink()
    with pytest.raises(DataError, match=r"3 of 3 inputs .*, and none is left; name a folder of others"):
        go(*settings, stages=(data.STAGE,), out="none")


def test_the_input_half_of_a_side_by_side_pair_is_repeated_by_a_file_of_it_alone(tmp_path, go):
    for split in ("train", "val"):
        (tmp_path / "images" / split).mkdir(parents=True)
        both = np.hstack([np.full((32, 32, 3), value, np.uint8) for value in (7, 207)])
        Image.fromarray(both).save(tmp_path / "images" / split / f"{split}.png")
    for value in (7, 207, 208):
        grey(tmp_path / "more" / f"{value:03}.png", value)
    for direction, other in (("AtoB", "207"), ("BtoA", "007")):
        go(f"data.unlabelled={tmp_path / 'more'}", f"data.direction={direction}", stages=(data.STAGE,), out=direction)
        names = json.loads((tmp_path / direction / "data" / "index.json").read_text())["inputs"]["names"]
        assert names == [[f"{other}.png"], ["208.png"]]


def test_inputs_of_other_proportions_are_refused_where_they_would_be_stretched(tmp_path, go):
    pairs(tmp_path / "images", 2)
    grey(tmp_path / "more" / "wide.png", 150, (64, 32))
    grey(tmp_path / "more" / "large.png", 151, (99, 100))
    named = f"data.unlabelled={tmp_path / 'more'}"
    with pytest.raises(DataError, match=r"1 image is of other proportions .* such as 32x32.*wide\.png \(64x32\)"):
        go(named, stages=(data.STAGE,))
    go(named, "data.fit=crop", stages=(data.STAGE,), out="cut")


@pytest.mark.parametrize("instance", [False, True])
def test_of_label_maps_the_maps_are_the_inputs(tmp_path, go, semi, instance):
    def index_map(path, value):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((32, 32), value, np.uint8)).save(path)

    for split in ("train", "val"):
        for value in range(2):
            grey(tmp_path / "images" / split / "photo" / f"{value}.png", value)
            index_map(tmp_path / "images" / split / "label" / f"{value}.png", value)
            index_map(tmp_path / "images" / split / "instance" / f"{value}.png", value)
    index_map(tmp_path / "more" / "label" / "new.png", 2)
    index_map(tmp_path / "more" / "instance" / "new.png", 5)
    kind = f"data={{kind: label, classes: 3, instance: {str(instance).lower()}}}"
    settings = (kind, f"data.folder={tmp_path / 'images'}", f"data.unlabelled={tmp_path / 'more'}")
    go(SEMI, *settings)
    (batch,) = semi.last.seen
    assert batch["unlabelled"].shape == (1, 4 + instance, 32, 32)
    assert batch["unlabelled"][0, :, 0, 0].tolist() == [0, 0, 1, 0] + [0] * instance
    grey(tmp_path / "more" / "label" / "new.png", 2)
    with pytest.raises(
        DataError, match=r"data\.unlabelled: 1 label map is a colour image.*label maps here, not photos"
    ):
        go(*settings, stages=(data.STAGE,), out="photos")


def test_a_share_of_built_in_crops_is_labelled(go):
    built_in = RECIPE.replace("{kind: paired}", "{source: builtin, train_crops: 8, val_crops: 1}")
    run = go("data.labels=0.25", text=built_in)
    assert read_stage(run, "data")["facts"]["labels"] == {"share": 0.25, "labelled": 2, "of": 8}
    assert read_stage(run, "teacher")["facts"]["l1"] > 0


def test_what_cannot_be_is_told(tmp_path, go, recipe, capsys):
    pairs(tmp_path / "images")
    with pytest.raises(
        DataError, match=r"data\.labels 0\.01 of 20 training images leaves no labelled image; .* 0\.05 or"
    ):
        go("data.labels=0.01", stages=(data.STAGE,))
    with pytest.raises(DataError, match=r"data\.unlabelled: there is no folder nowhere"):
        go("data.unlabelled=nowhere", stages=(data.STAGE,))
    with pytest.raises(
        DataError, match=r"data\.unlabelled: .* holds no inputs: expected pictures in the folder itself"
    ):
        go(f"data.unlabelled={tmp_path / 'images'}", stages=(data.STAGE,))
    data.STAGE.check(recipe("data.unlabelled=more"))
    assert "data.unlabelled: pix2pix learns from pairs alone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["data.labels=0"], r"data\.labels: .*greater than 0"),
        (["data.labels=25"], r"data\.labels: .*less than or equal to 1"),
        (["data.kind=unpaired", "data.labels=0.5"], "labels is of images with targets, kind: paired or label"),
        (["data.kind=photos", "data.unlabelled=more"], "unlabelled is of images with targets, kind: paired or label"),
        (["teacher.unlabelled_batch_size=2"], r"teacher\.program pix2pix learns from pairs alone; remove it"),
    ],
)
def test_what_a_recipe_cannot_mean_is_told_when_it_is_read(recipe, settings, message):
    with pytest.raises(RecipeError, match=message):
        recipe(*settings)


def test_another_place_of_the_same_inputs_is_the_same_work_and_other_inputs_are_not(tmp_path, recipe):
    pairs(tmp_path / "images", 2)
    for folder, value in (("one", 150), ("same", 150), ("other", 151)):
        grey(tmp_path / folder / "x.png", value)
    found = [
        (settings_of(given, data.STAGE), data.STAGE.outside(given, tmp_path / "run"))
        for given in (recipe(f"data.unlabelled={tmp_path / name}") for name in ("one", "same", "other"))
    ]
    assert found[0] == found[1] != found[2]
