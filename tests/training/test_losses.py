"""Losses and discriminators against what their papers say."""

import pytest
import torch
from safetensors.torch import save_file

from pocketgan.errors import ModelError
from pocketgan.training import vgg as vgg_module
from pocketgan.training.discriminators import MultiHeadDiscriminator, MultiScaleDiscriminator, PatchDiscriminator
from pocketgan.training.losses import AdversarialLoss, PerceptualLoss, feature_matching, l1_loss
from pocketgan.training.vgg import GROUPS, WIDTHS, load_vgg


@pytest.mark.parametrize("mode", ["lsgan", "vanilla", "hinge"])
def test_adversarial_losses_reward_the_right_side(mode):
    loss, high, low = AdversarialLoss(mode), torch.ones(2, 1, 3, 3), -torch.ones(2, 1, 3, 3)
    assert loss.discriminator(high, low) < loss.discriminator(low, high)
    assert loss.generator(high) < loss.generator(low)


@pytest.mark.parametrize("mode", ["lsgan", "vanilla", "hinge"])
def test_several_scales_count_alike_whatever_their_sizes(mode):
    loss = AdversarialLoss(mode)
    big, small = torch.randn(1, 1, 8, 8), torch.randn(1, 1, 3, 3)
    assert loss.generator([big, small]).item() == pytest.approx(
        (loss.generator(big) + loss.generator(small)).item() / 2
    )
    both = loss.discriminator([big, small], [small, big]).item()
    apart = (loss.discriminator(big, small) + loss.discriminator(small, big)).item() / 2
    assert both == pytest.approx(apart)


def test_pix2pixhd_sums_over_scales():
    real, fake = [torch.full((1, 1, 4, 4), 3.0), torch.zeros(1, 1, 2, 2)], [torch.ones(1, 1, 4, 4), torch.zeros(1)]
    loss = AdversarialLoss("lsgan", over_scales="sum")
    assert loss.discriminator(real, fake).item() == pytest.approx(((3 - 1) ** 2 + 1) / 2 + (1 + 0) / 2)
    assert loss.generator(fake).item() == pytest.approx(0 + 1)


def test_feature_matching_sums_layers_averages_scales_and_leaves_the_scores_out():
    ones, zeros, scores = torch.ones(1, 2, 4, 4), torch.zeros(1, 2, 4, 4), torch.full((1, 1, 4, 4), 1e6)
    real = [[ones, ones, scores], [3 * ones, scores]]
    fake = [[zeros, ones, -scores], [ones, -scores]]
    assert feature_matching(real, fake).item() == pytest.approx((1 + 0 + 2) / 2)
    wanted, made = torch.randn(1, 2, requires_grad=True), torch.randn(1, 2, requires_grad=True)
    feature_matching([[wanted, wanted]], [[made, made]]).backward()
    assert wanted.grad is None
    assert made.grad.abs().sum() > 0


# Of 2**-7 more than 1, which bfloat16 holds; its mean over 300 numbers would be rounded to 1 or to 1 + 2**-7.
HALF = torch.cat([torch.full((150,), 1.0), torch.full((150,), 1 + 2**-7)]).bfloat16()


def test_losses_of_bfloat16_numbers_are_taken_in_float32():
    mean = 1 + 2**-8
    assert l1_loss(HALF, torch.zeros(300).bfloat16()).item() == pytest.approx(mean, rel=1e-6)
    assert AdversarialLoss("hinge").generator(HALF).item() == pytest.approx(-mean, rel=1e-6)
    assert AdversarialLoss("hinge").discriminator(-HALF, HALF).item() == pytest.approx(1 + mean, rel=1e-6)
    assert AdversarialLoss("lsgan").generator(HALF).item() == pytest.approx(2**-15, rel=1e-6)
    assert feature_matching([[HALF, HALF]], [[0 * HALF, HALF]]).item() == pytest.approx(mean, rel=1e-6)


def test_the_patch_discriminator_sees_70_pixels():
    judge = PatchDiscriminator(3, 4, norm="instance").eval()
    image = torch.randn(1, 3, 256, 256, requires_grad=True)
    judge.body[:9](image)  # the norm makes every pixel matter; without it the patch shows
    plain = torch.nn.Sequential(*(m for m in judge.body if not isinstance(m, torch.nn.InstanceNorm2d)))
    scores = plain(image)
    assert scores.shape == (1, 1, 30, 30)
    scores[0, 0, 15, 15].backward()
    rows = image.grad[0].abs().sum((0, 2)).nonzero().flatten()
    assert rows.max() - rows.min() + 1 == 70


