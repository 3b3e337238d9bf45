"""Trainings of earlier runs: gone on with where they can be, and never discarded without the user's word."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from pocketgan.errors import PocketganError
from pocketgan.pipeline import data, resume, teacher
from pocketgan.pipeline.kept import MORE_STEPS
from pocketgan.pipeline.processes import OneProcess
from pocketgan.pipeline.resume import run_stages
from pocketgan.recipe.reading import load_recipe
from pocketgan.training import fit
from pocketgan.training.state import TrainingState

RECIPE = """
name: tiny
resolution: 32
data: {source: builtin, train_crops: 3, val_crops: 2}
teacher: {generator: resnet6, ngf: 2, ndf: 2, steps: 4, checkpoint_every: 1, sample_every: 2}
"""
STEADY = "teacher.decay=0"
FASTER = "teacher.learning_rate=0.001"


@pytest.fixture
def go(tmp_path):
    """Runs the recipe with settings, in the folder `run` unless told otherwise; says which stages were skipped."""

    def run(*settings, out="run", restart=False):
        (tmp_path / "r.yaml").write_text(RECIPE)
        recipe = load_recipe(str(tmp_path / "r.yaml"), settings)
        stages = (data.STAGE, teacher.STAGE)
        reports = run_stages(recipe, stages, tmp_path / out, None, OneProcess(), restart=restart)
        return [report.skipped for report in reports]

    return run


@pytest.fixture
def stopped(go, monkeypatch):
    """Does so until the checkpoint after a step is written, as if killed then."""

    def run(*settings, after, **more):
        save = TrainingState.save

        def saved(self, checkpoint, done):
            save(self, checkpoint, done)
            if done == after:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(TrainingState, "save", saved)
            with pytest.raises(KeyboardInterrupt):
                go(*settings, **more)

    return run


@pytest.fixture
def weights(tmp_path):
    return lambda out="run": load_file(tmp_path / out / "teacher" / "generator.safetensors")


def same(one, other):
    return all(torch.equal(one[key], other[key]) for key in one)


def test_a_finished_training_stays_until_the_user_says_otherwise(go, weights):
    go()
    before = weights()
    changed = r"finished training in .* had teacher\.learning_rate at its default, now 0\.001; .*--restart.*--out"
    with pytest.raises(PocketganError, match=changed):
        go(FASTER)
    assert same(weights(), before)
    assert go() == [True, True]
    assert go(FASTER, restart=True) == [True, False]
    assert not same(weights(), before)


def test_so_does_one_that_was_stopped_half_way(go, stopped, tmp_path):
    stopped(after=2)
    checkpoint = tmp_path / "run" / "teacher.partial" / "checkpoint.safetensors"
    before = checkpoint.read_bytes()
    with pytest.raises(PocketganError, match=r"stopped in .*teacher\.partial had teacher\.learning_rate .*--restart"):
        go(FASTER)
    assert checkpoint.read_bytes() == before
    go(FASTER, restart=True)


def test_the_users_word_holds_for_the_training_that_it_began(go, stopped, weights):
    go()
    stopped(FASTER, after=2, restart=True)
    go(FASTER)
    go(FASTER, out="undisturbed")
    assert same(weights(), weights("undisturbed"))


def test_more_steps_at_a_constant_rate_go_on_from_the_finished_ones(go, weights, capsys):
    go(STEADY)
    go(STEADY, "teacher.steps=7")
    assert "going on from step 4 of 7" in capsys.readouterr().err
    go(STEADY, "teacher.steps=7", out="undisturbed")
    assert same(weights(), weights("undisturbed"))
    assert go(STEADY, "teacher.steps=7") == [True, True]


def test_and_from_those_that_were_done_when_it_was_stopped(go, stopped, weights, capsys):
    stopped(STEADY, after=3)
    go(STEADY, "teacher.steps=6")
    assert "going on from step 3 of 6" in capsys.readouterr().err
    go(STEADY, "teacher.steps=6", out="undisturbed")
    assert same(weights(), weights("undisturbed"))


@pytest.mark.parametrize(
    ("settings", "steps", "why"),
    [
        ((), 7, r"teacher\.steps 4, now 7, and cannot go on: the rates of all steps depend on their number"),
        ((STEADY,), 3, r"teacher\.steps 4, now 3, and cannot go on: it has no checkpoint of at most 3 steps"),
    ],
)
def test_steps_that_cannot_go_on_say_why(go, settings, steps, why):
    go(*settings)
    with pytest.raises(PocketganError, match=why):
        go(*settings, f"teacher.steps={steps}")


def test_what_a_longer_training_needs_may_be_deleted(go, tmp_path):
    go(STEADY)
    (tmp_path / "run" / "teacher" / MORE_STEPS).unlink()
    assert go(STEADY) == [True, True]


def test_how_often_it_is_shown_and_saved_changes_nothing(go, stopped, weights, capsys):
    stopped(after=2)
    go("teacher.sample_every=3", "teacher.checkpoint_every=2")
    assert "going on from step 2" in capsys.readouterr().err
    go(out="undisturbed")
    assert same(weights(), weights("undisturbed"))
    assert go("teacher.sample_every=1") == [True, True]


def test_a_data_folder_that_moved_is_the_same_data(go, stopped, tmp_path, capsys):
    for split in ("train", "val"):
        (tmp_path / "here" / split).mkdir(parents=True)
        for index in range(2):
            pixels = np.random.default_rng(index).integers(0, 255, (32, 64, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "here" / split / f"{index}.png")
    stopped(f"data={{source: folder, folder: {tmp_path / 'here'}}}", after=2)
    (tmp_path / "here").rename(tmp_path / "there")
    moved = f"data={{source: folder, folder: {tmp_path / 'there'}}}"
    assert go(moved) == [True, False]
    assert "going on from step 2" in capsys.readouterr().err
    Image.new("RGB", (64, 32)).save(tmp_path / "there" / "train" / "0.png")
    with pytest.raises(PocketganError, match="learnt from other files"):
        go(moved)


def test_a_kill_before_the_last_rename_does_not_cost_the_training(go, weights, monkeypatch):
    go("teacher.steps=1", out="run")
    go(FASTER, out="undisturbed")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(resume, "replace_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            go(FASTER, restart=True)
    monkeypatch.setattr(fit, "fit", killed)  # what is trained is not trained again
    go(FASTER)
    assert same(weights(), weights("undisturbed"))
