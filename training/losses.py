"""What the programs minimise.

All of it is computed in float32, also from the bfloat16 outputs of networks under autocast: bfloat16 has 8 bits of
precision, and a mean over an image would be rounded to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from pocketgan.recipe.choices import GanMode


def l1_loss(x: Tensor, y: Tensor) -> Tensor:
    """Mean absolute difference of tensors of one shape; a scalar."""
    return (x.float() - y.float()).abs().mean()


class AdversarialLoss:
    """Least squares (Mao et al. 2017), cross entropy (Goodfellow et al. 2014) or hinge (Lim & Ye 2017).

    Discriminator scores are raw, of any shape; results are scalars. A list holds the scores of a discriminator at
    several scales.

    Args:
        over_scales: whether the result is the mean over the scales (SPADE) or their sum (pix2pixHD).
    """

    def __init__(self, mode: GanMode = "hinge", over_scales: Literal["mean", "sum"] = "mean") -> None:
        self.mode = mode
        self.over_scales = over_scales

    def discriminator(self, real: Tensor | Sequence[Tensor], fake: Tensor | Sequence[Tensor]) -> Tensor:
        """What the discriminator minimises, half for each side."""
        pairs = list(zip(_scales(real), _scales(fake), strict=True))
        return self._over_scales([self._discriminator(r, f) for r, f in pairs])

    def generator(self, fake: Tensor | Sequence[Tensor]) -> Tensor:
        """What the generator minimises."""
        return self._over_scales([self._generator(scores) for scores in _scales(fake)])

    def _over_scales(self, losses: Sequence[Tensor]) -> Tensor:
        together = torch.stack([*losses])
        return together.sum() if self.over_scales == "sum" else together.mean()

    def _discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        if self.mode == "lsgan":
            return 0.5 * ((real - 1).square().mean() + fake.square().mean())
        if self.mode == "vanilla":
            return 0.5 * (functional.softplus(-real).mean() + functional.softplus(fake).mean())
        return 0.5 * (torch.relu(1 - real).mean() + torch.relu(1 + fake).mean())

    def _generator(self, fake: Tensor) -> Tensor:
        if self.mode == "lsgan":
            return (fake - 1).square().mean()
        if self.mode == "vanilla":
            return functional.softplus(-fake).mean()
        return -fake.mean()


def _scales(scores: Tensor | Sequence[Tensor]) -> Sequence[Tensor]:
    return [scale.float() for scale in ([scores] if isinstance(scores, Tensor) else scores)]


def feature_matching(real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]) -> Tensor:
    """L1 distance between a discriminator's features of the real and of the generated image (pix2pixHD, section 3.3).

    Args:
        real, fake: by scale, the outputs of all layers; the last, the scores, is left out. Real ones give no gradient.
    Returns:
        The sum over layers, the mean over scales (pix2pixHD at its default of five layers, SPADE).
    """
    distances = [
        l1_loss(generated, target.detach())
        for scale_real, scale_fake in zip(real, fake, strict=True)
        for target, generated in zip(scale_real[:-1], scale_fake[:-1], strict=True)
    ]
    return torch.stack(distances).sum() / len(real)


class PerceptualLoss:
    """L1 distance between VGG features of two images (pix2pixHD and SPADE).

    Their code takes relu1_1 to relu5_1 with the weights 1/32, 1/16, 1/8, 1/4 and 1, and feeds images in [-1, 1] as they
    are, not normalised as ImageNet classifiers expect; so does this.

    Args:
        vgg: gives those five features; see `pocketgan.training.vgg`.
    """

    WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)

    def __init__(self, vgg: torch.nn.Module) -> None:
        self.vgg = vgg

    def __call__(self, fake: Tensor, real: Tensor) -> Tensor:
        """(n, 3, h, w) each; gradients flow to `fake` alone."""
        with torch.no_grad():
            targets = self.vgg(real)
        triples = zip(self.WEIGHTS, self.vgg(fake), targets, strict=True)
        return torch.stack([weight * l1_loss(x, y) for weight, x, y in triples]).sum()
