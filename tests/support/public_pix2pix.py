"""Networks with the module names of pix2pix, CycleGAN, pix2pixHD and SPADE, written from the papers: what their state
dicts look like.
"""

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import spectral_norm
from torch.nn.utils.parametrizations import spectral_norm as parametrised_spectral_norm

WIDTH = 4


def batch_norm(channels):
    return nn.BatchNorm2d(channels)


def instance_norm(channels):
    return nn.InstanceNorm2d(channels)


class Residual(nn.Module):
    def __init__(self, channels, norm, bias, dropout):
        super().__init__()
        middle = [nn.Dropout(0.5)] if dropout else []
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm(channels), nn.ReLU(), *middle,
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm(channels),
        )  # fmt: skip

    def forward(self, x):
        return x + self.conv_block(x)


def sequence(inputs, width, norm, bias, levels, blocks, dropout=False, head=True):
    steps = [nn.ReflectionPad2d(3), nn.Conv2d(inputs, width, 7, bias=bias), norm(width), nn.ReLU()]
    for i in range(levels):
        c = width * 2**i
        steps += [nn.Conv2d(c, 2 * c, 3, 2, 1, bias=bias), norm(2 * c), nn.ReLU()]
    steps += [Residual(width * 2**levels, norm, bias, dropout) for _ in range(blocks)]
    for i in range(levels, 0, -1):
        c = width * 2**i
        steps += [nn.ConvTranspose2d(c, c // 2, 3, 2, 1, 1, bias=bias), norm(c // 2), nn.ReLU()]
    if head:
        steps += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
    return nn.Sequential(*steps)


class Wrapped(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)


class UNetLevel(nn.Module):
    """One level with all deeper ones inside; `outer` and `inner` are the widths above and below."""

    def __init__(self, outer, inner, norm, bias, deeper=None, inputs=None):
        super().__init__()
        self.outermost = inputs is not None
        down = nn.Conv2d(inputs or outer, inner, 4, 2, 1, bias=bias)
        if self.outermost:
            up = nn.ConvTranspose2d(2 * inner, outer, 4, 2, 1)
            steps = [down, deeper, nn.ReLU(), up, nn.Tanh()]
        elif deeper is None:
            up = nn.ConvTranspose2d(inner, outer, 4, 2, 1, bias=bias)
            steps = [nn.LeakyReLU(0.2), down, nn.ReLU(), up, norm(outer)]
        else:
            up = nn.ConvTranspose2d(2 * inner, outer, 4, 2, 1, bias=bias)
            steps = [nn.LeakyReLU(0.2), down, norm(inner), deeper, nn.ReLU(), up, norm(outer), nn.Dropout()]
        self.model = nn.Sequential(*steps)

    def forward(self, x):
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


def unet(levels, norm=batch_norm, bias=False):
    widths = [WIDTH * min(2**i, 8) for i in range(levels)]
    level = None
    for i in range(levels - 1, 0, -1):
        level = UNetLevel(widths[i - 1], widths[i], norm, bias, level)
    return Wrapped(UNetLevel(3, widths[0], norm, bias, level, inputs=3))


class Enhancer(nn.Module):
    def __init__(self, inputs, width):
        super().__init__()
        wide = 2 * width
        self.model = sequence(inputs, wide, instance_norm, True, 4, 9, head=False)
        self.model1_1 = nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(inputs, width, 7), instance_norm(width), nn.ReLU(),
            nn.Conv2d(width, wide, 3, 2, 1), instance_norm(wide), nn.ReLU(),
        )  # fmt: skip
        self.model1_2 = nn.Sequential(
            *(Residual(wide, instance_norm, True, False) for _ in range(3)),
            nn.ConvTranspose2d(wide, width, 3, 2, 1, 1), instance_norm(width), nn.ReLU(),
            nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh(),
        )  # fmt: skip

    def forward(self, x):
        half = functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        return self.model1_2(self.model(half) + self.model1_1(x))


class SourceSpade(nn.Module):
    def __init__(self, channels, labels):
        super().__init__()
        self.param_free_norm = nn.BatchNorm2d(channels, affine=False)
        self.mlp_shared = nn.Sequential(nn.Conv2d(labels, 128, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(128, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(128, channels, 3, padding=1)

    def forward(self, x, labels):
        shared = self.mlp_shared(functional.interpolate(labels, size=x.shape[2:], mode="nearest"))
        return self.param_free_norm(x) * (1 + self.mlp_gamma(shared)) + self.mlp_beta(shared)


class SourceSpadeBlock(nn.Module):
    def __init__(self, inputs, outputs, labels, spectral):
        super().__init__()
        middle = min(inputs, outputs)
        self.conv_0 = spectral(nn.Conv2d(inputs, middle, 3, padding=1))
        self.conv_1 = spectral(nn.Conv2d(middle, outputs, 3, padding=1))
        self.norm_0, self.norm_1 = SourceSpade(inputs, labels), SourceSpade(middle, labels)
        if inputs != outputs:
            self.conv_s = spectral(nn.Conv2d(inputs, outputs, 1, bias=False))
            self.norm_s = SourceSpade(inputs, labels)

    def forward(self, x, labels):
        around = self.conv_s(self.norm_s(x, labels)) if hasattr(self, "conv_s") else x
        x = self.conv_0(functional.leaky_relu(self.norm_0(x, labels), 0.2))
        return around + self.conv_1(functional.leaky_relu(self.norm_1(x, labels), 0.2))


class SourceGauGan(nn.Module):
    def __init__(self, labels, width, doublings, spectral):
        super().__init__()
        self.doublings = doublings
        wide = 16 * width
        self.fc = nn.Conv2d(labels, wide, 3, padding=1)
        self.head_0, self.G_middle_0, self.G_middle_1 = (
            SourceSpadeBlock(wide, wide, labels, spectral) for _ in range(3)
        )
        for i in range(4):
            self.add_module(f"up_{i}", SourceSpadeBlock(wide >> i, wide >> (i + 1), labels, spectral))
        self.conv_img = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, labels):
        def up(x):
            return functional.interpolate(x, scale_factor=2, mode="nearest")

        small = [size // 2**self.doublings for size in labels.shape[2:]]
        x = self.head_0(self.fc(functional.interpolate(labels, size=small, mode="nearest")), labels)
        x = self.G_middle_0(up(x), labels)
        x = self.G_middle_1(up(x) if self.doublings == 6 else x, labels)
        for i in range(4):
            x = getattr(self, f"up_{i}")(up(x), labels)
        return torch.tanh(self.conv_img(functional.leaky_relu(x, 0.2)))


def cyclegan(*options):
    return Wrapped(sequence(3, WIDTH, *options))


SOURCES = {
    "resnet9": ("resnet9", lambda: cyclegan(instance_norm, True, 2, 9), (3, 32, 48), None),
    "resnet9 with dropout": ("resnet9", lambda: cyclegan(batch_norm, False, 2, 9, True), (3, 32, 48), None),
    "resnet6": ("resnet6", lambda: Wrapped(sequence(1, WIDTH, batch_norm, False, 2, 6)), (1, 32, 32), None),
    "unet128": ("unet128", lambda: unet(7), (3, 128, 128), None),
    "unet128 with instance norm": ("unet128", lambda: unet(7, instance_norm, True), (3, 128, 128), None),
    "unet256": ("unet256", lambda: unet(8), (3, 256, 256), None),
    "pix2pixhd": ("pix2pixhd", lambda: Wrapped(sequence(6, WIDTH, instance_norm, True, 4, 9)), (6, 64, 128), None),
    "pix2pixhd-local": ("pix2pixhd-local", lambda: Enhancer(5, WIDTH), (5, 128, 128), None),
    "gaugan": ("gaugan", lambda: SourceGauGan(7, WIDTH, 6, spectral_norm), (7, 64, 128), None),
    "gaugan, parametrised": ("gaugan", lambda: SourceGauGan(4, 2, 6, parametrised_spectral_norm), (4, 64, 64), None),
    "gaugan, normal": ("gaugan", lambda: SourceGauGan(4, 2, 5, lambda conv: conv), (4, 64, 64), 5),
}  # fmt: skip
