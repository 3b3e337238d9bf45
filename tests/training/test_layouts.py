"""Weights of CAT's, GAN Compression's and OMGD's networks: exact where a family here can express them, else refused."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import spectral_norm
from trained_weights import seeded

from pocketgan.errors import ModelError
from pocketgan.training.reference import import_checkpoint

# Networks with the module names of those projects, written from the papers: what their state dicts look like.


def batch_norm(channels):
    return nn.BatchNorm2d(channels)


def plain_batch_norm(channels):
    return nn.BatchNorm2d(channels, affine=False)


def instance_norm(channels):
    return nn.InstanceNorm2d(channels)


def scaled_instance_norm(channels):
    return nn.InstanceNorm2d(channels, affine=True)


def tracking_instance_norm(channels):
    return nn.InstanceNorm2d(channels, affine=True, track_running_stats=True)


def pad(kernel):
    return nn.ReflectionPad2d(kernel // 2)


class CatBlock(nn.Module):
    """`plain` and `depthwise` are the hidden widths by kernel."""

    def __init__(self, channels, plain, depthwise, norm, bias):
        super().__init__()
        self.res_ops, self.dw_ops, self.pw_bn = nn.ModuleList(), nn.ModuleList(), norm(channels)
        for k, h in plain.items():
            first = nn.Sequential(nn.Conv2d(channels, h, k, bias=bias), norm(h), nn.ReLU())
            last = nn.Conv2d(h, channels, k, bias=bias)
            self.res_ops.append(nn.Sequential(pad(k), first, nn.Dropout(0.1), pad(k), last))
        for k, h in depthwise.items():
            first = nn.Sequential(nn.Conv2d(channels, h, 1, bias=bias), norm(h), nn.ReLU())
            middle = nn.Sequential(nn.Conv2d(h, h, k, groups=h, bias=bias), norm(h), nn.ReLU())
            last = nn.Conv2d(h, channels, 1, bias=bias)
            self.dw_ops.append(nn.Sequential(first, pad(k), middle, nn.Dropout(0.1), last))

    def forward(self, x):
        branches = [*self.res_ops, *self.dw_ops]
        return x + self.pw_bn(sum(branch(x) for branch in branches)) if branches else x


class CatGenerator(nn.Module):
    """`blocks` holds the hidden widths of each block: plain and depthwise, by kernel."""

    def __init__(self, norm, bias, blocks, stem=4, down=(8, 12), up=(8, 4)):
        super().__init__()
        steps = [nn.ReflectionPad2d(3), nn.Conv2d(3, stem, 7, bias=bias), norm(stem), nn.ReLU()]
        for before, after in zip((stem, *down), down, strict=False):
            steps += [nn.Conv2d(before, after, 3, 2, 1, bias=bias), norm(after), nn.ReLU()]
        self.down_sampling = nn.Sequential(*steps)
        self.features = nn.Sequential(*(CatBlock(down[1], plain, dw, norm, bias) for plain, dw in blocks))
        steps = []
        for before, after in zip((down[1], *up), up, strict=False):
            steps += [nn.ConvTranspose2d(before, after, 3, 2, 1, 1, bias=bias), norm(after), nn.ReLU()]
        self.up_sampling = nn.Sequential(*steps, nn.ReflectionPad2d(3), nn.Conv2d(up[1], 3, 7), nn.Tanh())

    def forward(self, x):
        return self.up_sampling(self.features(self.down_sampling(x)))


WHOLE = ({1: 2, 3: 2, 5: 2}, {1: 2, 3: 2, 5: 2})
PRUNED = [({3: 3}, {1: 1, 5: 4}), ({}, {}), ({1: 2, 5: 1}, {}), ({}, {3: 5}), *[WHOLE] * 5]


class WrappedConv(nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, x):
        return self.conv(x)


class ConvNorm(nn.Module):
    def __init__(self, conv, norm, act):
        super().__init__()
        self.conv, self.norm, self.act = conv, norm, act

    def forward(self, x):
        return self.act(self.norm(self.conv(x)))


def spade_branches(inputs, outputs, widths, second_norm, act, spectral, wrap):
    plain, depthwise = widths
    res, dw = nn.ModuleList(), nn.ModuleList()
    for k, h in plain.items():
        first = ConvNorm(spectral(nn.Conv2d(inputs, h, k, padding=k // 2)), batch_norm(h), act)
        res.append(nn.Sequential(first, wrap(spectral(nn.Conv2d(h, outputs, k, padding=k // 2)))))
    for k, h in depthwise.items():
        first = ConvNorm(spectral(nn.Conv2d(inputs, h, 1)), batch_norm(h), act)
        middle = ConvNorm(spectral(nn.Conv2d(h, h, k, padding=k // 2, groups=h)), second_norm(h), act)
        dw.append(nn.Sequential(first, middle, wrap(spectral(nn.Conv2d(h, outputs, 1)))))
    return res, dw


class CatSpade(nn.Module):
    def __init__(self, channels, labels, widths):
        super().__init__()
        self.param_free_norm = plain_batch_norm(channels)
        self.res_ops, self.dw_ops = spade_branches(
            labels, 2 * channels, widths, batch_norm, nn.ReLU(), lambda conv: conv, lambda conv: conv
        )

    def forward(self, x, labels):
        labels = functional.interpolate(labels, size=x.shape[2:], mode="nearest")
        branches = [*self.res_ops, *self.dw_ops]
        if not branches:
            return self.param_free_norm(x)
        gamma, beta = sum(branch(labels) for branch in branches).chunk(2, 1)
        return self.param_free_norm(x) * (1 + gamma) + beta


class CatSpadeBlock(nn.Module):
    def __init__(self, inputs, outputs, labels, widths, inside, spectral):
        super().__init__()
        self.res_ops, self.dw_ops = spade_branches(
            inputs, outputs, widths, plain_batch_norm, nn.LeakyReLU(0.01), spectral, WrappedConv
        )
        self.spade = CatSpade(inputs, labels, inside)
        if inputs != outputs:
            conv = WrappedConv(spectral(nn.Conv2d(inputs, outputs, 1, bias=False)))
            self.shortcut = nn.Sequential(batch_norm(inputs), conv)

    def forward(self, x, labels):
        around = self.shortcut(x) if hasattr(self, "shortcut") else x
        branches = [*self.res_ops, *self.dw_ops]
        if not branches:
            return around
        modulated = functional.leaky_relu(self.spade(x, labels), 0.01)
        return around + sum(branch(modulated) for branch in branches)


class CatSpadeGenerator(nn.Module):
    """`widths` and `inside` are the hidden widths of every stage's branches, and of those in its SPADE."""

    def __init__(self, labels, width, widths, inside, spectral=lambda conv: conv, doublings=6):
        super().__init__()
        wide, self.doublings = 16 * width, doublings
        self.fc, self.fc_norm = nn.Conv2d(labels, wide, 3, padding=1), batch_norm(wide)
        ends = {"head_0": (wide, wide), "G_middle_0": (wide, wide), "G_middle_1": (wide, wide)}
        ends |= {f"up_{i}": (wide >> i, wide >> (i + 1)) for i in range(4)}
        for (name, (inputs, outputs)), w, i in zip(ends.items(), widths, inside, strict=True):
            self.add_module(name, CatSpadeBlock(inputs, outputs, labels, w, i, spectral))
        self.conv_img = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, labels):
        def up(x):
            return functional.interpolate(x, scale_factor=2, mode="nearest")

        small = [size // 2**self.doublings for size in labels.shape[2:]]
        x = self.fc_norm(self.fc(functional.interpolate(labels, size=small, mode="nearest")))
        x = self.G_middle_0(up(self.head_0(x, labels)), labels)
        x = self.G_middle_1(up(x) if self.doublings == 6 else x, labels)
        for i in range(4):
            x = getattr(self, f"up_{i}")(up(x), labels)
        return torch.tanh(self.conv_img(functional.leaky_relu(x, 0.2)))


class Separable(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        depthwise = nn.Conv2d(inputs, inputs, 3, groups=inputs)
        self.conv = nn.Sequential(depthwise, instance_norm(inputs), nn.Conv2d(inputs, outputs, 1))

    def forward(self, x):
        return self.conv(x)


class MobileBlock(nn.Module):
    def __init__(self, channels, inner, norm):
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), Separable(channels, inner), norm(inner), nn.ReLU(), nn.Dropout(0.1),
            nn.ReflectionPad2d(1), Separable(inner, channels), norm(channels),
        )  # fmt: skip

    def forward(self, x):
        return x + self.conv_block(x)


