"""Where an e2gan's transformer block stands: what it costs there, and that nothing else changes."""

import json

import pytest
import torch
from concepts import base_of, concept_of
from safetensors import safe_open

from pocketgan.api import load_recipe
from pocketgan.errors import ModelError, RecipeError
from pocketgan.pipeline.networks import teacher_spec
from pocketgan.recipe.choices import TRANSFORMER_PLACES
from pocketgan.training.adapter import Ranks, merge
from pocketgan.training.cost import cost
from pocketgan.training.generators import GeneratorSpec, build, prunable, spec_by_name
from pocketgan.training.generators.files import METADATA_KEY, load_generator, read_spec, save_generator
from pocketgan.training.lora import Adapted
from pocketgan.training.removal import inherit


def spec_at(place, name="e2gan", **options):
    return spec_by_name(name, **{"ngf": 4, "height": 32, "width": 32, **options}, transformer_after=place)


def test_a_default_spec_has_the_digest_that_it_had_before_there_was_a_choice():
    # Printed by the version before.
    digest = "0e15fe46c5f28dc071c1d7e63f3dd32b23aa6edf48eea281826702a916db6f02"
    assert spec_by_name("e2gan").digest == spec_by_name("e2gan", transformer_after="ds").digest == digest
    assert spec_by_name("e2gan", transformer_after="us").digest != digest


@pytest.mark.parametrize("place", TRANSFORMER_PLACES)
def test_a_model_file_says_where_the_block_stands_and_one_without_a_word_has_it_in_the_middle(tmp_path, place):
    path, spec = tmp_path / "m.safetensors", spec_at(place)
    network = build(spec).eval()
    save_generator(path, network, spec, {})
    with safe_open(path, "pt") as file:
        told = json.loads(file.metadata()[METADATA_KEY])["spec"]
    assert told.get("transformer_after") == (None if place == "ds" else place)
    assert read_spec(path) == spec
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(load_generator(path).module(images), network(images))


def params_of_a_block(c, text=512):
    """By hand: three layer norms, attention to itself and to the text (out has a bias), feed-forward of twice c."""
    attention = 3 * c * c + c * c + c
    cross = c * c + 2 * text * c + c * c + c
    return 3 * 2 * c + attention + cross + (2 * c * c + 2 * c) + (2 * c * c + c)


@pytest.mark.parametrize(("place", "width"), [(place, 256) for place in TRANSFORMER_PLACES if place != "ds"])
def test_the_block_is_as_wide_as_the_maps_where_it_stands(place, width):
    middle, there = cost(spec_by_name("e2gan")), cost(spec_by_name("e2gan", transformer_after=place))
    assert middle.params - there.params == params_of_a_block(512) - params_of_a_block(width)


def test_attention_at_four_times_the_tokens_costs_sixteen_times_the_products():
    # Of 256x256, 64x64 tokens of 256 numbers against 32x32 of 512; keys and values of the text's 77 tokens apart.
    def macs(tokens, c, text=512, words=77):
        linear = tokens * (4 * c * c + 2 * c * c + 4 * c * c)
        return linear + 2 * words * text * c + 2 * tokens * tokens * c + 2 * tokens * words * c

    middle, there = (cost(spec_by_name("e2gan", transformer_after=place)).macs for place in ("ds", "rb1"))
    assert there - middle == macs(64 * 64, 256) - macs(32 * 32, 512)


@pytest.mark.parametrize("place", TRANSFORMER_PLACES)
def test_a_shared_width_is_not_pruned_and_others_are(place):
    spec = spec_at(place)
    stream = {"ds": "tb", "us": "us", "rb3": "us"}.get(place, "down2")
    assert stream not in prunable(spec)
    base = base_of(spec)
    pruned = spec.with_widths({"block1": 3, "up1": 5, **({"us": 9} if stream != "us" else {"down2": 9})})
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert inherit(base.module, spec, pruned)(images).shape == (1, 3, 32, 32)


@pytest.mark.parametrize("place", TRANSFORMER_PLACES)
def test_merging_an_adapter_changes_nothing_at_any_place(place):
    base = base_of(spec_at(place))
    adapted = Adapted(base, concept_of(), Ranks(1, 2, 1, 2, 2))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in adapted.branches.parameters():
            weight.normal_(0.0, 0.05, generator=generator)
        images = torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1
        merged = merge(base, adapted.adapter()).module
        assert (merged(images) - adapted(images)).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"transformer_after": "head"}, "not a generator spec: a transformer block stands after downsample, rb1"),
        ({"transformer_after": ["ds"]}, "not a generator spec"),
        ({"transformer_after": "rb1", "widths": {"down2": 12}}, "the width down2 is a multiple of that, not 12"),
        ({"transformer_after": "ds", "widths": {"tb": 20}}, "the width tb is a multiple of that, not 20"),
    ],
)
def test_a_place_that_cannot_be_is_told(value, words):
    told = spec_at("ds").to_json()
    with pytest.raises(ModelError, match=words):
        build(GeneratorSpec.from_json({**told, **value, "widths": {**told["widths"], **value.get("widths", {})}}))


def test_a_generator_without_a_transformer_has_no_place_for_one():
    with pytest.raises(ModelError, match="resnet has no transformer block that could stand after us"):
        build(spec_by_name("resnet6", transformer_after="us"))


def test_a_recipe_says_where_the_block_of_its_teacher_stands():
    settings = ["teacher.generator=e2gan", "teacher.transformer_after=us"]
    spec = teacher_spec(load_recipe("demo", settings))
    assert (spec.family, spec.transformer_after) == ("e2gan", "us")
    with pytest.raises(RecipeError, match=r"teacher\.transformer_after"):
        load_recipe("demo", ["teacher.generator=e2gan", "teacher.transformer_after=head"])
