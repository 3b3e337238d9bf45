"""Generators: sizes of the papers, one seed one network, model files."""

import importlib
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pocketgan.cli import models
from pocketgan.errors import ModelError
from pocketgan.recipe.choices import TRANSFORMER_PLACES
from pocketgan.training.cost import cost, cost_by_layer
from pocketgan.training.generators import (
    NAMES,
    GeneratorSpec,
    build,
    grid,
    prunable,
    smallest_norm,
    spec_by_name,
    use_dropout,
    vanishing,
)
from pocketgan.training.generators.branches import BRANCHES
from pocketgan.training.generators.files import load_generator, read_spec, save_generator

# Facts of the papers and of their code: name, options, parameters, MACs executed and counted by output.
ANCHORS = [
    ("resnet9", {}, 11.378e6, 49.55e9, 56.80e9),
    ("unet256", {}, 54.41e6, 6.05e9, 18.14e9),
    ("unet256", {"ngf": 16}, 3.40e6, None, 1.22e9),
    ("mobile-resnet9", {"ngf": 16}, 0.137e6, None, 1.41e9),
    ("pix2pixhd", {"height": 256, "width": 512}, 182.5e6, None, 151.3e9),
    ("gaugan", {}, 93.05e6, None, 281.3e9),
    ("incres9", {}, 8.14e6, 36.24e9, 43.49e9),
    ("incres-spade", {}, 55.59e6, 109.77e9, 109.77e9),  # CAT's own teacher: its code, counted
]


@pytest.mark.parametrize(("name", "options", "params", "macs", "macs_by_output"), ANCHORS)
def test_costs_are_those_of_the_papers(name, options, params, macs, macs_by_output):
    total = cost(spec_by_name(name, **options))
    assert total.params == pytest.approx(params, rel=4e-3)  # as many digits as are printed
    assert macs is None or total.macs == pytest.approx(macs, rel=4e-3)  # as many digits as are printed
    assert total.macs_by_output == pytest.approx(macs_by_output, rel=4e-3)  # as many digits as are printed


def described_incres_spade():
    """Parameters and MACs of CAT's IncRes-SPADE at 36x256x512, by arithmetic from its description alone."""
    labels, stream, pixels = 36, [64 * k for k in (16, 16, 16, 16, 8, 4, 2, 1)], (256 >> 6) * (512 >> 6)

    def branches(inputs, hidden, outputs, second_norm):
        """Six: conv k, norm, conv k; conv 1, norm, depthwise conv k, norm, conv 1. All convolutions have a bias."""
        params = macs = 0
        for k in (1, 3, 5):
            plain = inputs * hidden * k**2 + hidden * outputs * k**2
            depthwise = inputs * hidden + hidden * k**2 + hidden * outputs
            params += plain + hidden + 2 * hidden + outputs
            params += depthwise + hidden + 2 * hidden + hidden + second_norm * 2 * hidden + outputs
            macs += plain + depthwise
        return params, macs

    first = labels * stream[0] * 9
    params, macs = first + stream[0] + 2 * stream[0], first * pixels  # bias, scale and shift
    doublings = (0, 1, 1, 1, 1, 1, 1)  # in front of every block but the first: six
    for inputs, outputs, doubling in zip(stream, stream[1:], doublings, strict=False):
        pixels *= 4**doubling
        inner = branches(inputs, min(inputs, outputs) // 6, outputs, second_norm=False)
        spade = branches(labels, 128 // 6, 2 * inputs, second_norm=True)
        shortcut = 0 if inputs == outputs else inputs * outputs
        params += inner[0] + spade[0] + shortcut + (2 * inputs if shortcut else 0)
        macs += (inner[1] + spade[1] + shortcut) * pixels
    assert pixels == 256 * 512
    last = stream[-1] * 3 * 9
    return params + last + 3, macs + last * pixels


def test_incres_spade_is_what_its_description_says():
    params, macs = described_incres_spade()
    assert (round(params / 1e6, 2), round(macs / 1e9, 2)) == (55.59, 109.77)
    total = cost(spec_by_name("incres-spade"))
    assert (total.params, total.macs, total.macs_by_output) == (params, macs, macs)


def small(name, norm=None):
    """A tiny network of that name, at its smallest size, twice as wide as high."""
    spec = spec_by_name(name, ngf=6, norm=norm)
    least = importlib.import_module(f"pocketgan.training.generators.{spec.family}").grid(spec)[1]
    return spec.at(least, 2 * least)


def counted_by_hooks(spec):
    """Parameters, and MACs in both conventions, counted by hooks in a forward pass on the meta device."""
    from pocketgan.training.generators.e2gan import Attention

    with torch.device("meta"):
        module = importlib.import_module(f"pocketgan.training.generators.{spec.family}").build(spec)
    executed = by_output = 0

    def count(layer, inputs, output):
        nonlocal executed, by_output
        if isinstance(layer, Attention):
            x, source = inputs
            tokens = 2 * x.shape[1] * source.shape[1] * x.shape[2]
            executed, by_output = executed + tokens, by_output + tokens
            return
        weights = layer.weight.numel()
        outside = output[0, 0].numel() if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d) else None
        outside = outside or output[0].numel() // layer.out_features
        inside = inputs[0][0, 0].numel() if isinstance(layer, torch.nn.ConvTranspose2d) else outside
        executed, by_output = executed + weights * inside, by_output + weights * outside

    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d | torch.nn.Linear | Attention):
            layer.register_forward_hook(count)
    output = module(torch.zeros(1, spec.input_channels, spec.height, spec.width, device="meta"))
    assert output.shape == (1, spec.output_channels, spec.height, spec.width)
    return sum(parameter.numel() for parameter in module.parameters()), executed, by_output