class Wrapped(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)


def mobile(norm, inner, stem=4, down=(8, 16), up=(8, 4)):
    """GAN Compression's and OMGD's mobile ResNet; `inner` are the widths inside the blocks."""
    bias = norm is instance_norm
    steps = [nn.ReflectionPad2d(3), nn.Conv2d(3, stem, 7, bias=bias), norm(stem), nn.ReLU()]
    for before, after in zip((stem, *down), down, strict=False):
        steps += [nn.Conv2d(before, after, 3, 2, 1, bias=bias), norm(after), nn.ReLU()]
    steps += [MobileBlock(down[1], width, norm) for width in inner]
    for before, after in zip((down[1], *up), up, strict=False):
        steps += [nn.ConvTranspose2d(before, after, 3, 2, 1, 1, bias=bias), norm(after), nn.ReLU()]
    return Wrapped(nn.Sequential(*steps, nn.ReflectionPad2d(3), nn.Conv2d(up[1], 3, 7), nn.Tanh()))


SPADE_PRUNED = [({3: 2}, {}), ({}, {}), ({1: 1}, {5: 2}), WHOLE, ({5: 1}, {1: 1}), ({}, {}), ({}, {3: 2})]
SPADE_INSIDE = [({}, {}), WHOLE, ({3: 2}, {}), ({}, {1: 3}), WHOLE, WHOLE, ({5: 2}, {3: 1})]
SOURCES = {
    "CAT, batch norm": ("incres9", lambda: CatGenerator(batch_norm, False, [WHOLE] * 9)),
    "CAT, batch norm without scales": ("incres9", lambda: CatGenerator(plain_batch_norm, False, [WHOLE] * 9)),
    "CAT, instance norm": ("incres9", lambda: CatGenerator(instance_norm, True, [WHOLE] * 9)),
    "CAT, instance norm with scales": ("incres9", lambda: CatGenerator(scaled_instance_norm, True, [WHOLE] * 9)),
    "CAT's student": ("incres9", lambda: CatGenerator(batch_norm, False, PRUNED, 5, (7, 9), (6, 3))),
    "six blocks of CAT's": ("incres9", lambda: CatGenerator(batch_norm, False, [WHOLE] * 6)),
    "CAT's SPADE": ("incres-spade", lambda: CatSpadeGenerator(5, 2, [WHOLE] * 7, [WHOLE] * 7)),
    "CAT's SPADE student": (
        "incres-spade",
        lambda: CatSpadeGenerator(5, 2, SPADE_PRUNED, SPADE_INSIDE, spectral_norm),
    ),
    "GAN Compression's teacher": ("mobile-resnet9", lambda: mobile(instance_norm, [16] * 9)),
    "GAN Compression's student": (
        "mobile-resnet9",
        lambda: mobile(instance_norm, [12] * 3 + [20] * 3 + [8] * 3, 3, (10, 16), (6, 2)),
    ),
    "six blocks of mobile ResNet": ("mobile-resnet9", lambda: mobile(instance_norm, [16] * 6)),
}