def test_the_multi_scale_discriminator_is_spades():
    judge = MultiScaleDiscriminator(39, ndf=64)
    # SPADE's Cityscapes discriminator (36 + 3 channels): 5.6 M parameters, five outputs at each of two scales
    by_layer = [39 * 64 * 16 + 64, 64 * 128 * 16, 128 * 256 * 16, 256 * 512 * 16, 512 * 16 + 1]
    assert sum(p.numel() for p in judge.parameters()) == 2 * sum(by_layer)
    shapes = [[tuple(layer.shape[1:]) for layer in scale] for scale in judge(torch.randn(1, 39, 64, 128))]
    assert shapes[0] == [(64, 33, 65), (128, 17, 33), (256, 9, 17), (512, 10, 18), (1, 11, 19)]
    assert shapes[1][0] == (64, 17, 33)
    norms = [m for m in judge.modules() if isinstance(m, torch.nn.InstanceNorm2d)]
    assert len(norms) == 6
    assert all(norm.weight is None for norm in norms)


def test_pix2pixhds_discriminator_is_plain_convolutions_and_instance_norms():
    judge = MultiScaleDiscriminator(6, ndf=8, scales=3, seed=3, spectral=False)
    weights = [value for name, value in judge.state_dict().items() if name.startswith("scales.0") and "weight" in name]
    assert [tuple(w.shape[:2]) for w in weights] == [(8, 6), (16, 8), (32, 16), (64, 32), (1, 64)]
    assert torch.cat([w.flatten() for w in weights]).std().item() == pytest.approx(0.02, rel=0.05)
    image = torch.randn(2, 6, 48, 32)
    x = image
    for weight, stride in zip(weights, (2, 2, 2, 1, 1), strict=True):
        x = torch.nn.functional.conv2d(x, weight, stride=stride, padding=2)  # biases start at 0
        if weight.shape[0] > 8:
            x = (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
        if weight.shape[0] > 1:
            x = torch.where(x > 0, x, 0.2 * x)
    found = judge(image)
    assert len(found) == 3
    torch.testing.assert_close(found[0][-1], x)


def test_spectral_norm_holds_the_largest_singular_value_at_one():
    judge = MultiScaleDiscriminator(4, ndf=8, scales=1, seed=3)
    for _ in range(30):
        judge(torch.randn(1, 4, 32, 32))
    for layer in [*judge.scales[0].children()][1:-1]:
        assert torch.linalg.matrix_norm(layer[0].weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)


SINGLES = {
    "patch": lambda: PatchDiscriminator(6, 4, norm="instance", seed=1),
    "pix2pixhd": lambda: MultiScaleDiscriminator(6, 4, scales=2, seed=1, spectral=False),
    "spade": lambda: MultiScaleDiscriminator(6, 4, scales=2, seed=1).eval(),  # no power iteration between two looks
}


def scores_of(outputs):
    return [outputs] if isinstance(outputs, torch.Tensor) else [scale[-1] for scale in outputs]


@pytest.mark.parametrize("name", SINGLES)
def test_both_heads_begin_as_the_discriminator_that_they_inherit_from(name):
    single, image = SINGLES[name](), torch.randn(2, 6, 64, 64)
    both = MultiHeadDiscriminator(single)
    for head in (0, 1):
        for found, expected in zip(scores_of(both(image, head)), scores_of(single(image)), strict=True):
            assert torch.equal(found, expected)
    # Three of the five layers are the trunk's, once; the others are there for each head.
    weights = [sum(p.numel() for p in part.parameters()) for part in (single, both.trunks, both.heads)]
    assert weights[0] == weights[1] + weights[2] / 2
    biases = 4 + (8 + 16 if name == "patch" else 0)
    assert weights[1] == (6 * 4 * 16 + 4 * 8 * 16 + 8 * 16 * 16 + biases) * len(both.trunks)


def test_heads_learn_apart_on_a_trunk_that_both_train():
    single, image = SINGLES["patch"](), torch.randn(2, 6, 64, 64)
    both, before = MultiHeadDiscriminator(single), single.state_dict()["body.0.weight"].clone()
    both(image, 0).square().mean().backward()
    assert all(p.grad is not None for part in (both.trunks, both.heads[0]) for p in part.parameters())
    assert all(p.grad is None for p in both.heads[1].parameters())
    with torch.no_grad():
        for parameter in both.parameters():
            parameter.sub_(0 if parameter.grad is None else parameter.grad)
    assert not torch.equal(both(image, 0), both(image, 1))
    assert torch.equal(single.state_dict()["body.0.weight"], before)  # what they inherit from is left as it is


def test_the_trunk_may_be_longer_but_neither_all_nor_nothing():
    longer = MultiHeadDiscriminator(SINGLES["patch"](), heads=3, shared=4)
    layers = [sum(isinstance(m, torch.nn.Conv2d) for m in part.modules()) for part in (longer.trunks, longer.heads)]
    assert layers == [4, 3]
    for shared in (0, 5):
        with pytest.raises(ValueError, match=f"{shared} of 5 layers cannot be shared: 1 to 4 can"):
            MultiHeadDiscriminator(SINGLES["patch"](), shared=shared)
    with pytest.raises(ValueError, match="the layers of Identity are not known"):
        MultiHeadDiscriminator(torch.nn.Identity())


def test_discriminators_are_a_function_of_their_seed():
    torch.manual_seed(1)
    first = MultiScaleDiscriminator(4, 4, seed=2).state_dict()
    torch.manual_seed(2)
    second = MultiScaleDiscriminator(4, 4, seed=2).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


def torchvision_names(name):
    """Random weights under torchvision's names; the whole network has more, which are not needed."""
    tensors, channels, place = {}, 3, 0
    for count, width in zip(GROUPS[name], WIDTHS, strict=True):
        for _ in range(count):
            tensors[f"features.{place}.weight"] = torch.randn(width, channels, 3, 3) * (2 / (9 * channels)) ** 0.5
            tensors[f"features.{place}.bias"] = torch.randn(width) * 0.1
            channels, place = width, place + 2
        place += 1
    tensors["classifier.0.weight"] = torch.zeros(2, 2)
    return tensors


@pytest.fixture(scope="module", params=["vgg19", "vgg16"])
def vgg_file(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / f"{request.param}.safetensors"
    torch.manual_seed(0)
    save_file(torchvision_names(request.param), path)
    return path


def test_vgg_is_told_by_its_layers_and_computes_torchvisions_features(vgg_file):
    vgg = load_vgg(str(vgg_file))
    assert vgg.name == vgg_file.stem
    # torchvision's own order: convolutions and poolings as its configuration strings D and E list them
    layers = {"vgg16": "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512", "vgg19":
              "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512"}[vgg.name].split()  # fmt: skip
    weights, place = torchvision_names(vgg.name), 0
    torch.manual_seed(0)
    weights = torchvision_names(vgg.name)
    x, wanted, fresh = torch.rand(1, 3, 32, 48) * 2 - 1, [], True
    y = x
    for layer in layers:
        if layer == "M":
            y, place, fresh = torch.nn.functional.max_pool2d(y, 2), place + 1, True
            continue
        y = torch.nn.functional.conv2d(
            y, weights[f"features.{place}.weight"], weights[f"features.{place}.bias"], padding=1
        ).relu()
        place += 2
        if fresh:
            wanted.append(y)
        fresh = False
    for found, expected in zip(vgg(x), wanted, strict=True):
        torch.testing.assert_close(found, expected)


def test_the_perceptual_loss_pulls_an_image_to_its_target(vgg_file):
    loss = PerceptualLoss(load_vgg(str(vgg_file)))
    target, image = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32, requires_grad=True)
    assert loss(target, target).item() == 0
    before = loss(image, target)
    (gradient,) = torch.autograd.grad(before, image)
    assert loss(image - 0.5 * gradient / gradient.norm(), target) < before


def test_vgg_weights_that_cannot_be_had_name_the_local_file(monkeypatch, tmp_path):
    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(vgg_module.torch.hub, "load_state_dict_from_url", offline)
    with pytest.raises(ModelError, match=r"could not be fetched.*teacher\.vgg_weights") as caught:
        load_vgg(None)
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="no file"):
        load_vgg(str(tmp_path / "missing.pth"))
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"half a file")
    with pytest.raises(ModelError, match=r"damaged|refused"):
        load_vgg(str(broken))
    foreign = tmp_path / "foreign.pth"
    torch.save({"features.0.weight": torch.zeros(2, 2)}, foreign)
    with pytest.raises(ModelError, match="does not hold the convolutions"):
        load_vgg(str(foreign))


def test_vgg_weights_with_code_inside_are_refused(tmp_path):
    class Attack:
        def __reduce__(self):
            return (tmp_path.joinpath("attacked").touch, ())

    torch.save(Attack(), tmp_path / "attack.pth")
    with pytest.raises(ModelError, match=r"damaged|refused"):
        load_vgg(str(tmp_path / "attack.pth"))
    assert not (tmp_path / "attacked").exists()
