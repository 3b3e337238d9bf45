"""Networks with the module names of CAT, GAN Compression and OMGD: what their state dicts look like."""

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import spectral_norm


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
