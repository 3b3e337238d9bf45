"""`pocketgan ranks`: what it prints and writes, that adapt takes it, and what it refuses."""

import json

import pytest
from concept_folders import make_base_and_pairs, write_texts
from concepts import SPEC

from pocketgan.training.adapter import Ranks, trained_parameters
from pocketgan.training.adapter_files import load_adapter

BUDGET = trained_parameters(SPEC, Ranks(2, 1, 1, 1, 1))


@pytest.fixture
def given(tmp_path):
    """A base, photos and their negatives, and the features of a text, as arguments."""
    base, pairs = make_base_and_pairs(tmp_path, train=5)
    text = write_texts(tmp_path / "text.safetensors", "a negative")
    return [base, "--data", pairs, "--text", "a negative", "--encoder", text, "--steps", 1]


def test_the_ranks_found_are_printed_written_and_taken_by_adapt(said, given, tmp_path):
    out, adapter = tmp_path / "ranks.json", tmp_path / "a.safetensors"
    code, printed, _ = said("ranks", *given, "--out", out, "--budget", BUDGET, "--metric", "l1")
    assert code == 0
    found = Ranks(**json.loads(out.read_text())["ranks"])
    assert f"--ranks {found} " in printed
    assert "1,1,1,1,1" in printed
    assert "2,1,1,1,1" in printed
    assert said("adapt", *given, "--ranks", out, "--out", adapter)[0] == 0
    assert load_adapter(adapter).ranks == found


def test_json_is_what_the_file_holds(said, given, tmp_path):
    out = tmp_path / "ranks.json"
    least = trained_parameters(SPEC, Ranks(1, 1, 1, 1, 1))
    code, printed, _ = said("ranks", *given, "--out", out, "--budget", least, "--metric", "l1", "--json")
    assert code == 0
    assert json.loads(printed) == {"out": str(out), **json.loads(out.read_text())}


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--budget", "much", "--budget is a share of the base such as 1.2%, or a number of parameters, not 'much'"),
        ("--budget", "0%", "--budget is a share of the base"),
        ("--budget", "1.5", "--budget is a share of the base"),
        ("--budget", "1.2%", "above the budget of"),
        ("--start", "1,2", "ranks are 5 whole numbers"),
        ("--start", "9999,1,1,1,1", "the rank of downsample is a whole number from 1 to 512"),
    ],
)
def test_what_cannot_be_searched_is_told_in_one_line(said, given, tmp_path, option, value, words):
    out = tmp_path / "ranks.json"
    code, _, err = said("ranks", *given, "--out", out, "--metric", "l1", option, value)
    assert code == 2
    assert words in err
    assert err.count("\n") == 1
    assert not out.exists()


def test_a_file_that_holds_no_ranks_is_told_by_adapt(said, given, tmp_path):
    (tmp_path / "ranks.json").write_text("{}")
    code, _, err = said("adapt", *given, "--ranks", tmp_path / "ranks.json", "--out", tmp_path / "a.safetensors")
    assert (code, err.count("\n")) == (2, 1)
    assert "is no file that `pocketgan ranks` wrote" in err
