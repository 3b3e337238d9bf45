"""Generators: sizes of the papers, one seed one network, model files."""

import pytest
import torch
from safetensors.torch import save_file

from pocketgan.errors import ModelError
from pocketgan.training.cost import cost, cost_by_layer
from pocketgan.training.generators import NAMES, GeneratorSpec, build, spec_by_name
from pocketgan.training.generators.files import load_generator, save_generator


@pytest.mark.parametrize(
    ("name", "params", "macs", "macs_by_output"),
    [  # facts of the papers at 3x256x256: CycleGAN's ResNet-9 and CAT's teacher
        ("resnet9", 11.378e6, 49.55e9, 56.80e9),
        ("incres9", 8.14e6, 36.24e9, 43.49e9),
    ],
)
def test_costs_are_those_of_the_papers(name, params, macs, macs_by_output):
    total = cost(spec_by_name(name))
    assert total.params == pytest.approx(params, rel=1e-3)
    assert total.macs == pytest.approx(macs, rel=1e-3)
    assert total.macs_by_output == pytest.approx(macs_by_output, rel=1e-3)


def counted_by_hooks(module, spec):
    """Executed MACs by an independent way: a forward pass on the meta device with hooks."""
    total = 0

    def count(layer, inputs, output):
        nonlocal total
        weights = layer.weight.numel()
        pixels = inputs[0] if isinstance(layer, torch.nn.ConvTranspose2d) else output
        total += weights * pixels.shape[2] * pixels.shape[3]

    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            layer.register_forward_hook(count)
    module.to("meta")(torch.zeros(1, 3, spec.height, spec.width, device="meta"))
    return total


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("norm", ["batch", "instance-affine"])
def test_cost_agrees_with_a_count_by_forward_hooks(name, norm):
    spec = spec_by_name(name, ngf=8, norm=norm, height=32, width=64)
    if name == "incres9":
        gone = {f"block2.{kind}{k}": 0 for kind in ("plain", "depthwise") for k in (1, 3, 5)}
        spec = spec.with_widths({**gone, "block3.plain3": 0, "stem": 5, "down2": 11})
    module = build(spec)
    assert cost(spec).params == sum(parameter.numel() for parameter in module.parameters())
    assert cost(spec).macs == counted_by_hooks(module, spec)


def test_layer_rows_are_named_like_the_modules():
    spec = spec_by_name("incres9", ngf=12, height=32, width=32)
    modules = dict(build(spec).named_modules())
    assert [row.layer.name for row in cost_by_layer(spec) if row.layer.name not in modules] == []


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


def test_a_generator_keeps_the_size_and_gives_four_features():
    spec = spec_by_name("incres9", ngf=8, height=32, width=48)
    output, features = build(spec).eval().forward_with_features(torch.zeros(2, 3, 32, 48))
    assert output.shape == (2, 3, 32, 48)
    assert [tuple(f.shape) for f in features] == [(2, 32, 8, 12)] * 4


def test_model_files_bring_back_the_same_network(tmp_path):
    spec = spec_by_name("incres9", ngf=6, height=32, width=32)
    module = build(spec, 5).eval()
    save_generator(tmp_path / "m.safetensors", module, spec, {"trained": "yes"})
    loaded = load_generator(tmp_path / "m.safetensors")
    x = torch.randn(1, 3, 32, 32)
    assert loaded.spec == spec
    assert loaded.trained
    assert torch.equal(loaded.module(x), module(x))


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
