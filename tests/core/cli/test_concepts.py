"""`pocketgan merge`: what it writes, what it says, and what it refuses."""

import json
import sys

import pytest
import torch
from concepts import SPEC, base_of, concept_of

from pocketgan.cli import main
from pocketgan.training.adapter import Adapter, Ranks, factor_shapes, merge, weights_digest
from pocketgan.training.adapter_files import save_adapter
from pocketgan.training.generators.files import load_generator, save_generator


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
        path: tuple(0.1 * torch.randn(shape, generator=random) for shape in shapes)
        for path, shapes in factor_shapes(SPEC, Ranks()).items()
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
