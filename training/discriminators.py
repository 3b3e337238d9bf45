"""PatchGAN discriminator of pix2pix (Isola et al. 2017, section 3.2.2)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from pocketgan.training.generators.blocks import has_bias, make_norm


class PatchDiscriminator(nn.Module):
    """Scores overlapping patches; 70x70 pixels each at the default of three layers.

    forward: (n, channels, h, w) -> (n, 1, h', w') raw scores.

    Args:
        channels: input channels; a conditional discriminator sees input and output image concatenated.
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
