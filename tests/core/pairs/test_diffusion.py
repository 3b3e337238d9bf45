"""The diffusion teacher, end to end on a tiny InstructPix2Pix of random weights."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from tiny_editor import save_clip, save_editor
from typer.testing import CliRunner

from pocketgan import console
from pocketgan.cli import app
from pocketgan.errors import ModelError
from pocketgan.files import sha256_file
from pocketgan.pictures import read_image
from pocketgan.training.data.concepts import read_concept
from pocketgan.training.data.paired import find_pairs
from pocketgan.training.teachers.diffusion import DiffusionEditor, Editing, find_model
from pocketgan.training.teachers.edit_score import Limits

SIDE = 64
ALL_KEPT = ("--least-change", "0", "--least-structure", "-1")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_editor(folder / "editor")
    return folder


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(7):
        pixels = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((SIDE, SIDE)).save(folder / f"{seed}.png")
    return folder


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    yield
    console.use_json(False)


def arguments(photos, out, models, *more):
    return [
        "pairs", "make", str(photos), "--teacher", "diffusion", "--model", str(models / "editor"), "--steps", "2",
        "--size", str(SIDE), "--draw-at", str(SIDE), "--out", str(out), "--json", *more,
    ]  # fmt: skip


def make(*told):
    console.use_json()
    return CliRunner().invoke(app, arguments(*told))


def lines(folder):
    return [json.loads(line) for path in sorted(folder.glob("journal-*.jsonl")) for line in path.open()]


def test_pairs_carry_all_that_is_needed_to_draw_them_again(photos, models, tmp_path):
    out = tmp_path / "out"
    more = ("--concept", "winter=make it winter", "--concept", "mine=a text", "--seeds", "5", "--batch", "3", *ALL_KEPT)
    done = make(photos, out, models, *more, "--image-guidance", "1.2", "--guidance", "6")
    assert done.exit_code == 0, done.output
    assert [one["name"] for one in json.loads(done.stdout)["concepts"]] == ["winter", "mine"]
    concept = read_concept(out / "winter")
    teacher = concept.record.teacher
    assert (teacher.kind, teacher.name, concept.record.text) == ("diffusion", "editor", "make it winter")
    told = {"prompt": "make it winter", "steps": 2, "image_guidance": 1.2, "guidance": 6.0, "seeds": [5]}
    assert told.items() <= teacher.settings.items()
    assert len(teacher.settings["model_digest"]) == 64
    assert {"diffusers", "transformers", "torch"} <= set(teacher.versions)
    editor = DiffusionEditor(str(models / "editor"), Editing(2, 1.2, 6.0, draw_at=SIDE))
    for pair in concept.pairs():
        assert pair.kept
        assert pair.photo == sha256_file(photos / f"{pair.name}.png")
        assert (pair.facts["seed"], pair.facts["prompt"], pair.facts["steps"]) == (5, "make it winter", 2)
        assert pair.facts["versions"] == teacher.versions
        # By hand, alone, with that seed: the batch does not matter but for rounding.
        alone = editor._edit([read_image(out / f"photos/{pair.name}.png")], "make it winter", 5)[0].pixels
        drawn = read_image(out / "winter" / pair.split / "B" / f"{pair.name}.png")
        assert np.abs(alone.astype(int) - drawn).max() <= 1
    assert sum(len(pairs) for pairs in find_pairs(out / "winter").values()) == 7


def limit_that_keeps_validation(scores):
    """Options whose limits the validation photo and another reach and some do not, and the names of those."""
    for name, other in (("change", ("--least-structure", "-1")), ("structure", ("--least-change", "0"))):
        best = {split: max(one[name] for one in scores.values() if one["split"] == split) for split in ("train", "val")}
        limit = min(best.values()) - 0.001
        below = {photo for photo, score in scores.items() if score[name] < limit}
        if below:
            return (f"--least-{name}", str(limit), *other), below
    raise AssertionError("no photo scores less than the validation photo")


def test_pictures_that_lose_the_photo_are_dropped_counted_and_kept_to_be_looked_at(photos, models, tmp_path):
    out = tmp_path / "out"
    assert make(photos, out, models, "--concept", "w=make it winter", *ALL_KEPT).exit_code == 0
    scores = {pair.name: pair.facts["score"] | {"split": pair.split} for pair in read_concept(out / "w").pairs()}
    limit, below = limit_that_keeps_validation(scores)
    done = make(photos, out, models, "--concept", "w=make it winter", *limit, "--restart")
    assert done.exit_code == 0, done.output
    concept = read_concept(out / "w")
    dropped = {pair.name for pair in concept.pairs() if not pair.kept}
    assert dropped == below
    assert sum(concept.record.dropped.values()) == len(dropped) == 7 - sum(concept.record.counts.values())
    assert {path.stem for path in (out / "w/dropped").iterdir()} == dropped
    console.use_json(False)
    sheet = CliRunner().invoke(
        app, ["pairs", "sheet", str(out), "--concept", "w", "--out", str(tmp_path / "s.png"), "--side", "32"]
    )
    assert sheet.exit_code == 0, sheet.output
    assert Image.open(tmp_path / "s.png").size == (8 * 36 - 4, 2 * (36 + 16) - 4)  # seven pairs, four a row


def test_where_nothing_is_left_the_pictures_can_be_looked_at(photos, models, tmp_path):
    done = make(photos, tmp_path / "out", models, "--concept", "w=make it winter", "--least-structure", "1.1")
    assert "no pair of w is left to train on: of 7 pictures 7 lose the photo; look at them in" in str(done.exception)
    assert len(list((tmp_path / "out/.w.partial/drawn").iterdir())) == 7


class Scripted:
    """In the pipeline's place: with seed 0 it changes nothing, with seed 1 only bright photos, with seed 2 all."""

    safety_checker = None

    def __init__(self):
        self.asked = []

    def __call__(self, prompt, image, generator, **_):
        seeds = [one.initial_seed() for one in generator]
        self.asked.append((seeds[0], len(image)))
        given = [np.asarray(one) / 255 for one in image]
        images = [
            1 - one if seed == 2 or (seed == 1 and one.mean() > 0.5) else one
            for seed, one in zip(seeds, given, strict=True)
        ]
        return type("Done", (), {"images": np.stack(images), "nsfw_content_detected": None})