@pytest.mark.parametrize("name", NAMES)
def test_cost_agrees_with_a_count_by_forward_hooks_at_the_papers_size(name):
    spec = spec_by_name(name)
    assert tuple(cost(spec).model_dump().values()) == counted_by_hooks(spec)


@pytest.mark.parametrize("place", TRANSFORMER_PLACES)
def test_cost_agrees_with_a_count_by_forward_hooks_wherever_the_transformer_stands(place):
    spec = spec_by_name("e2gan", ngf=16, transformer_after=place)
    assert tuple(cost(spec).model_dump().values()) == counted_by_hooks(spec)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("norm", ["batch", "instance-affine", "instance", "batch-plain"])
def test_cost_agrees_with_a_count_by_forward_hooks_when_pruned(name, norm):
    spec = small(name, norm)
    random = np.random.default_rng(0)
    gone = set(vanishing(spec))
    spec = spec.with_widths(
        {width: int(random.integers(width not in gone, spec.widths[width] + 1)) for width in prunable(spec)}
    )
    assert tuple(cost(spec).model_dump().values()) == counted_by_hooks(spec)


def test_cost_of_a_huge_generator_allocates_nothing_and_takes_milliseconds():
    cost(spec_by_name("pix2pixhd"))
    tracemalloc.start()
    started = time.perf_counter()
    assert cost(spec_by_name("pix2pixhd", height=512, width=1024)).params > 1.8e8
    elapsed, peak = time.perf_counter() - started, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6
    assert elapsed < 1


@pytest.mark.parametrize("name", NAMES)
def test_layer_rows_are_named_like_the_modules(name):
    spec = small(name)
    modules = dict(build(spec).named_modules())
    rows = [row.layer for row in cost_by_layer(spec) if row.layer.kind != "matmul"]
    assert [row.name for row in rows if row.name not in modules] == []
    assert len({row.name for row in rows}) == len(rows)


def test_the_command_line_names_every_generator():
    assert tuple(models.NAMES.split(", ")) == NAMES


def test_one_seed_gives_one_network_and_another_another():
    spec = spec_by_name("resnet9-bn", ngf=4, height=32, width=32)
    torch.manual_seed(1)
    first = build(spec, 3).state_dict()
    torch.manual_seed(2)
    again, other = build(spec, 3).state_dict(), build(spec, 4).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_norm_scales_of_a_fresh_network_have_a_spectrum():
    scale = build(spec_by_name("incres9")).down2.norm.weight
    assert scale.mean().item() == pytest.approx(1, abs=0.01)
    assert scale.std().item() == pytest.approx(0.02, rel=0.25)


