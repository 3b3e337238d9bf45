"""An adapter's file: small, whole, and refused in one line where it is not what it should be."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from pocketgan.errors import ModelError
from pocketgan.training.adapter import Adapter, Concept, Ranks, factor_shapes
from pocketgan.training.adapter_files import load_adapter, save_adapter
from pocketgan.training.generators import build, spec_by_name
from pocketgan.training.generators.files import load_generator, save_generator
from pocketgan.training.text.encoder import EncoderIdentity

SPEC = spec_by_name("e2gan", ngf=4, height=32, width=32)


def adapter_of(spec=SPEC, ranks=Ranks()):  # noqa: B008 (frozen)
    """Random factors and tokens, which nothing can make smaller."""
    random = torch.Generator().manual_seed(0)
    factors = {
        path: (torch.randn(a, generator=random), torch.randn(b, generator=random))
        for path, (a, b) in factor_shapes(spec, ranks).items()
    }
    tokens = torch.randn(77, 512, generator=random)
    concept = Concept("ink", "make it an ink drawing", EncoderIdentity("sentences", "cd" * 32), tokens)
    return Adapter(spec.digest, "ab" * 32, ranks, concept, factors)


def test_an_adapter_is_read_as_it_was_written(tmp_path):
    told = adapter_of(ranks=Ranks(2, 4, 1, 8, 16))
    save_adapter(tmp_path / "a.safetensors", told)
    found = load_adapter(tmp_path / "a.safetensors")
    assert (found.spec_digest, found.base_digest, found.ranks) == (told.spec_digest, told.base_digest, told.ranks)
    assert (found.concept.name, found.concept.text) == ("ink", "make it an ink drawing")
    assert found.concept.encoder == EncoderIdentity("sentences", "cd" * 32)
    assert torch.equal(found.concept.tokens, told.concept.tokens)
    assert found.factors.keys() == told.factors.keys()
    for path, factors in told.factors.items():
        assert all(torch.equal(a, b) for a, b in zip(found.factors[path], factors, strict=True)), path


def test_an_adapter_of_the_full_base_is_smaller_than_half_a_megabyte(tmp_path):
    save_adapter(tmp_path / "a.safetensors", adapter_of(spec_by_name("e2gan")))
    # 92,736 factors of 4 bytes, 77 x 512 tokens of 2, and the header
    least = 92_736 * 4 + 77 * 512 * 2
    assert least < (tmp_path / "a.safetensors").stat().st_size < 500_000


def test_equal_adapters_are_equal_files(tmp_path):
    for name in "ab":
        save_adapter(tmp_path / name, adapter_of())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def rewritten(path, change):
    """The file again, after `change(tensors, metadata)`."""
    with safe_open(path, "pt") as file:
        metadata = json.loads(file.metadata()["pocketgan"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(tensors, metadata)
    save_file(tensors, path, {"pocketgan": json.dumps(metadata)})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t, m: t.pop("ds.a"), "lacks the tensor ds.a"),
        (lambda t, m: t.pop("concept"), "lacks its concept's text"),
        (lambda t, m: t.update(extra=torch.zeros(1)), "holds a tensor that no adapter has: extra"),
        (lambda t, m: t["ds.b"].view(-1)[3:4].fill_(float("nan")), "holds numbers in ds.b that are not finite"),
        (lambda t, m: t["concept"].view(-1)[0:1].fill_(float("inf")), "holds numbers in concept that are not finite"),
        (lambda t, m: t.update({"ds.a": torch.zeros(4, dtype=torch.int32)}), "holds numbers in ds.a that are not"),
        (lambda t, m: m.update(version=2), "an adapter of version 2; this pocketgan reads version 1"),
        (lambda t, m: m.update(base_digest="abc"), "damaged: base_digest of its metadata"),
        (lambda t, m: m["concept"].pop("text"), "damaged: concept.text of its metadata"),
        (lambda t, m: m["concept"].update(text=""), "one is empty"),
        (lambda t, m: m["ranks"].pop("tb"), "ranks are those of downsample, ds, tb, us, upsample"),
        (lambda t, m: m["ranks"].update(tb=0), "the rank of tb is a whole number from 1 to 512"),
        (lambda t, m: m.update(kind="other"), "a file of other tensors, no adapter"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_in_one_line(tmp_path, change, said):
    path = tmp_path / "a.safetensors"
    save_adapter(path, adapter_of())
    rewritten(path, change)
    with pytest.raises(ModelError) as refused:
        load_adapter(path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("keep", [0, 5, 300, -1])
def test_a_file_that_was_cut_off_is_damaged(tmp_path, keep):
    path = tmp_path / "a.safetensors"
    save_adapter(path, adapter_of())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match="not a readable adapter file"):
        load_adapter(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(ModelError, match="there is no adapter file"):
        load_adapter(tmp_path / "none.safetensors")


def test_a_generator_and_an_adapter_are_not_taken_for_each_other(tmp_path):
    whole, adapter = tmp_path / "m.safetensors", tmp_path / "a.safetensors"
    save_generator(whole, build(SPEC), SPEC, {"trained": "yes"})
    save_adapter(adapter, adapter_of())
    with pytest.raises(ModelError, match="a whole generator, no adapter"):
        load_adapter(whole)
    with pytest.raises(ModelError, match=r"adapter of a base.*pocketgan merge BASE"):
        load_generator(adapter)
