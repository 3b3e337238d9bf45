"""L_OD is OMGD's: every term against a computation of its own, in numpy, scipy or loops.

The time goal is a benchmark (make bench):

    .venv/bin/python -m pytest -m heavy -s tests/training/test_online_distillation.py
"""

import statistics
import time

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.ndimage import correlate
from torch import nn

from pocketgan.errors import ModelError
from pocketgan.training import vgg as vgg_module
from pocketgan.training.layout import faster_layers, memory_format
from pocketgan.training.online_distillation import OnlineDistillation, blur, gram, ssim, total_variation
from pocketgan.training.vgg import VggFeatures, load_vgg16


def pictures(seed, count=2, height=24, width=20):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def random_vgg16(seed=0):
    torch.manual_seed(seed)
    return VggFeatures("vgg16", taps="last")


def plain_vgg16(vgg, images):
    """relu1_2, relu2_2, relu3_3 and relu4_3, written out as torchvision's layers are in a row."""
    convs = [conv for group in vgg.groups for conv in group]
    features, x = [], (images + 1) / 2
    for number, conv in enumerate(convs):
        if number in (2, 4, 7):
            x = nn.functional.max_pool2d(x, 2, 2)
        x = nn.functional.conv2d(x, conv.weight, conv.bias, padding=1).relu()
        if number in (1, 3, 6, 9):
            features.append(x)
    return features


def term(name, student, teacher, vgg=None, **weights):
    """One weighted term alone."""
    loss = OnlineDistillation(
        vgg or random_vgg16(), **{**dict.fromkeys(("ssim", "style", "content", "tv"), 0), **weights}
    )
    terms = loss(student, loss.teacher(teacher))
    assert list(terms) == [name]
    return terms[name].item()


