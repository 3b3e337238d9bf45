"""LoRA on E2GAN: what trains, what stays, and that merging changes nothing but the form."""

import re
from dataclasses import replace

import pytest
import torch
from concepts import SPEC, base_of, concept_of
from torch import nn

from pocketgan.errors import ModelError
from pocketgan.training.adapter import (
    Ranks,
    adapted_layers,
    default_ranks,
    factor_shapes,
    merge,
    trained_parameters,
    trained_share,
    weights_digest,
)
from pocketgan.training.generators import build, skeleton, spec_by_name
from pocketgan.training.generators.files import load_generator, save_generator
from pocketgan.training.lora import Adapted, attach


def trained_like(base, ranks=Ranks(), seed=2):  # noqa: B008 (frozen)
    """Branches as after a training: A as it is drawn, B as large as A, so that they change every layer visibly."""
    adapted = Adapted(base, concept_of(base.spec.widths["text"]), ranks)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in adapted.branches.named_parameters():
            if name.endswith("1.weight"):
                weight.normal_(0.0, 0.05, generator=generator)
    return adapted


def pictures(spec, count=2, seed=3):
    return torch.rand(count, 3, spec.height, spec.width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_the_published_ranks_train_about_one_percent_at_full_width():
    spec = spec_by_name("e2gan")
    # By hand: A holds rank x inputs x kernel, B outputs x rank.
    downsample = 1 * (64 * 9 + 128) + 1 * (128 * 9 + 256)
    ds = 4 * (256 * 9 + 512)
    tb = 1 * (8 * (512 + 512) + (512 + 1024) + (1024 + 512))
    us, upsample = 8 * (512 * 9 + 256), 8 * (256 * 9 + 128) + 8 * (128 * 9 + 64)
    assert trained_parameters(spec, Ranks()) == downsample + ds + tb + us + upsample == 92_736
    assert 0.008 < trained_share(spec, Ranks()) <= 0.012
    # The other two rows of the paper's table, 0.056 M and 0.164 M: its up-sampling ranks halved and doubled.
    assert trained_parameters(spec, Ranks(us=4, upsample=4)) == pytest.approx(56e3, rel=0.05)
    assert trained_parameters(spec, Ranks(us=16, upsample=16)) == pytest.approx(164e3, rel=0.05)


def test_a_full_width_base_is_adapted_with_the_published_ranks():
    assert default_ranks(spec_by_name("e2gan")) == Ranks(1, 4, 1, 8, 8)


def test_the_mobile_base_gets_ranks_that_train_at_most_the_share_that_a_concept_may():
    spec = spec_by_name("e2gan-mobile")
    # By hand, for a rank of 1: rank x (inputs x kernel + outputs) of each layer.
    downsample = (16 * 9 + 32) + (32 * 9 + 96)
    ds, us = 96 * 9 + 192, 192 * 9 + 96
    tb = 4 * (192 + 192) + 2 * (192 + 192) + 2 * (512 + 192) + 2 * (192 + 384)
    upsample = (96 * 9 + 32) + (32 * 9 + 16)
    ranks = default_ranks(spec)
    # DS and US are at 1 before Upsample gets less than its published 8.
    assert ranks == Ranks(1, 1, 1, 1, 7)
    assert trained_parameters(spec, ranks) == downsample + ds + tb + us + 7 * upsample == 16_704
    assert 0.01 < trained_share(spec, ranks) <= 0.012 < trained_share(spec, Ranks(1, 1, 1, 1, 8))


def test_ds_and_us_shrink_first_and_by_one_factor():
    spec = spec_by_name("e2gan", ngf=40)
    # 4 and 8 times five eighths, DS rounded down.
    assert default_ranks(spec) == Ranks(1, 2, 1, 5, 8)
    assert trained_share(spec, Ranks(1, 2, 1, 5, 8)) <= 0.012 < trained_share(spec, Ranks(1, 3, 1, 6, 8))


def test_a_base_so_narrow_that_ranks_of_one_are_above_the_share_gets_these():
    assert default_ranks(spec_by_name("e2gan", ngf=2)) == Ranks(1, 1, 1, 1, 1)


def test_exactly_the_five_parts_are_adapted():
    layers = adapted_layers(skeleton(SPEC), SPEC)
    by_part = {}
    for path, part in layers.items():
        by_part.setdefault(part, []).append(path)
    attention = ("query", "key", "value", "out")
    assert by_part == {
        "downsample": ["down1.conv", "down2.conv"],
        "ds": ["ds"],
        "tb": [
            *(f"tb.self_attention.{name}" for name in attention),
            *(f"tb.cross_attention.{name}" for name in attention),
            "tb.feed1",
            "tb.feed2",
        ],
        "us": ["us.conv"],
        "upsample": ["up1.conv", "up2.conv"],
    }


def test_every_layer_has_the_rank_of_its_part_and_no_rank_scales_its_branch():
    ranks = Ranks(2, 3, 5, 7, 11)
    adapted = Adapted(base_of(), concept_of(), ranks)
    seen = {path: layer for path, layer in adapted.base.named_modules() if hasattr(layer, "lora_A")}
    layers = adapted_layers(build(SPEC), SPEC)
    assert seen.keys() == layers.keys()
    for path, layer in seen.items():
        assert layer.r["default"] == ranks.to_json()[layers[path]], path
        assert layer.scaling["default"] == 1.0, path


def test_a_layer_whose_name_ends_like_an_adapted_one_is_left_alone():
    base = base_of()
    base.module.rb1.add_module("down1", nn.Sequential())
    base.module.rb1.down1.add_module("conv", nn.Conv2d(4, 4, 3))
    adapted = Adapted(base, concept_of(), Ranks())
    assert type(adapted.base.rb1.down1.conv) is nn.Conv2d


def test_only_the_branches_train_and_are_what_the_shapes_say():
    adapted = Adapted(base_of(), concept_of(), Ranks())
    trained = [weight for weight in adapted.parameters() if weight.requires_grad]
    assert {id(weight) for weight in trained} == {id(weight) for weight in adapted.branches.parameters()}
    assert sum(weight.numel() for weight in trained) == trained_parameters(SPEC, Ranks())
    shapes = {path: (tuple(a.shape), tuple(b.shape)) for path, (a, b) in adapted.adapter().factors.items()}
    assert shapes == factor_shapes(SPEC, Ranks())


def test_fresh_branches_change_nothing_and_depend_on_their_seed_alone():
    base = base_of()
    first, again, other = (Adapted(base, concept_of(), Ranks(), seed=seed) for seed in (5, 5, 6))
    images = pictures(SPEC)
    with torch.no_grad():
        assert torch.equal(first(images), base.module(images, first.concept_tokens.expand(2, -1, -1)))
    a = [adapted.adapter().factors["us.conv"][0] for adapted in (first, again, other)]
    assert torch.equal(a[0], a[1])
    assert not torch.equal(a[0], a[2])


@pytest.mark.parametrize("norm", ["batch", "batch-plain", "instance", "instance-affine"])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 48)])
def test_merged_equals_adapter_plus_base(norm, height, width):
    spec = spec_by_name("e2gan", ngf=8, norm=norm, height=height, width=width)
    base = base_of(spec)
    adapted = trained_like(base)
    merged = merge(base, adapted.adapter())
    images = pictures(spec)
    with torch.no_grad():
        together, plain = adapted(images), merged.module(images)
        with adapted.off():
            alone = adapted(images)
    assert (together - plain).abs().max() <= 1e-5
    assert (together - alone).abs().max() > 0.1  # else equality would say nothing