def test_the_networks_of_these_tests_have_the_published_numbers_of_parameters():
    # CAT's teachers: 8.14 M and 55.59 M; GAN Compression's mobile ResNet of 16 channels: 0.137 M
    teacher = dict.fromkeys((1, 3, 5), 256 // 6)
    ends = [min(1024, 1024 >> i) // 6 for i in (0, 0, 0, 1, 2, 3, 4)]
    inside = dict.fromkeys((1, 3, 5), 128 // 6)
    with torch.device("meta"):
        incres = CatGenerator(batch_norm, False, [(teacher, teacher)] * 9, 64, (128, 256), (128, 64))
        stages = [(dict.fromkeys((1, 3, 5), width),) * 2 for width in ends]
        spade = CatSpadeGenerator(36, 64, stages, [(inside, inside)] * 7)
        narrow = mobile(instance_norm, [64] * 9, 16, (32, 64), (32, 16))
    millions = [sum(p.numel() for p in net.parameters()) / 1e6 for net in (incres, spade, narrow)]
    assert millions == pytest.approx([8.14, 55.59, 0.137], abs=5e-3)


def saved(module, path, prefix=""):
    torch.save({f"{prefix}{name}": tensor for name, tensor in module.state_dict().items()}, path)
    return path


@pytest.mark.parametrize("source", SOURCES)
def test_an_imported_network_computes_what_the_source_computes(source, tmp_path):
    family, make = SOURCES[source]
    module = seeded(make())
    size = (5, 64, 128) if family == "incres-spade" else (3, 32, 48)
    x = torch.rand(2, *size, generator=torch.Generator().manual_seed(5)) * 2 - 1
    module.train()(x)  # spectral vectors and running statistics are those of a network in training
    module.eval()
    imported = import_checkpoint(saved(module, tmp_path / "G.pth", "module."), family, size[1:])
    with torch.no_grad():
        expected, actual = module(x), imported.module(x)
    assert expected.std() > 1e-2
    assert torch.allclose(actual, expected, atol=4e-6, rtol=0)


def test_cats_spade_of_five_doublings_is_read_where_it_is_told(tmp_path):
    module = seeded(CatSpadeGenerator(4, 2, [WHOLE] * 7, [WHOLE] * 7, doublings=5)).eval()
    x = torch.rand(1, 4, 64, 64, generator=torch.Generator().manual_seed(5))
    imported = import_checkpoint(saved(module, tmp_path / "G.pth"), "incres-spade", (64, 64), levels=5)
    with torch.no_grad():
        assert torch.allclose(imported.module(x), module(x), atol=2e-6, rtol=0)


def test_a_student_keeps_the_widths_of_its_file_and_says_what_its_network_never_used(tmp_path):
    family, make = SOURCES["CAT's student"]
    imported = import_checkpoint(saved(make(), tmp_path / "G.pth"), family)
    widths = imported.spec.widths
    assert {name: widths[name] for name in ("stem", "down1", "down2", "up1", "up2")} == {
        "stem": 5, "down1": 7, "down2": 9, "up1": 6, "up2": 3,
    }  # fmt: skip
    block1 = {name: width for name, width in widths.items() if name.startswith("block1.") and width}
    assert block1 == {"block1.plain3": 3, "block1.depthwise1": 1, "block1.depthwise5": 4}
    # The second block has no branches left, and passes on what it gets: its norm computes nothing.
    assert {name.rpartition(".")[0] for name in imported.ignored} == {"features.1.pw_bn"}


def test_a_member_of_a_supernet_is_what_the_first_channels_of_its_layers_compute(tmp_path):
    whole = seeded(mobile(instance_norm, [16] * 9)).eval()
    # 3_3_4_2_3_4_2_1: the stem's channels, twice the next, four times those at a quarter of the size, and back
    member = mobile(instance_norm, [8] * 3 + [12] * 3 + [16] * 3, 3, (6, 16), (4, 1)).eval()
    first = {
        name: whole.state_dict()[name][tuple(slice(n) for n in tensor.shape)]
        for name, tensor in member.state_dict().items()
    }
    member.load_state_dict(first)
    path = saved(whole, tmp_path / "G.pth")
    imported = import_checkpoint(path, "mobile-resnet9", (32, 32), channels=[3, 3, 4, 2, 3, 4, 2, 1])
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(5)) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(imported.module(x), member(x), atol=2e-6, rtol=0)
    with pytest.raises(ModelError, match=r"no such channels: down2 20 \(at most 16\)"):
        import_checkpoint(path, "mobile-resnet9", channels=[3, 3, 5, 2, 2, 1])
    with pytest.raises(ModelError, match="--channels are those of"):
        import_checkpoint(path, "mobile-resnet9", channels=[3, 3, 5])


class Expansion(nn.Module):
    """OMGD's: 1x1 to four times the width, conv3, 1x1 back, dropout, conv3, each with norm and ReLU."""

    def __init__(self, channels):
        super().__init__()
        wide = 4 * channels

        def step(inputs, outputs, kernel):
            return [nn.Conv2d(inputs, outputs, kernel), instance_norm(outputs), nn.ReLU()]

        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), *step(channels, wide, 1), *step(wide, wide, 3), *step(wide, channels, 1),
            nn.Dropout(), nn.ReflectionPad2d(1), *step(channels, channels, 3)[:2],
        )  # fmt: skip


