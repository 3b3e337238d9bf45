"""Rank search on pairs: what judges a try, that a kill costs little, and what the report says."""

import json

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from concepts import SPEC, base_of, concept_of

from pocketgan.errors import BudgetError, DataError, ModelError
from pocketgan.pictures import read_image, write_image
from pocketgan.training.adapter import Ranks, merge, trained_parameters
from pocketgan.training.adapting import AdaptOptions, adapt
from pocketgan.training.data.images import to_tensor
from pocketgan.training.data.kept import kept_for_choosing
from pocketgan.training.data.paired import Pair, PairedImages
from pocketgan.training.generators.files import load_generator, save_generator
from pocketgan.training.processes import join
from pocketgan.training.rank_judge import read_ranks, search_ranks_folder
from pocketgan.training.state import TrainingState

LEAST = Ranks(1, 1, 1, 1, 1)
OPTIONS = AdaptOptions(3, LEAST, batch_size=2, learning_rate=1e-2, ndf=4, seed=3, checkpoint_every=2)
# Of the neighbours of ranks of 1, Downsample's doubled is within it alone: the other parts have more channels.
BUDGET = trained_parameters(SPEC, Ranks(2, 1, 1, 1, 1))


@pytest.fixture(autouse=True)
def _forget_precision():
    yield
    AcceleratorState._reset_state()


@pytest.fixture
def given(tmp_path):
    """A base's file, and seven pairs to train on."""
    save_generator(tmp_path / "base.safetensors", base_of().module, SPEC, {"trained": "yes"})
    random = np.random.default_rng(0)
    for split, count in (("train", 7), ("val", 1)):
        for index in range(count):
            picture = random.integers(0, 256, (32, 32, 3)).astype(np.uint8)
            write_image(tmp_path / "pairs" / split / f"{index}.png", np.concatenate([picture, 255 - picture], 1))
    return tmp_path / "base.safetensors", tmp_path / "pairs"


def searched(given, out, options=OPTIONS, **settings):
    settings = {"metric": "l1", "most_parameters": BUDGET, **settings}
    return search_ranks_folder(given[0], given[1], concept_of(), options, out, **settings)


def test_a_try_is_judged_on_the_one_pair_in_seven_that_it_was_not_trained_on(given, tmp_path):
    report = searched(given, tmp_path / "ranks.json", most_parameters=trained_parameters(SPEC, LEAST))
    assert report["images"] == {"trained": 6, "kept": 1}  # 15 % of 7, rounded
    (kept,) = kept_for_choosing([f"train/{index}.png" for index in range(7)], OPTIONS.seed)
    others = [Pair(path) for path in sorted((given[1] / "train").iterdir()) if path.name not in kept]
    base, images = load_generator(given[0]), PairedImages(others, "AtoB", (32, 32), flip=True)
    adapter = adapt(base, images, concept_of(), OPTIONS, tmp_path / "by-hand", join(cpu=True))
    picture = to_tensor(read_image(given[1] / kept))[None]
    with torch.no_grad():
        made = merge(base, adapter).module(picture[..., :32])
    assert len(others) == 6
    assert report["l1"] == pytest.approx(float((made - picture[..., 32:]).abs().mean()), abs=1e-6)


def test_the_report_names_every_try_and_none_above_the_budget(given, tmp_path):
    out = tmp_path / "ranks.json"
    report = searched(given, out)
    assert json.loads(out.read_text()) == report
    tries = {tuple(row["ranks"].values()): row for row in report["tries"]}
    assert tries.keys() == {(1, 1, 1, 1, 1), (2, 1, 1, 1, 1)}
    assert [row["parameters"] for row in report["tries"]] == [trained_parameters(SPEC, LEAST), BUDGET]
    best = min(report["tries"], key=lambda row: (row["l1"], row["parameters"]))
    assert (report["ranks"], report["l1"], report["share"]) == (best["ranks"], best["l1"], best["share"])
    assert best["taken"]
    assert read_ranks(out) == Ranks(**best["ranks"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.safetensors", "pairs", "ranks.json"]


class KilledError(Exception):
    pass


def test_a_killed_search_goes_on_within_its_try_and_ends_in_the_same_file(given, tmp_path, monkeypatch):
    steps, step = [], TrainingState.step

    def counted(self, samples, number):
        steps.append(number)
        if len(steps) == 6:
            raise KilledError
        return step(self, samples, number)

    monkeypatch.setattr(TrainingState, "step", counted)
    killed, whole = tmp_path / "killed.json", tmp_path / "whole.json"
    with pytest.raises(KilledError):
        searched(given, killed)
    assert not killed.exists()
    searched(given, killed)
    # The first try's three steps are not taken again, nor the two of the second before its checkpoint.
    assert steps == [0, 1, 2, 0, 1, 2, 2]
    searched(given, whole)
    assert killed.read_bytes() == whole.read_bytes()


def test_the_share_of_the_base_is_a_budget_too(given, tmp_path):
    whole = sum(weight.numel() for weight in base_of().module.parameters())
    report = searched(given, tmp_path / "r.json", most_parameters=None, most_share=(BUDGET + 0.5) / whole)
    assert report["budget"] == BUDGET


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"most_share": 0.012, "most_parameters": None}, BudgetError, "start from smaller ones, or raise the budget"),
        ({"metric": "lpips", "lpips_weights": "gone.pth"}, ModelError, "gone.pth.*; or judge by .*: --metric l1"),
        ({"only": ["1"]}, DataError, "holds 1 pair to train on, and choosing keeps one back"),
        ({"only": ["1", "2"]}, DataError, "holds 1 pairs to train on, fewer than the 2 of a step"),
    ],
)
def test_what_cannot_be_searched_is_told_before_a_step(given, tmp_path, monkeypatch, settings, error, words):
    monkeypatch.chdir(tmp_path)
    if "lpips_weights" in settings:
        pytest.importorskip("lpips")
        settings = {**settings, "lpips_weights": tmp_path / "gone.pth"}
    with pytest.raises(error, match=words):
        searched(given, tmp_path / "r.json", **settings)
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize(
    "text", ["", "[]", '{"what": "images"}', '{"what": "ranks", "version": 1, "ranks": {"tb": 1}}']
)
def test_a_file_of_no_rank_search_is_refused(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(DataError, match="is no file that `pocketgan ranks` wrote, or damaged"):
        read_ranks(tmp_path / "r.json")