def test_a_merged_generator_has_no_trace_of_lora(tmp_path):
    base = base_of()
    adapted = trained_like(base)
    merged = merge(base, adapted.adapter())
    save_generator(tmp_path / "m.safetensors", merged.module, merged.spec, merged.metadata)
    read = load_generator(tmp_path / "m.safetensors")
    assert read.spec == base.spec
    assert read.module.state_dict().keys() == base.module.state_dict().keys()
    assert type(read.module) is type(base.module)
    assert torch.equal(read.module.concept[0], adapted.concept.tokens)
    assert read.metadata == {
        "trained": "yes",
        "concept": "make it an ink drawing",
        "concept_name": "ink",
        "text_encoder": "sentences",
        "text_encoder_digest": "cd" * 32,
        "base_sha256": weights_digest(base.module),
    }


def test_merging_leaves_the_base_as_it_was():
    base = base_of()
    before = {name: tensor.clone() for name, tensor in base.module.state_dict().items()}
    merge(base, trained_like(base).adapter())
    assert all(torch.equal(tensor, before[name]) for name, tensor in base.module.state_dict().items())


def test_an_attached_adapter_computes_what_was_trained():
    base = base_of()
    adapted = trained_like(base)
    images = pictures(SPEC)
    with torch.no_grad():
        assert torch.equal(attach(base, adapted.adapter())(images), adapted(images))


