"""Removing channels is right: a pruned network computes what its teacher does with those channels set to zero."""

import importlib

import numpy as np
import pytest
import torch

from pocketgan.errors import ModelError
from pocketgan.training.generators import NAMES, build, layers, narrowed, prunable, spec_by_name, units, vanishing
from pocketgan.training.removal import inherit, output_indices, survivors


def trained(spec):
    """A network in eval mode whose statistics, scales and shifts are not those of a fresh one."""
    module = build(spec, 1).eval()
    random = torch.Generator().manual_seed(0)
    for name, tensor in module.state_dict().items():
        if name.endswith(("running_mean", "bias")):
            tensor.normal_(0, 0.3, generator=random)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 2, generator=random)
        elif tensor.is_floating_point():
            tensor.mul_(4)  # far from the linear middle of tanh
    return module.double()  # rounding apart, the two are equal


def with_zeroed_channels(module, spec, pruned):
    """Hooks that set to zero every channel that `pruned` lacks, and every layer that it lacks."""
    kept = survivors(module, spec, pruned)
    left = {row.name for row in layers(pruned)}
    modules = dict(module.named_modules())
    for row in layers(spec):
        if row.kind == "matmul":
            continue
        mask = torch.zeros(row.outputs, dtype=torch.float64)
        if row.name in left:
            mask[torch.from_numpy(output_indices(row, kept, spec))] = 1
        # the transformer's channels come last, all others second
        view = mask if row.name.startswith("tb.") else mask.view(-1, 1, 1)
        modules[row.name].register_forward_hook(lambda _module, _inputs, output, view=view: output * view)
    return module


@pytest.mark.parametrize(
    ("name", "norm"),
    [
        *((name, "batch") for name in NAMES if name != "resnet9-bn"),
        *((name, "instance-affine") for name in ("resnet6", "incres-spade")),
    ],
)
def test_a_pruned_network_computes_what_the_teacher_computes_without_those_channels(name, norm):
    spec = spec_by_name(name, ngf=6, norm=norm)
    multiple, least = importlib.import_module(f"pocketgan.training.generators.{spec.family}").grid(spec)
    side = max(least, 2 * multiple)  # instance norm needs more than one pixel
    spec = spec.at(side, side)
    random = np.random.default_rng(7)
    gone = set(vanishing(spec))
    least = units(spec)
    pruned = narrowed(
        spec,
        {
            width: int(random.integers(0 if width in gone else least.get(width, 1), spec.widths[width] + 1))
            for width in prunable(spec)
        },
    )
    assert pruned != spec
    teacher = trained(spec)
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    student = inherit(teacher, spec, pruned).double()
    x = torch.randn(2, spec.input_channels, side, side, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        actual, expected = student(x), with_zeroed_channels(teacher, spec, pruned)(x)
        untouched = trained(spec)(x)
    assert torch.allclose(actual, expected, atol=1e-5, rtol=0)
    assert actual.std() > 1e-3
    assert not torch.allclose(actual, untouched, atol=1e-3)
    assert all(torch.equal(before[key], value) for key, value in teacher.state_dict().items())


@pytest.mark.parametrize(
    ("name", "owners"),
    [
        ("incres9", ("block1.", "block9.")),
        # A block that keeps the width, one that changes it, and the SPADE of a block that stays.
        ("incres-spade", ("middle0.", "up1.", "head.spade.")),
    ],
)
def test_all_branches_of_a_block_may_go(name, owners):
    spec = spec_by_name(name, ngf=6)
    spec = spec.at(*(128, 128) if name == "incres-spade" else (32, 32))
    pruned = spec.with_widths({width: 0 for width in vanishing(spec) if width.startswith(owners)})
    teacher = trained(spec)
    student = inherit(teacher, spec, pruned).double()
    x = torch.randn(1, spec.input_channels, spec.height, spec.width).double()
    with torch.no_grad():
        assert torch.allclose(student(x), with_zeroed_channels(teacher, spec, pruned)(x), atol=1e-5)
        assert student(x).std() > 1e-3


def test_of_widths_that_follow_the_channels_with_the_largest_weights_survive():
    spec = spec_by_name("incres-spade", ngf=3, height=64, width=64)
    module = build(spec)
    with torch.no_grad():
        module.head.weight[:, 1] *= 0.1
    kept = survivors(module, spec, narrowed(spec, {"fc": 40}))
    assert {name: len(kept[name]) for name in ("fc", "up0", "up3")} == {"fc": 32, "up0": 16, "up3": 2}
    assert kept["up3"].tolist() == [0, 2]


def test_the_largest_scales_survive_in_their_old_order_and_of_equal_ones_the_last():
    spec = spec_by_name("resnet9-bn", ngf=4, height=32, width=32)
    module = build(spec)
    with torch.no_grad():
        module.stem.norm.weight.copy_(torch.tensor([-3.0, 1.0, 2.0, 1.0]))
    assert survivors(module, spec, spec.with_widths({"stem": 3}))["stem"].tolist() == [0, 2, 3]


def test_a_network_that_is_no_pruning_is_refused():
    spec = spec_by_name("unet128", ngf=4)
    with pytest.raises(ModelError, match="down1 cannot go from 4 to 2"):
        inherit(build(spec), spec, spec.with_widths({"down1": 2}))
    with pytest.raises(ModelError, match="down3 cannot go from 16 to 17"):
        inherit(build(spec), spec, spec.with_widths({"down3": 17}))