def test_ssim_is_that_of_wang_et_al_with_zeros_around():
    wide = {"height": 70, "width": 150}
    student, teacher = pictures(1, **wide).double().numpy(), pictures(2, **wide).double().numpy()
    at = np.arange(-5, 6)
    window = np.exp(-(at[:, None] ** 2 + at[None] ** 2) / (2 * 1.5**2))
    window = (window / window.sum())[None, None]

    def mean(images):
        return correlate(images, window, mode="constant", cval=0)

    mx, my = mean(student), mean(teacher)
    vx, vy, cov = mean(student**2) - mx**2, mean(teacher**2) - my**2, mean(student * teacher) - mx * my
    by_pixel = (2 * mx * my + 1e-4) * (2 * cov + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
    found = term("ssim", pictures(1, **wide), pictures(2, **wide), ssim=10.0)
    assert found == pytest.approx(10 * (1 - by_pixel.mean()), rel=1e-5)


def test_ssim_of_equal_pictures_is_one():
    loss = OnlineDistillation(random_vgg16())
    assert ssim(pictures(3), loss.teacher(pictures(3))).item() == pytest.approx(1, abs=1e-6)


def test_style_is_the_l1_distance_of_gram_matrices_over_four_features():
    vgg, student, teacher = random_vgg16(), pictures(1), pictures(2)
    expected = 0.0
    for ours, its in zip(plain_vgg16(vgg, student), plain_vgg16(vgg, teacher), strict=True):
        n, c, h, w = ours.shape
        one, other = (np.zeros((n, c, c)) for _ in range(2))
        for image in range(n):
            for matrix, feature in ((one, ours), (other, its)):
                rows = feature[image].numpy().astype(np.float64).reshape(c, h * w)
                matrix[image] = [[(a * b).sum() / (c * h * w) for b in rows] for a in rows] if c <= 64 else (
                    rows @ rows.T / (c * h * w)
                )  # fmt: skip
        expected += np.abs(one - other).mean()
    assert term("style", student, teacher, vgg, style=1e4) == pytest.approx(1e4 * expected, rel=1e-4)


def test_content_is_the_l1_distance_of_relu2_2_alone():
    vgg, student, teacher = random_vgg16(), pictures(1), pictures(2)
    ours, its = (plain_vgg16(vgg, images)[1].numpy().astype(np.float64) for images in (student, teacher))
    expected = sum(abs(a - b) for a, b in zip(ours.flat, its.flat, strict=True)) / ours.size
    assert ours.shape[1] == 128
    assert term("content", student, teacher, vgg, content=10.0) == pytest.approx(10 * expected, rel=1e-4)


def test_total_variation_is_a_sum_over_all_images():
    images = torch.zeros(2, 3, 4, 5)
    images[0, 0, 1, 2] = 1.0  # four neighbours
    images[1, 2, 0, 0] = -0.5  # a corner has two
    assert total_variation(images).item() == pytest.approx(4 * 1 + 2 * 0.5)
    assert term("tv", images, pictures(1, height=4, width=5), tv=1e-5) == pytest.approx(5e-5)


def test_the_weights_are_in_the_order_of_omgds_code():
    loss = OnlineDistillation(random_vgg16())
    # AGD_weights 1e1,1e4,1e1,1e-5 are read as SSIM, style, feature, TV.
    assert (loss.ssim, loss.style, loss.content, loss.tv) == (10, 1e4, 10, 1e-5)


def test_several_teachers_add_up_term_by_term():
    loss, student = OnlineDistillation(random_vgg16()), pictures(1)
    wide, deep = loss.teacher(pictures(2)), loss.teacher(pictures(3))
    one, other, both = loss(student, wide), loss(student, deep), loss(student, wide, deep)
    assert list(both) == ["ssim", "style", "content", "tv"]
    for name, value in both.items():
        assert value.item() == pytest.approx((one[name] + other[name]).item(), rel=1e-5)


def test_the_gradient_of_the_ssim_is_that_of_the_plain_formula():
    fast = pictures(1, height=70, width=90).requires_grad_()
    x, y = fast.detach().double().requires_grad_(), pictures(2, height=70, width=90).double()
    at = torch.arange(-5, 6).double()
    window = torch.exp(-(at[:, None].square() + at.square()) / (2 * 1.5**2))
    window = (window / window.sum()).expand(3, 1, 11, 11)

    def mean(images):
        return nn.functional.conv2d(images, window, padding=5, groups=3)

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    ((2 * mx * my + 1e-4) * (2 * cov + 9e-4) / ((mx * mx + my * my + 1e-4) * (vx + vy + 9e-4))).mean().mul(3).backward()
    (3 * ssim(fast, OnlineDistillation(None, style=0, content=0).teacher(y.float()))).backward()
    assert torch.allclose(fast.grad.double(), x.grad, rtol=1e-3, atol=1e-5 * x.grad.abs().max().item())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_are_those_of_the_plain_formula(layout):
    vgg = random_vgg16().double()
    fast, plain = (pictures(1).double().to(memory_format=layout).requires_grad_() for _ in range(2))
    teacher = pictures(2).double()

    def products(feature):
        flat = feature.flatten(2)
        return flat @ flat.transpose(1, 2) / feature[0].numel()

    ours, its = plain_vgg16(vgg, plain), plain_vgg16(vgg, teacher)
    style = sum((products(a) - products(b)).abs().mean() for a, b in zip(ours, its, strict=True))
    (1e4 * style + 10 * (ours[1] - its[1]).abs().mean()).backward()
    loss = OnlineDistillation(vgg.float(), ssim=0, tv=0)
    sum(loss(fast.float(), loss.teacher(teacher.float())).values()).backward()
    assert torch.allclose(fast.grad.float(), plain.grad.float(), rtol=1e-3, atol=1e-4 * plain.grad.abs().max().item())


def test_teachers_get_no_gradient_and_are_seen_by_vgg_once():
    vgg = random_vgg16()
    seen = []
    vgg.register_forward_hook(lambda _module, inputs, _output: seen.append(len(inputs[0])))
    loss, pictured = OnlineDistillation(vgg), pictures(2).requires_grad_()
    features = loss.teacher(pictured)
    for seed in (3, 4):
        sum(loss(pictures(seed).requires_grad_(), features).values()).backward()
    assert seen == [2, 2, 2]
    assert pictured.grad is None


def test_means_are_taken_in_float32_under_autocast():
    images = pictures(5)
    blurred, products = blur(images), gram(images.bfloat16().float())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(blur(images), blurred)
        assert torch.equal(gram(images.bfloat16()), products)


def saved(path, counts):
    tensors, place, channels = {}, 0, 3
    for count, width in zip(counts, (64, 128, 256, 512, 512), strict=True):
        for _ in range(count):
            tensors[f"features.{place}.weight"] = torch.randn(width, channels, 3, 3)
            tensors[f"features.{place}.bias"] = torch.randn(width)
            place, channels = place + 2, width
        place += 1
    save_file(tensors, path)
    return tensors


def test_vgg16_is_read_with_torchvisions_names(tmp_path):
    tensors = saved(tmp_path / "vgg16.safetensors", (2, 2, 3, 3, 3))
    vgg = load_vgg16(str(tmp_path / "vgg16.safetensors"))
    assert torch.equal(vgg.groups[3][2].weight, tensors["features.21.weight"])  # conv4_3
    assert [feature.shape[1] for feature in vgg(torch.rand(1, 3, 16, 16))] == [64, 128, 256, 512]


def test_vgg19_is_refused(tmp_path):
    saved(tmp_path / "vgg19.safetensors", (2, 2, 4, 4, 4))
    with pytest.raises(ModelError, match=r"holds VGG19; L_OD is made of VGG16's features: .* teacher.vgg16_weights"):
        load_vgg16(str(tmp_path / "vgg19.safetensors"))


def test_without_a_file_vgg16_is_fetched_and_a_failure_says_what_to_do(monkeypatch):
    def fails(url, **_):
        raise OSError(f"no way to {url}")

    monkeypatch.setattr(vgg_module.torch.hub, "load_state_dict_from_url", fails)
    with pytest.raises(ModelError, match=r"weights of VGG16 .*vgg16-397923af.*vgg16 with teacher.vgg16_weights"):
        load_vgg16(None)


@pytest.mark.heavy
def test_the_loss_takes_at_most_a_tenth_more_than_its_vgg_passes():
    device = torch.device("cpu")
    layout = memory_format(device)
    vgg = random_vgg16().to(memory_format=layout)
    loss = OnlineDistillation(vgg)
    student, teacher = (pictures(seed, 4, 256, 256).contiguous(memory_format=layout) for seed in (1, 2))
    with torch.no_grad():
        gradients = [torch.randn_like(feature) for feature in vgg(student)]

    def whole():
        images = student.clone().requires_grad_()
        torch.stack([*loss(images, loss.teacher(teacher)).values()]).sum().backward()

    def passes():
        with torch.no_grad():
            vgg((teacher + 1) / 2)
        torch.autograd.backward(vgg((student.clone().requires_grad_() + 1) / 2), gradients)

    def seconds(work):
        started = time.process_time()
        work()
        return time.process_time() - started

    with faster_layers(device, layout):
        whole(), passes()
        ratios = [seconds(whole) / seconds(passes) for _ in range(7)]
    print(f"L_OD takes {statistics.median(ratios):.3f} times its VGG passes ({min(ratios):.3f} to {max(ratios):.3f})")
    assert statistics.median(ratios) <= 1.1
