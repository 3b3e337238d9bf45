"""`pocketgan adapt` and `merge`: what they write, what they say, and what they refuse."""

import json

import numpy as np
import pytest
import torch
from concept_folders import make_concepts, write_texts
from concepts import SPEC, base_of, concept_of

from pocketgan.pictures import write_image
from pocketgan.training.adapter import Adapter, Ranks, factor_shapes, merge, weights_digest
from pocketgan.training.adapter_files import load_adapter, save_adapter
from pocketgan.training.generators.files import load_generator, save_generator
from pocketgan.training.text.encoder import EncoderIdentity
from pocketgan.training.text.precomputed import write_features


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


@pytest.fixture
def many(tmp_path):
    """Arguments for a list of two concepts, of which one has fewer pairs than a step takes."""
    texts = {"red": "make it red", "dark": "make it dark"}
    make_concepts(tmp_path / "made", texts)
    listed = tmp_path / "concepts.yaml"
    listed.write_text(f"pairs: {tmp_path / 'made'}\nconcepts: [red, {{name: dark, batch_size: 9}}]\n")
    encoder = write_texts(tmp_path / "texts.safetensors", *texts.values())
    return ["--concepts", listed, "--encoder", encoder, "--steps", 1, "--workers", 0]


def test_many_concepts_are_one_table_and_one_that_fails_is_exit_code_1(said, files, many, tmp_path):
    code, out, _ = said("adapt", files[0], *many, "--out", tmp_path / "out")
    rows = {line.split()[0]: line.split()[1] for line in out.splitlines() if line.startswith(("red", "dark "))}
    assert code == 1
    assert rows == {"red": "done", "dark": "failed"}
    assert "dark: " in out
    assert "holds 4 pairs to train on, fewer than the 9 of a step" in out
    assert "1 of 2 concepts" in out
    code, out, _ = said("adapt", files[0], *many, "--out", tmp_path / "out", "--json")
    told = json.loads(out)
    assert (code, told["ok"], told["base_digest"]) == (1, False, weights_digest(base_of().module))
    assert [(one["name"], one["state"]) for one in told["concepts"]] == [("red", "kept"), ("dark", "failed")]
    assert told["concepts"][0]["adapter"]["bytes"] == (tmp_path / "out" / "red.safetensors").stat().st_size


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--data", "x", "--name", "ink"], "--data, --name are for one concept"),
        (["--lpips-weights", "alex.pth"], "--lpips-weights is for --old"),
        (["--workers", "-1"], "--workers -1: wanted 0"),
        (["--workers", "1", "--address", "tcp://h:1"], "--address and --workers exclude each other"),
        (["--concepts", "gone.yaml"], "there is no list of concepts gone.yaml"),
        (["--encoder", "gone.safetensors"], "there is no file of text features gone.safetensors"),
        (["--old", "gone"], "gone was not made by `pocketgan pairs make`"),
    ],
)
def test_what_many_concepts_cannot_be_given_is_told_in_one_line(said, files, many, tmp_path, more, words):
    code, _, err = said("adapt", files[0], *many, "--out", tmp_path / "out", *more)
    assert code == 2
    assert words in err
    assert err.count("\n") == 1


def test_a_cluster_that_does_not_answer_is_warned_of_and_told(said, files, many, tmp_path, monkeypatch):
    monkeypatch.setattr("pocketgan.training.task_clusters.CONNECT_S", 0.5)
    code, _, err = said("adapt", files[0], *many[:-2], "--out", tmp_path / "out", "--address", "tcp://127.0.0.1:9")
    assert code == 2
    warning, line = err.splitlines()
    assert warning.startswith("warning: everything at tcp://127.0.0.1:9 is trusted in full")
    assert "the cluster at tcp://127.0.0.1:9 does not answer" in line


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--workers", "2", "--old", "x"], "--old, --workers are for many concepts: name a list with --concepts"),
        (["--data", "x", "--text", "ink"], "a concept needs --data, --text and --steps"),
    ],
)
def test_what_one_concept_cannot_be_given_is_told_in_one_line(said, files, tmp_path, more, words):
    code, _, err = said("adapt", files[0], *more, "--out", tmp_path / "a.safetensors")
    assert (code, err.count("\n")) == (2, 1)
    assert words in err


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
