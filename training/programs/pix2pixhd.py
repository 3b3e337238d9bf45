"""pix2pixHD (Wang et al. 2018): least squares at several scales, the discriminator's features, and VGG's.

One generator is trained in one go; the paper trains its global generator alone before the local enhancer joins it.
"""

from __future__ import annotations

from torch import nn

from pocketgan.recipe.choices import GanMode
from pocketgan.training.programs import Optimiser
from pocketgan.training.programs.multi_scale import MultiScale, MultiScaleMethod


class Pix2PixHd(MultiScale):
    """Trains `generator` on batches with `input` (one-hot labels and edges, or pictures) and `target`.

    The generator minimises sum_k LSGAN_k + lambda_feature FM + lambda_vgg VGG (section 3.2; VGG in section 4), with
    the adversarial terms summed over the scales k and feature matching averaged over them, as the released code does.

    Args:
        discriminator: multi-scale, without spectral norm.
        vgg: features for the perceptual loss; None where its weight is 0.
        lambda_feature, lambda_vgg: weights of feature matching and of the perceptual loss (paper: 10 each).
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        vgg: nn.Module | None,
        *,
        gan_mode: GanMode = "lsgan",
        lambda_feature: float = 10.0,
        lambda_vgg: float = 10.0,
        optimiser: Optimiser | None = None,
        discriminator_learning_rate: float | None = None,
    ) -> None:
        super().__init__(
            generator,
            discriminator,
            vgg,
            gan_mode=gan_mode,
            lambda_feature=lambda_feature,
            lambda_vgg=lambda_vgg,
            over_scales="sum",
            optimiser=optimiser,
            discriminator_learning_rate=discriminator_learning_rate,
        )


METHOD = MultiScaleMethod(Pix2PixHd, spectral=False)
