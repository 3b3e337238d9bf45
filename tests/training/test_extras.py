"""Extra residual blocks behind the layers that change a map's size: data in a spec, and nothing where it has none."""

import numpy as np
import pytest
import torch

from pocketgan.errors import ModelError
from pocketgan.training.cost import cost, cost_by_layer
from pocketgan.training.generators import build, check, extra_places, prunable, spec_by_name
from pocketgan.training.generators.extras import extra_name, without_extras
from pocketgan.training.generators.files import load_generator, save_generator
from pocketgan.training.removal import inherit

PLAIN = {
    "resnet": spec_by_name("resnet6", ngf=4, norm="batch", height=32, width=32),
    "unet": spec_by_name("unet128", ngf=4, height=128, width=128),
    "pix2pixhd": spec_by_name("pix2pixhd", ngf=4, norm="batch", height=64, width=64, input_channels=5),
    "pix2pixhd-local": spec_by_name("pix2pixhd-local", ngf=4, norm="batch", height=128, width=128, input_channels=5),
    "gaugan": spec_by_name("gaugan", ngf=2, norm="batch", height=64, width=64, input_channels=5),
}
PLACES = {
    "resnet": ["down1", "down2", "up1", "up2"],
    "unet": [f"{way}{level}" for way in ("down", "up") for level in range(1, 7)],
    "pix2pixhd": [f"{way}{level}" for way in ("down", "up") for level in range(1, 5)],
    "pix2pixhd-local": [
        *(f"{way}{level}" for way in ("down", "up") for level in range(1, 5)),
        "local_down",
        "local_up",
    ],
    "gaugan": ["middle0", "middle1", "up0", "up1", "up2", "up3"],
}


def with_extras(name, count=2, inner=6):
    """The plain spec with that many blocks at every place."""
    spec = PLAIN[name]
    parts = ("", ".spade0", ".spade1") if name == "gaugan" else ("",)
    blocks = [extra_name(place, number + 1) for place in extra_places(spec) for number in range(count)]
    return spec.with_widths({f"{block}{part}": inner for block in blocks for part in parts})


@pytest.mark.parametrize("name", PLAIN)
def test_every_layer_that_changes_the_size_may_be_followed_by_blocks(name):
    assert list(extra_places(PLAIN[name])) == PLACES[name]


def test_blocks_cost_what_two_convolutions_of_three_by_three_do():
    plain, deeper = PLAIN["resnet"], PLAIN["resnet"].with_widths({"down1.extra1": 5, "up2.extra1": 3})
    more = cost(deeper).macs - cost(plain).macs
    # down1 has 8 channels on 16x16 pixels, up2 has 4 on 32x32.
    assert more == 2 * 9 * 8 * 5 * 16 * 16 + 2 * 9 * 4 * 3 * 32 * 32
    # and scale and shift of the norm inside and of the one behind
    assert cost(deeper).params - cost(plain).params == 2 * 9 * (8 * 5 + 4 * 3) + 2 * (5 + 8) + 2 * (3 + 4)


@pytest.mark.parametrize("name", PLAIN)
def test_cost_is_that_of_the_network_that_is_built(name):
    spec = with_extras(name)
    network = build(spec)
    rows = [row.layer.name for row in cost_by_layer(spec)]
    layers = dict(network.named_modules())
    assert cost(spec).params == sum(parameter.numel() for parameter in network.parameters())
    assert [row for row in rows if row not in layers] == []
    assert len(set(rows)) == len(rows)


@pytest.mark.parametrize("name", PLAIN)
def test_blocks_that_add_nothing_leave_the_plain_network(name):
    plain, deeper = PLAIN[name], with_extras(name)
    network, shallow = build(deeper).eval(), build(plain).eval()
    with torch.no_grad():
        for path, module in network.named_modules():
            block = path.removeprefix("inner.")
            if block.startswith("extras.") and block.count(".") == 3 and block.endswith((".norm", ".conv1")):
                module.weight.zero_()
                module.bias.zero_()
        images = torch.rand(1, plain.input_channels, plain.height, plain.width)
        assert torch.equal(network(images), shallow(images))


@pytest.mark.parametrize("name", PLAIN)
def test_every_block_stands_on_the_map_that_its_cost_counts(name):
    spec = with_extras(name)
    network = build(spec).eval()
    pixels = {}
    for path, module in network.named_modules():
        module.register_forward_hook(
            lambda _module, _inputs, output, path=path: (
                pixels.update({path: output[0].shape[-2] * output[0].shape[-1]})
                if isinstance(output, torch.Tensor)
                else None
            )
        )
    network(torch.rand(1, spec.input_channels, spec.height, spec.width))
    rows = [row.layer for row in cost_by_layer(spec) if "extras." in row.layer.name]
    assert rows
    assert {row.name: row.out_pixels for row in rows} == {row.name: pixels[row.name] for row in rows}


@pytest.mark.parametrize("name", PLAIN)
def test_a_model_file_brings_the_blocks_back(tmp_path, name):
    spec = with_extras(name, count=1)
    network = build(spec, seed=3)
    save_generator(tmp_path / "deep.safetensors", network, spec, {})
    loaded = load_generator(tmp_path / "deep.safetensors")
    assert loaded.spec == spec
    assert all(torch.equal(tensor, loaded.module.state_dict()[key]) for key, tensor in network.state_dict().items())


@pytest.mark.parametrize("name", PLAIN)
def test_blocks_are_pruned_like_others(name):
    spec = with_extras(name, count=1)
    inner = extra_name(next(iter(extra_places(spec))), 1)
    assert inner in prunable(spec)
    pruned = spec.with_widths({inner: 2})
    network = inherit(build(spec), spec, pruned).eval()
    images = torch.rand(1, spec.input_channels, spec.height, spec.width)
    assert np.isfinite(network(images).detach().numpy()).all()


def test_specs_without_blocks_have_the_digests_that_they_always_had():
    # of pocketgan before there were extra blocks
    assert spec_by_name("resnet9").digest == "eeea7406c6a912f78cb51836e9430691a1917e725715cb5542f336df4712b140"
    assert spec_by_name("unet256").digest == "5ff0792b17e00c0c3165c269eccf403e99123c7a42d98d73aaa37bad82f1e054"
    assert spec_by_name("gaugan").digest == "109b753255a06d62b9618d98b8bc754d5f72ce8c33e24499e85e776a40151aca"
    assert without_extras(with_extras("resnet")) == PLAIN["resnet"].widths


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ({"down1.extra2": 4}, "no widths called down1.extra2; its extra blocks are numbered from 1, without a gap"),
        ({"stem.extra1": 4}, "no widths called stem.extra1; .* behind down1, down2, up1, up2"),
        ({"down1.extra1": 0}, "needs a width of at least 1 for down1.extra1"),
    ],
)
def test_blocks_that_cannot_be_are_refused(widths, message):
    with pytest.raises(ModelError, match=message):
        check(PLAIN["resnet"].with_widths(widths))


def test_a_family_without_such_layers_takes_no_blocks():
    spec = spec_by_name("incres9").with_widths({"down1.extra1": 4})
    with pytest.raises(ModelError, match=r"incres takes no extra blocks"):
        check(spec)
