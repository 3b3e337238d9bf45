"""From photos to two effects in one bundle with their frame rates, by the commands of docs/concepts.md."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from pocketgan.training.data.concepts import read_concepts
from pocketgan.training.text.encoder import EncoderIdentity
from pocketgan.training.text.precomputed import write_features

SMALL = [
    "resolution=32", "data.text=texts.safetensors", "teacher.generator=e2gan", "teacher.ngf=4", "teacher.ndf=4",
    "teacher.steps=2", "teacher.batch_size=2", "adapt.concepts=[thermal]", "adapt.steps=2", "adapt.ndf=4",
]  # fmt: skip


@pytest.fixture
def answer(said, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code, out, problem = said(*arguments, "--json")
        assert code == 0, problem
        return json.loads(out)

    return run


@pytest.mark.slow
def test_two_effects_in_one_bundle_with_their_frame_rates(answer, tmp_path):
    (tmp_path / "photos").mkdir()
    for seed in range(12):
        pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((48, 40)).save(tmp_path / f"photos/{seed:02}.png")
    wished = [word for name in ("sepia", "noir", "thermal", "vintage") for word in ("--concept", name)]
    answer("pairs", "make", "photos", *wished, "--size", "32", "--out", "effects")
    texts = [concept.record.text for concept in read_concepts(tmp_path / "effects")]
    features = torch.randn(len(texts), 77, 512, generator=torch.Generator().manual_seed(0))
    write_features(tmp_path / "texts.safetensors", texts, features, EncoderIdentity("random", "ab" * 32))

    settings = [word for setting in SMALL for word in ("--set", setting)]
    answer("run", "e2gan_base", "--data", "effects", "--out", "run", "--until", "adapt", *settings)
    base, adapters = "run/teacher/generator.safetensors", "run/adapt"
    by_hand = ("--data", "effects/vintage", "--text", texts[-1], "--encoder", "texts.safetensors")
    answer("adapt", base, *by_hand, "--steps", "2", "--batch-size", "2", "--out", f"{adapters}/vintage.safetensors")
    merged = answer("merge", base, f"{adapters}/vintage.safetensors", "--out", "vintage.safetensors")
    assert (merged["concept"], merged["text"]) == ("vintage", texts[-1])

    written = answer("export", base, "--concepts", adapters, "--target", "onnx", "--workers", "1", "--out", "pack.pgb")
    assert list(written["onnx-fp32"]["concepts"]) == ["vintage"]  # beside the default, thermal
    quick = ("--iterations", "3", "--rounds", "1", "--runs", "1", "--warmup", "1")
    told = answer("bench", "pack.pgb", "--concept", "thermal,vintage", *quick, "--out", "results.jsonl")
    found = {row["concept"]: row["fps"] for row in told["measured"]}
    assert set(found) == {"thermal", "vintage"}
    assert min(found.values()) > 1
