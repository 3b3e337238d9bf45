"""A supernet's sub-networks are slices of it, and computed as the plain networks that they are extracted as."""

import numpy as np
import pytest
import torch
from torch import nn

from pocketgan.errors import ModelError
from pocketgan.training.cost import cost
from pocketgan.training.generators import build, layers, spec_by_name
from pocketgan.training.generators.files import load_generator, save_generator
from pocketgan.training.supernet import Supernet, recalibrate
from pocketgan.training.supernet_space import Space

LABELS = 5


def space(name, size, *, widths=(1, 2, 4), expansion=2, **options):
    base = spec_by_name(name, height=size, width=size, **options)
    return Space(base, widths, depths=(0, 1, 2), inserted=2, expansion=expansion)


SPACES = {
    "resnet": space("resnet6", 32, ngf=4, norm="batch"),
    "resnet-instance": space("resnet6", 32, ngf=4, norm="instance"),
    "unet": space("unet128", 128, ngf=4),
    "pix2pixhd": space("pix2pixhd", 64, ngf=4, norm="batch", input_channels=LABELS),
    "pix2pixhd-local": space("pix2pixhd-local", 128, ngf=4, norm="batch", input_channels=LABELS),
    "gaugan": space("gaugan", 64, ngf=2, widths=(1, 2), expansion=1, input_channels=LABELS),
    "gaugan-affine": space("gaugan", 64, ngf=2, norm="batch", widths=(1, 2), expansion=1, input_channels=LABELS),
}


def supernet(name):
    """With statistics, scales and shifts that are not those of a fresh network, in float64."""
    network = build(SPACES[name].whole, seed=1).eval()
    random = torch.Generator().manual_seed(0)
    for key, tensor in network.state_dict().items():
        if key.endswith(("running_mean", "bias")):
            tensor.normal_(0, 0.3, generator=random)
        elif key.endswith("running_var"):
            tensor.uniform_(0.5, 2, generator=random)
        elif tensor.is_floating_point():
            tensor.mul_(4)
    return Supernet(SPACES[name], network.double())


def images(searched, count=1, seed=0):
    base = searched.base
    shape = (count, base.input_channels, base.height, base.width)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def with_zeroed_channels(network, whole, part):
    """Hooks that set to zero every channel that the sub-network lacks, and what its missing blocks add."""
    left = {row.name: row for row in layers(part)}
    modules = dict(network.named_modules())
    for row in layers(whole):
        mask = torch.zeros(row.outputs, dtype=torch.float64)
        mask[: left[row.name].outputs if row.name in left else 0] = 1
        modules[row.name].register_forward_hook(lambda _m, _i, output, mask=mask: output * mask.view(-1, 1, 1))
    return network


@pytest.mark.parametrize("name", SPACES)
def test_a_sub_network_computes_what_the_largest_does_without_its_other_channels_and_blocks(name):
    net = supernet(name)
    one = net.space.random(np.random.default_rng(4))
    inputs = images(net.space)
    alone, spec = net.extract(one)
    with torch.no_grad():
        drawn, extracted = net.draw(one, inputs), alone.double()(inputs)
        masked = with_zeroed_channels(net.network, net.space.whole, spec)(inputs)
    assert torch.allclose(drawn, masked, atol=1e-9)
    assert torch.allclose(extracted, masked, atol=1e-6)  # its weights went through float32
    assert masked.std() > 1e-3


@pytest.mark.parametrize("name", SPACES)
def test_an_extracted_network_is_the_supernet_in_that_configuration_bit_for_bit(name):
    searched = SPACES[name]
    net = Supernet(searched, build(searched.whole, seed=2).eval())
    inputs = images(searched).float()
    for one in (searched.largest, searched.smallest, searched.random(np.random.default_rng(1))):
        alone, spec = net.extract(one)
        with torch.no_grad():
            assert torch.equal(alone(inputs), net.draw(one, inputs))
        assert cost(spec).params == sum(parameter.numel() for parameter in alone.parameters())
    with torch.no_grad():
        assert torch.equal(net.draw(searched.largest, inputs), net.network(inputs))


