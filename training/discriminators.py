"""Discriminators: PatchGAN (pix2pix, Isola et al. 2017, section 3.2.2), multi-scale (pix2pixHD, SPADE), and either of
them with a head for each of several generators (OMGD, UGC)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from pocketgan.training.generators.blocks import has_bias, make_norm


class PatchDiscriminator(nn.Module):
    """Scores overlapping patches; 70x70 pixels each at the default of three layers.

    forward: (n, channels, h, w) -> (n, 1, h', w') raw scores.

    Args:
        channels: input channels; a conditional discriminator sees input and output image concatenated, an
            unconditional one (CycleGAN) the output image alone.
        ndf: channels of the first layer.
        layers: stride-2 layers.
        norm: of all layers but the first and the last.
        seed: of the weights, drawn from N(0, 0.02).
    """

    def __init__(
        self,
        channels: int,
        ndf: int = 64,
        layers: int = 3,
        norm: Literal["batch", "instance"] = "batch",
        seed: int = 0,
    ) -> None:
        super().__init__()
        body: list[nn.Module] = [nn.Conv2d(channels, ndf, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        width = ndf
        for index in range(1, layers + 1):
            wider = min(ndf * 2**index, ndf * 8)
            stride = 2 if index < layers else 1
            body += [
                nn.Conv2d(width, wider, 4, stride=stride, padding=1, bias=has_bias(norm)),
                make_norm(norm, wider),
                nn.LeakyReLU(0.2),
            ]
            width = wider
        body.append(nn.Conv2d(width, 1, 4, padding=1))
        self.body = nn.Sequential(*body)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for module in self.body:
                if isinstance(module, nn.Conv2d):
                    module.weight.normal_(0.0, 0.02, generator=generator)
                    if module.bias is not None:
                        module.bias.zero_()
                elif isinstance(module, nn.BatchNorm2d):
                    module.weight.normal_(1.0, 0.02, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class MultiScaleDiscriminator(nn.Module):
    """The same PatchGAN at the full size and at every half of it (pix2pixHD, section 3.2; SPADE).

    Convolutions between the first and the last are followed by instance norm.

    forward: (n, channels, h, w) -> by scale, from the full one on, the outputs of all layers; the last are raw scores.

    Args:
        channels: of input and output image concatenated.
        ndf: channels of the first layer.
        scales: number of discriminators (num_D).
        layers: convolutions before the scores (SPADE's n_layers_D, pix2pixHD's and 1); all but the last of them have
            stride 2.
        seed: of the weights.
        spectral: whether the convolutions before a norm are spectrally normalised too and weights drawn by Xavier's
            rule with gain 0.02 (SPADE), or not and from N(0, 0.02) (pix2pixHD).
    """

    def __init__(
        self, channels: int, ndf: int = 64, scales: int = 2, layers: int = 4, seed: int = 0, spectral: bool = True
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # also of the power iterations' first vectors
            self.scales = nn.ModuleList(_scale(channels, ndf, layers, spectral) for _ in range(scales))

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        return _outputs([scale.children() for scale in self.scales], x)


class MultiHeadDiscriminator(nn.Module):
    """One that several generators share in part: a trunk for all, and a head for each of them (OMGD, UGC's stage 2).

    Every head begins with the weights of `single`, and so judges as it does until it learns. UGC leaves open where the
    heads begin: here after the last layer of stride 2, where the maps are smallest and the channels most.

    forward: (n, channels, h, w) and the head's number, from 0 -> what `single` gives: scores, or by scale the outputs
    of all layers.

    Args:
        single: a PatchDiscriminator or a MultiScaleDiscriminator, whose weights are copied.
        heads: number of generators.
        shared: layers of the trunk, each a convolution with what follows it; those of stride 2 where None.
    Raises:
        ValueError: it is neither, no layer is shared, or none is left for the heads.
    """

    def __init__(self, single: nn.Module, heads: int = 2, shared: int | None = None) -> None:
        super().__init__()
        scales = _layers_by_scale(copy.deepcopy(single))
        if shared is None:
            shared = sum(_stride(layer) == 2 for layer in scales[0])
        if not 0 < shared < len(scales[0]):
            raise ValueError(f"{shared} of {len(scales[0])} layers cannot be shared: 1 to {len(scales[0]) - 1} can")
        self.by_scale = isinstance(single, MultiScaleDiscriminator)
        self.trunks = nn.ModuleList(nn.ModuleList(layers[:shared]) for layers in scales)
        self.heads = nn.ModuleList(
            nn.ModuleList(nn.ModuleList(copy.deepcopy(layers[shared:])) for layers in scales) for _ in range(heads)
        )

    def forward(self, x: Tensor, head: int) -> Tensor | list[list[Tensor]]:
        own = self.heads[head]
        assert isinstance(own, nn.ModuleList)
        scales = [[*trunk.children(), *last.children()] for trunk, last in zip(self.trunks, own, strict=True)]
        outputs = _outputs(scales, x)
        return outputs if self.by_scale else outputs[0][-1]


def _outputs(scales: Sequence[Iterable[nn.Module]], x: Tensor) -> list[list[Tensor]]:
    """By scale, each at half the size of the one before, the outputs of its layers."""
    results = []
    for index, layers in enumerate(scales):
        if index:
            x = functional.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
        outputs, features = x, []
        for layer in layers:
            outputs = layer(outputs)
            features.append(outputs)
        results.append(features)
    return results


def _layers_by_scale(single: nn.Module) -> list[list[nn.Module]]:
    """The convolutions of a discriminator, each with what follows it."""
    if isinstance(single, MultiScaleDiscriminator):
        return [[*scale.children()] for scale in single.scales]
    if not isinstance(single, PatchDiscriminator):
        raise ValueError(f"the layers of {type(single).__name__} are not known: they cannot be shared")
    layers: list[nn.Sequential] = []
    for module in single.body:
        if isinstance(module, nn.Conv2d):
            layers.append(nn.Sequential())
        layers[-1].append(module)
    return [[*layers]]


def _stride(layer: nn.Module) -> int:
    return next(module.stride[0] for module in layer.modules() if isinstance(module, nn.Conv2d))


def _scale(channels: int, ndf: int, layers: int, spectral: bool) -> nn.ModuleList:
    """Layers of one discriminator; each is a convolution with what follows it."""

    def conv(inputs: int, outputs: int, stride: int, bias: bool = True) -> nn.Conv2d:
        made = nn.Conv2d(inputs, outputs, 4, stride=stride, padding=2, bias=bias)
        if spectral:
            nn.init.xavier_normal_(made.weight, gain=0.02)
        else:
            nn.init.normal_(made.weight, 0.0, 0.02)
        if made.bias is not None:
            nn.init.zeros_(made.bias)
        return made

    stages: list[nn.Module] = [nn.Sequential(conv(channels, ndf, 2), nn.LeakyReLU(0.2))]
    width = ndf
    for index in range(1, layers):
        wider = min(2 * width, 8 * ndf)
        # Instance norm takes a bias away again.
        before = conv(width, wider, 2 if index < layers - 1 else 1, bias=False)
        normed = spectral_norm(before) if spectral else before
        stages.append(nn.Sequential(normed, nn.InstanceNorm2d(wider), nn.LeakyReLU(0.2)))
        width = wider
    stages.append(conv(width, 1, 1))
    return nn.ModuleList(stages)