def test_a_block_without_branches_is_the_identity():
    spec = spec_by_name("incres9", ngf=8, height=32, width=32)
    spec = spec.with_widths({name: 0 for name in spec.widths if name.startswith("block1.")})
    x = torch.randn(1, spec.widths["down2"], 8, 8)
    assert build(spec).blocks[0](x) is x


@pytest.mark.parametrize("stage", ["middle0", "up1"])
def test_an_incres_spade_block_without_branches_is_its_shortcut(stage):
    spec = spec_by_name("incres-spade", ngf=6, height=64, width=64)
    block = build(spec.with_widths({name: 0 for name in spec.widths if name.startswith(f"{stage}.")})).stages[stage]
    x, labels = torch.randn(1, 96 if stage == "middle0" else 48, 8, 8), torch.randn(1, 36, 64, 64)
    if stage == "middle0":
        assert block(x, labels) is x
    else:
        assert torch.equal(block(x, labels), block.shortcut(block.shortcut_norm(x)))
        assert block.shortcut.bias is None


def test_an_incres_spade_without_branches_is_its_norm():
    spec = spec_by_name("incres-spade", ngf=6, height=64, width=64)
    gone = {name: 0 for name in spec.widths if name.startswith("head.spade.")}
    spade = build(spec.with_widths(gone)).stages["head"].spade
    x = torch.randn(2, 96, 4, 4)
    assert torch.equal(spade(x, torch.randn(2, 36, 64, 64)), torch.nn.BatchNorm2d(96, affine=False)(x))


@pytest.mark.parametrize("norm", ["batch", "instance-affine"])
def test_the_scales_of_incres_spade_are_those_that_cat_has(norm):
    spec = spec_by_name("incres-spade", ngf=6, height=128, width=128, norm=norm)
    scaled = {name for name, module in build(spec).named_modules() if getattr(module, "weight", None) is not None}
    scaled = {name for name in scaled if name.endswith("norm")}
    first = {name for name in scaled if name.endswith("first.norm")}
    in_spade = {name for name in scaled if ".spade.modulation." in name and name.endswith("depthwise.norm")}
    shortcuts = {f"stages.up{i}.shortcut_norm" for i in range(4)}
    assert (len(first), len(in_spade)) == (7 * 2 * 6, 7 * 3)
    assert scaled == {"fc_norm"} | first | in_spade | shortcuts
    assert len(prunable(spec)) == 1 + len(first)
    assert "up0" not in prunable(spec)


def test_incres_features_are_those_that_the_paper_distils():
    spec = spec_by_name("incres9", ngf=8, height=32, width=48)
    output, features = build(spec).eval().forward_with_features(torch.zeros(2, 3, 32, 48))
    assert output.shape == (2, 3, 32, 48)
    assert [tuple(f.shape) for f in features] == [(2, 32, 8, 12)] * 4


