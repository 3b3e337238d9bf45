"""`pocketgan merge`: what it writes, what it says, and what it refuses."""

import json
import sys

import numpy as np
import pytest
import torch
from concepts import SPEC, base_of, concept_of

from pocketgan.cli import main
from pocketgan.pictures import write_image
from pocketgan.training.adapter import Adapter, Ranks, factor_shapes, merge, weights_digest
from pocketgan.training.adapter_files import load_adapter, save_adapter
from pocketgan.training.generators.files import load_generator, save_generator
from pocketgan.training.text.encoder import EncoderIdentity
from pocketgan.training.text.precomputed import write_features


@pytest.fixture
def said(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["pocketgan", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    return run


@pytest.fixture
def files(tmp_path):
    """A base, an adapter of it, and another base."""
    for name, seed in (("base", 0), ("other", 1)):
        base = base_of(seed=seed)
        save_generator(tmp_path / f"{name}.safetensors", base.module, base.spec, base.metadata)
    base, random = base_of(), torch.Generator().manual_seed(0)
    factors = {
        path: (0.1 * torch.randn(a, generator=random), 0.1 * torch.randn(b, generator=random))
        for path, (a, b) in factor_shapes(SPEC, Ranks()).items()
    }
    adapter = Adapter(SPEC.digest, weights_digest(base.module), Ranks(), concept_of(), factors)
    save_adapter(tmp_path / "ink.safetensors", adapter)
    return tmp_path / "base.safetensors", tmp_path / "ink.safetensors", tmp_path / "other.safetensors", adapter


def test_merge_writes_a_plain_generator(said, files, tmp_path):
    base, ink, _, adapter = files
    code, out, _ = said("merge", base, ink, "--out", tmp_path / "m.safetensors", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["concept"] == "ink"
    assert told["text"] == "make it an ink drawing"
    assert told["base_sha256"] == weights_digest(base_of().module)
    assert told["ranks"] == {"downsample": 1, "ds": 4, "tb": 1, "us": 8, "upsample": 8}
    assert told["bytes"] == (tmp_path / "m.safetensors").stat().st_size
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = merge(base_of(), adapter).module(images)
        assert torch.equal(load_generator(tmp_path / "m.safetensors").module(images), expected)


@pytest.fixture
def pairs(tmp_path):
    """Photos and their negatives, and the features of a text."""
    random = np.random.default_rng(0)
    for split, count in (("train", 5), ("val", 2)):
        for index in range(count):
            picture = random.integers(0, 256, (32, 32, 3)).astype(np.uint8)
            write_image(tmp_path / "pairs" / split / f"{index}.png", np.concatenate([picture, 255 - picture], 1))
    tokens = torch.randn(1, 77, 512, generator=torch.Generator().manual_seed(0))
    write_features(tmp_path / "text.safetensors", ["a negative"], tokens, EncoderIdentity("sentences", "cd" * 32))
    return ["--data", tmp_path / "pairs", "--text", "a negative", "--encoder", tmp_path / "text.safetensors"]


def test_adapt_learns_from_pairs_and_merge_takes_what_it_wrote(said, files, pairs, tmp_path):
    base, negative, whole = files[0], tmp_path / "negative.safetensors", tmp_path / "m.safetensors"
    code, out, _ = said("adapt", base, *pairs, "--steps", 2, "--out", negative, "--ranks", "1,2,1,2,2", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["concept"] == "negative"
    assert told["images"] == 5
    assert told["bytes"] == negative.stat().st_size
    assert said("merge", base, negative, "--out", whole)[0] == 0
    assert load_generator(whole).metadata["concept"] == "a negative"


def test_adapt_without_ranks_takes_those_of_the_base(said, files, pairs, tmp_path):
    negative = tmp_path / "negative.safetensors"
    assert said("adapt", files[0], *pairs, "--steps", 1, "--out", negative)[0] == 0
    assert load_adapter(negative).ranks == Ranks(1, 1, 1, 1, 1)  # 1.2 % of so narrow a base is less than they train


def test_adapt_full_writes_a_whole_model_of_the_concept(said, files, pairs, tmp_path):
    out = tmp_path / "whole.safetensors"
    code, printed, _ = said("adapt", files[0], *pairs, "--steps", 1, "--out", out, "--full", "--json")
    assert code == 0
    assert json.loads(printed)["trained_share"] == 1
    assert load_generator(out).metadata["concept"] == "a negative"


@pytest.mark.parametrize(
    "text", [json.dumps({"what": "images", "chosen": ["0.png", "4.png", "1.png", "2.png"]}), "0\n\n 4 \n1.png\n2.jpg\n"]
)
def test_adapt_trains_on_the_pictures_of_a_coreset(said, files, pairs, tmp_path, text):
    (tmp_path / "chosen").write_text(text)
    told = ["--coreset", tmp_path / "chosen", "--out", tmp_path / "n.safetensors", "--json"]
    code, printed, _ = said("adapt", files[0], *pairs, "--steps", 1, *told)
    assert code == 0
    assert json.loads(printed)["images"] == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (json.dumps({"what": "texts", "chosen": ["ink"]}), "is a choice of texts; a concept is trained on"),
        (json.dumps({"what": "images", "chosen": ["0.png", "7.png"]}), "1 chosen picture has no pair in"),
        (json.dumps({"what": "images", "chosen": [1]}), "or damaged (the chosen ones are no names); choose again"),
        ("{", "is no file of `pocketgan coreset`, or damaged"),
        ("\n", "names no picture"),
        ("0\n1\n2\n", "holds 3 pairs to train on, fewer than the 4 of a step"),
        (None, "is no readable file of chosen pictures"),
    ],
)
def test_a_coreset_that_cannot_be_trained_on_is_told_in_one_line(said, files, pairs, tmp_path, text, words):
    out, chosen = tmp_path / "n.safetensors", tmp_path / "chosen"
    if text is not None:
        chosen.write_text(text)
    code, _, err = said("adapt", files[0], *pairs, "--steps", 1, "--out", out, "--coreset", chosen)
    assert code == 2
    assert words in err
    assert err.count("\n") == 1
    assert not out.exists()


def test_ranks_of_a_training_without_lora_are_told(said, files, pairs, tmp_path):
    code, _, err = said(
        "adapt", files[0], *pairs, "--steps", 1, "--out", tmp_path / "w.safetensors", "--full", "--ranks", "1,1,1,1,1"
    )
    assert (code, err.count("\n")) == (2, 1)
    assert "--ranks are LoRA's, and --full trains all weights without it" in err


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--ranks", "1,2,3", "ranks are 5 whole numbers with commas between"),
        ("--ranks", "1,2,0,4,5", "the rank of tb is a whole number from 1 to 512"),
        ("--size", "big", "--size takes height x width"),
        ("--size", "33x33", "multiples of 8"),
        ("--batch-size", "6", "holds 5 pairs to train on, fewer than the 6 of a step"),
        ("--text", "an ink drawing", "has no features of 'an ink drawing'"),
        ("--name", " ", "a concept has a name and a text"),
        ("--data", "gone", "there is no data folder gone"),
    ],
)
def test_what_cannot_be_learnt_is_told_in_one_line(said, files, pairs, tmp_path, option, value, words):
    out = tmp_path / "n.safetensors"
    code, _, err = said("adapt", files[0], *pairs, "--steps", 1, "--out", out, option, value)
    assert code == 2
    assert words in err
    assert err.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("base", "adapter", "words"),
    [
        ("other", "ink", "is of another base"),
        ("base", "base", "a whole generator, no adapter"),
        ("ink", "ink", "is the adapter of a base"),
        ("base", "none", "there is no adapter file"),
        ("none", "ink", "there is no model file"),
    ],
)
def test_what_cannot_be_merged_is_told_in_one_line_and_writes_nothing(said, files, tmp_path, base, adapter, words):
    out = tmp_path / "m.safetensors"
    code, _, err = said("merge", tmp_path / f"{base}.safetensors", tmp_path / f"{adapter}.safetensors", "--out", out)
    assert code == 2
    assert words in err
    assert err.count("\n") == 1
    assert not out.exists()