def test_an_adapter_of_another_base_is_refused_by_both_digests():
    base, other = base_of(seed=0), base_of(seed=1)
    adapter = trained_like(base).adapter()
    with pytest.raises(ModelError) as refused:
        merge(other, adapter)
    said = str(refused.value)
    assert weights_digest(base.module) in said
    assert weights_digest(other.module) in said
    assert "\n" not in said
    wider = base_of(replace(SPEC, widths={**SPEC.widths, "up2": 8}))
    with pytest.raises(ModelError, match=f"{SPEC.digest}.*{wider.spec.digest}"):
        merge(wider, adapter)


def test_a_merged_generator_is_no_base_of_its_own_adapter():
    base = base_of()
    adapter = trained_like(base).adapter()
    with pytest.raises(ModelError, match="of another base"):
        merge(merge(base, adapter), adapter)


def test_the_text_in_a_bases_file_is_no_part_of_its_identity():
    base, other = base_of(), base_of()
    other.module.concept.zero_()
    assert weights_digest(base.module) == weights_digest(other.module)
    other.module.down1.norm.running_mean[0] += 1e-3
    assert weights_digest(base.module) != weights_digest(other.module)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda factors: factors.pop("us.conv"), "lacks factors of us.conv"),
        (lambda factors: factors.update({"rb1.second": factors["ds"]}), "unknown layers: rb1.second"),
        (lambda factors: factors.update({"ds": factors["us.conv"]}), "factors of ds with the shapes"),
    ],
)
def test_factors_that_are_not_those_of_the_ranks_are_refused(change, said):
    base = base_of()
    adapter = trained_like(base).adapter()
    factors = dict(adapter.factors)
    change(factors)
    with pytest.raises(ModelError, match=re.escape(said)):
        merge(base, replace(adapter, factors=factors))


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (nn.ConvTranspose2d(32, 16, 3), "us.conv is a transposed convolution"),
        (nn.Conv2d(32, 16, 3, groups=2), "us.conv is a convolution of 2 groups"),
        (nn.Conv2d(32, 16, 3, padding=1, padding_mode="reflect"), "us.conv pads by reflect"),
    ],
)
def test_layers_that_cannot_be_merged_are_refused_by_name(layer, said):
    base = base_of()
    base.module.us.conv = layer
    with pytest.raises(ModelError, match=said):
        Adapted(base, concept_of(), Ranks())


def test_another_family_is_refused():
    spec = spec_by_name("resnet6", ngf=2, height=32, width=32)
    with pytest.raises(ModelError, match="LoRA adapts the five parts of an e2gan"):
        adapted_layers(skeleton(spec), spec)


@pytest.mark.parametrize("rank", [0, -1, 513, 1.0, True])
def test_a_rank_that_is_none_is_refused(rank):
    with pytest.raises(ModelError, match="the rank of tb is a whole number from 1 to 512"):
        Ranks(tb=rank)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"text": " "}, "one is empty"),
        ({"name": ""}, "one is empty"),
        ({"name": "a\nb"}, "one line"),
        ({"tokens": torch.zeros(1, 512)}, "77 tokens"),
        ({"tokens": torch.full((77, 512), 1e6)}, "float16"),
        ({"tokens": torch.full((77, 512), float("nan"))}, "finite"),
    ],
)
def test_a_concept_that_is_none_is_refused(named, said):
    with pytest.raises(ModelError, match=said):
        concept_of(**named)


def test_text_of_another_width_is_refused():
    base = base_of()
    adapter = trained_like(base).adapter()
    with pytest.raises(ModelError, match="is 256 wide, that of the base 512"):
        merge(base, replace(adapter, concept=concept_of(256)))