@pytest.mark.parametrize("name", NAMES)
def test_features_of_a_pruned_network_differ_from_the_teachers_in_channels_alone(name):
    spec = small(name, "batch")
    pruned = spec.with_widths({width: max(1, spec.widths[width] // 2) for width in prunable(spec)})
    x = torch.zeros(1, spec.input_channels, spec.height, spec.width)
    sizes = [[(len(f), f.shape[2:]) for f in build(s).eval().forward_with_features(x)[1]] for s in (spec, pruned)]
    assert sizes[0] == sizes[1]
    assert len(sizes[0]) >= 3


def test_model_files_bring_back_the_same_network(tmp_path):
    spec = spec_by_name("incres9", ngf=6, height=32, width=32)
    module = build(spec, 5).eval()
    save_generator(tmp_path / "m.safetensors", module, spec, {"trained": "yes"})
    loaded = load_generator(tmp_path / "m.safetensors")
    x = torch.randn(1, 3, 32, 32)
    assert loaded.spec == spec
    assert loaded.trained
    assert torch.equal(loaded.module(x), module(x))


def test_a_file_of_the_earlier_incres_spade_says_what_to_do(tmp_path):
    spec = spec_by_name("incres-spade", ngf=6, height=64, width=64)
    earlier = spec.with_widths({f"up{i}.spade_shortcut.{branch}": 21 for i in range(4) for branch in BRANCHES})
    save_generator(tmp_path / "m.safetensors", build(spec), earlier, {"trained": "yes"})
    for read in (load_generator, read_spec):
        with pytest.raises(ModelError) as caught:
            read(tmp_path / "m.safetensors")
        assert str(caught.value) == (
            f"{tmp_path / 'm.safetensors'}: this is the earlier form of incres-spade, which is not CAT's: train again, "
            "or use the pocketgan that wrote it"
        )


def test_a_file_of_the_earlier_e2gan_says_what_to_do(tmp_path):
    spec = spec_by_name("e2gan", ngf=2, height=32, width=32)
    widths = {"transformer" if name == "tb" else name: width for name, width in spec.widths.items()}
    save_generator(tmp_path / "m.safetensors", build(spec), replace(spec, widths=widths), {"trained": "yes"})
    for read in (load_generator, read_spec):
        with pytest.raises(ModelError, match=r"the earlier form of e2gan, with transposed convolutions.*train again"):
            read(tmp_path / "m.safetensors")


def test_files_that_are_no_models_are_named(tmp_path):
    (tmp_path / "text.safetensors").write_text("hello")
    save_file({"x": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    for name, message in (("none", "no model file"), ("text", "not a readable"), ("foreign", "no pocketgan spec")):
        with pytest.raises(ModelError, match=message):
            load_generator(tmp_path / f"{name}.safetensors")


def test_a_network_whose_weights_are_not_finite_is_refused(tmp_path):
    spec = spec_by_name("resnet9-bn", ngf=2, height=32, width=32)
    module = build(spec)
    with torch.no_grad():
        module.head.weight[0, 0, 0, 0] = float("nan")
    save_generator(tmp_path / "m.safetensors", module, spec, {})
    with pytest.raises(ModelError, match="not finite"):
        load_generator(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    "value", [{"family": "resnet"}, {"family": "resnet", "widths": {"stem": "4"}}, {"widths": 3, "x": 1}]
)
def test_a_spec_of_the_wrong_shape_is_refused(value):
    with pytest.raises(ModelError):
        GeneratorSpec.from_json(value)


def test_sizes_that_no_network_takes_are_refused():
    with pytest.raises(ModelError, match="multiples of 4"):
        build(spec_by_name("resnet9", ngf=2, height=30, width=32))


@pytest.mark.parametrize("norm", ["batch", "batch-plain", "instance"])
@pytest.mark.parametrize("name", NAMES)
def test_one_image_trains_where_the_smallest_norm_sees_more_than_one_pixel(name, norm):
    whole = spec_by_name(name, ngf=6, norm=norm)
    least = grid(whole)[1]
    spec = whole.at(least, least)
    network = build(spec).train()
    image = torch.zeros(1, spec.input_channels, least, least)
    if smallest_norm(spec) > 1:
        assert network(image).shape == (1, 3, least, least)
    else:
        with pytest.raises(ValueError, match="Expected more than 1"):
            network(image)


def test_the_smallest_norms_are_where_the_papers_put_them():
    assert smallest_norm(spec_by_name("unet256")) == 2 * 2  # pix2pix: the innermost map, 1x1, has none
    assert smallest_norm(spec_by_name("gaugan", norm="batch", height=64, width=64)) == 1
    assert smallest_norm(spec_by_name("resnet9")) == 64 * 64


@pytest.mark.parametrize("name", ["unet128", "unet256"])
def test_dropout_is_in_the_first_three_maps_on_the_way_up_while_training_alone(name):
    spec = spec_by_name(name, ngf=2)
    plain, dropping = build(spec), build(spec)
    use_dropout(dropping, spec)
    assert plain.state_dict().keys() == dropping.state_dict().keys()
    image = torch.rand(2, 3, spec.height, spec.width, generator=torch.Generator().manual_seed(0))
    zeros = []
    for up in dropping.ups:
        up.register_forward_hook(lambda up, inputs, output: zeros.append((output == 0).float().mean().item()))
    torch.manual_seed(0)
    dropping(image)
    assert all(0.2 < share < 0.8 for share in zeros[:3])  # half of 32 numbers or more
    assert zeros[3:] == [0.0] * (spec.levels - 1 - 3)
    dropping.load_state_dict(plain.state_dict())
    assert torch.equal(dropping.eval()(image), plain.eval()(image))
    with pytest.raises(ModelError, match="resnet has none"):
        use_dropout(plain, spec_by_name("resnet9"))