def test_an_extracted_network_is_a_model_file_like_any_other(tmp_path):
    net = supernet("unet")
    alone, spec = net.extract(net.space.random(np.random.default_rng(2)))
    save_generator(tmp_path / "sub.safetensors", alone.float(), spec, {"trained": "yes"})
    loaded = load_generator(tmp_path / "sub.safetensors")
    inputs = images(net.space).float()
    assert loaded.spec == spec
    with torch.no_grad():
        assert torch.equal(loaded.module(inputs), alone(inputs))


def test_gradients_reach_the_first_channels_of_the_shared_weights_and_no_others():
    searched = SPACES["unet"]
    net = Supernet(searched, build(searched.whole).train())
    net.draw(searched.smallest, images(searched, count=2).float()).square().sum().backward()
    gradient = net.network.downs[2].conv.weight.grad
    assert gradient.shape == (16, 8, 4, 4)
    assert gradient[:4, :2].abs().min() > 0
    gradient[:4, :2] = 0
    assert gradient.abs().max() == 0
    # The first transposed convolution that reads a skip takes the first channels of both maps.
    read = net.network.ups[1].conv.weight.grad.abs().sum((1, 2, 3)) > 0
    width = searched.base.widths["down6"]
    assert read.nonzero().flatten().tolist() == [*range(width // 4), *range(width, width + width // 4)]
    assert net.network.extras["down1"][0].second.weight.grad is None


def test_statistics_of_the_largest_stay_its_own():
    searched = SPACES["unet"]
    net = Supernet(searched, build(searched.whole).train())
    before = {name: buffer.clone() for name, buffer in net.network.named_buffers()}
    net.draw(searched.random(np.random.default_rng(0)), images(searched, count=2).float())
    assert all(torch.equal(buffer, before[name]) for name, buffer in net.network.named_buffers())


def test_recalibrated_norms_hold_the_means_over_the_images():
    norm = nn.BatchNorm2d(2)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    network = nn.Sequential(norm, nn.Dropout(0.5)).eval()
    norm.running_mean.fill_(7)
    batches = [torch.rand(3, 2, 4, 4) for _ in range(3)]
    recalibrate(network, batches)
    arrays = np.stack([batch.numpy() for batch in batches])
    assert np.allclose(norm.running_mean.numpy(), arrays.mean((0, 1, 3, 4)), atol=1e-6)
    by_batch = arrays.transpose(0, 2, 1, 3, 4).reshape(3, 2, -1)
    assert np.allclose(norm.running_var.numpy(), by_batch.var(2, ddof=1).mean(0), atol=1e-6)
    assert (norm.momentum, network.training, norm.training) == (0.1, False, False)


def test_a_recalibrated_sub_network_normalises_what_it_computes():
    searched = SPACES["resnet"]
    net = Supernet(searched, build(searched.whole).eval())
    alone, _ = net.extract(searched.smallest)
    batches = [images(searched, count=4, seed=seed).float() for seed in range(2)]
    expected = torch.stack([alone.stem.conv(alone.stem.pad(batch)).mean((0, 2, 3)) for batch in batches]).mean(0)
    recalibrate(alone, batches)
    assert torch.allclose(alone.get_buffer("stem.norm.running_mean"), expected, atol=1e-6)


def test_norms_without_statistics_need_no_image():
    recalibrate(nn.InstanceNorm2d(2), [])
    with pytest.raises(ModelError, match="recalibrated over images; there is none"):
        recalibrate(nn.BatchNorm2d(2), [])


def test_weights_of_another_supernet_are_refused_in_one_line():
    other = build(SPACES["unet"].whole)
    with pytest.raises(ModelError, match=r"^these weights are of another supernet, not the largest network of .*$"):
        Supernet(SPACES["resnet"], other)