def test_what_is_dropped_is_drawn_again_with_the_next_seed_and_nothing_else(models):
    editor = DiffusionEditor(str(models / "editor"), Editing(seeds=(0, 1, 2), draw_at=SIDE))
    editor._pipeline = pipeline = Scripted()
    random = np.random.default_rng(0)
    dark, bright = ((random.integers(0, 100, (SIDE, SIDE, 3)) + add).astype(np.uint8) for add in (0, 155))
    edits = editor.edit([dark, bright, dark], "negative")
    assert [edit.facts["seed"] for edit in edits] == [2, 1, 2]
    assert all(edit.why is None for edit in edits)
    assert pipeline.asked == [(0, 3), (1, 3), (2, 2)]
    few = DiffusionEditor(str(models / "editor"), Editing(seeds=(0,), draw_at=SIDE))
    few._pipeline = Scripted()
    assert [edit.why for edit in few.edit([dark], "negative")] == ["change nothing"]


@pytest.mark.slow
def test_after_a_kill_two_processes_go_on_and_draw_nothing_twice(photos, models, tmp_path):
    out, partial = tmp_path / "out", tmp_path / "out/.w.partial"
    more = ("--concept", "w=make it winter", "--batch", "1", *ALL_KEPT)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "pocketgan", *arguments(photos, out, models, *more)]
    killed = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 300
    while len(lines(partial)) < 2 and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    said = killed.communicate()[1].decode()
    before = {path.name: path.stat().st_mtime_ns for path in (partial / "drawn").glob("[0-9].png")}
    whole = {line["name"] for line in lines(partial)}
    assert 2 <= len(whole) < 7, said
    launch = [
        sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1",
        "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0", "-m",
    ]  # fmt: skip
    done = subprocess.run([*launch, *command[2:]], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["concepts"][0]["train"] == 6
    concept = read_concept(out / "w")
    assert sorted(pair.name for pair in concept.pairs()) == [str(number) for number in range(7)]
    for pair in concept.pairs():
        file = concept.folder / pair.split / "B" / f"{pair.name}.png"
        assert sha256_file(file) == pair.picture
        if pair.name in whole:
            assert file.stat().st_mtime_ns == before[f"{pair.name}.png"]
    undisturbed = make(photos, tmp_path / "alone", models, *more)
    assert undisturbed.exit_code == 0
    for pair in read_concept(tmp_path / "alone/w").pairs():
        pictures = [read_image(one / "w" / pair.split / "B" / f"{pair.name}.png") for one in (out, tmp_path / "alone")]
        assert np.abs(pictures[0].astype(int) - pictures[1]).max() <= 1


def test_a_safety_checker_is_used_where_there_is_one_unless_it_is_told_not_to(models, tmp_path):
    safe = str(save_editor(tmp_path / "safe", with_safety_checker=True))
    picture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    lenient = Limits(change=0, structure=-1)
    (flagged,) = DiffusionEditor(safe, Editing(2, draw_at=SIDE, limits=lenient)).edit([picture], "x")
    (edit,) = DiffusionEditor(safe, Editing(2, draw_at=SIDE, limits=lenient, safety=False)).edit([picture], "x")
    assert (flagged.why, edit.why) == ("are flagged by the safety checker", None)


def test_a_clip_model_judges_too(models, tmp_path):
    clip = save_clip(tmp_path / "clip")
    picture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    editing = Editing(2, draw_at=SIDE, limits=Limits(change=0, structure=-1, direction=1.1))
    editor = DiffusionEditor(str(models / "editor"), editing, clip=clip)
    (edit,) = editor.edit([picture], "make it winter")
    assert edit.why == "go elsewhere than the text"  # no cosine reaches 1.1
    assert all(-1 <= edit.facts["score"][name] <= 1 for name in ("direction", "likeness"))
    assert editor.settings()["clip"] == editor._judge.digest
    with pytest.raises(ModelError, match=r"no config.json\); `hf download openai/clip"):
        DiffusionEditor(str(models / "editor"), editing, clip=tmp_path)


def test_missing_and_other_models_are_refused_with_how_to_get_one(models, tmp_path):
    how = "hf download timbrooks/instruct-pix2pix --local-dir DIR"
    for model, expected in (
        (str(tmp_path / "gone"), "there is no folder"),
        ("./gone", "there is no folder"),
        ("somebody/something", "could not be fetched"),
        (str(tmp_path), "it has no readable model_index.json"),
    ):
        with pytest.raises(ModelError, match=expected) as refused:
            find_model(model)
        assert how in str(refused.value)
        assert "\n" not in str(refused.value)
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    with pytest.raises(ModelError, match="is a StableDiffusionPipeline, which follows no instructions"):
        find_model(str(tmp_path))
    (tmp_path / "model_index.json").write_text((models / "editor/model_index.json").read_text())
    with pytest.raises(ModelError, match="cannot be loaded"):
        DiffusionEditor(str(tmp_path), Editing())


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (("--concept", "w=make it winter", "--concept", "w=again"), "w is told twice"),
        (("--concept", "w="), "the text of the concept w is empty"),
        (("--concept", "w"), "what shall be asked for, for the concept w"),
        ((), "--concept says what to ask the editor for"),
        (("--concept", "w=x", "--seeds", "1,1"), "--seeds are different whole numbers"),
        (("--concept", "w=x", "--seeds", "one"), "--seeds are whole numbers with commas"),
        (("--concept", "w=x", "--draw-at", "100"), "--draw-at is a multiple of 8"),
        (("--concept", "w=x", "--range", "0,1"), "--range is for networks that draw"),
    ],
)
def test_what_cannot_be_asked_leaves_nothing(told, expected, photos, models, tmp_path):
    assert expected in str(make(photos, tmp_path / "out", models, *told).exception)
    assert not (tmp_path / "out").exists()