def deep_teacher():
    module = mobile(instance_norm, [16] * 9)
    module.model.insert(7, Expansion(8))
    return module


def mobile_spade():
    module = nn.Module()
    module.head_0 = nn.Module()
    module.head_0.norm_0 = nn.Module()
    module.head_0.norm_0.mlp_gamma = Separable(4, 4)
    return module


OWN = "give .*a function of your own"
TRACKED = r"down_sampling\.2 is an instance norm with running statistics, .*" + OWN
MIXED = r"model\.2 is a batch norm and model\.10\.conv_block\.1\.conv\.1 an instance norm, .*" + OWN
REFUSED = {
    "a deep teacher": ("mobile-resnet9", deep_teacher, "OMGD's deep teachers, .*" + OWN),
    "a mobile SPADE": ("gaugan", mobile_spade, "GAN Compression's mobile SPADE, .*" + OWN),
    "tracked statistics": ("incres9", lambda: CatGenerator(tracking_instance_norm, True, [WHOLE] * 9), TRACKED),
    "norms of two kinds": ("mobile-resnet9", lambda: mobile(batch_norm, [16] * 9), MIXED),
    "other kernels": ("incres9", lambda: CatGenerator(batch_norm, False, [({7: 2}, {})] * 9), "kernels of 1, 3, 5"),
    "another family": (
        "mobile-resnet9",
        lambda: CatGenerator(batch_norm, False, [WHOLE] * 9),
        r"missing model\.1\.weight, .*; unexpected down_sampling\.1\.weight, .*; .*: --family incres9",
    ),
    "half a file": (
        "incres9",
        lambda: nn.ModuleDict({"down_sampling": CatGenerator(batch_norm, False, [WHOLE]).down_sampling}),
        r"missing .*up_sampling",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_family_here_computes_is_refused_in_one_line_that_says_what_to_do(case, tmp_path):
    family, make, message = REFUSED[case]
    with pytest.raises(ModelError, match=message) as caught:
        import_checkpoint(saved(make(), tmp_path / "G.pth"), family)
    assert "\n" not in str(caught.value)
