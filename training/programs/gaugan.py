"""GauGAN (Park et al. 2019): photos from label maps, with a multi-scale discriminator, its features, and VGG's."""

from __future__ import annotations

from torch import nn

from pocketgan.recipe.choices import GanMode
from pocketgan.training.programs import Optimiser
from pocketgan.training.programs.multi_scale import MultiScale, MultiScaleMethod

# Two time-scale update rule: the discriminator learns four times as fast.
GENERATOR_RATE, DISCRIMINATOR_RATE, BETAS = 1e-4, 4e-4, (0.0, 0.9)


class GauGan(MultiScale):
    """Trains `generator` on batches with `input` (one-hot labels and edges) and `target`.

    Args:
        discriminator: multi-scale.
        vgg: features for the perceptual loss; None where its weight is 0.
        lambda_feature, lambda_vgg: weights of feature matching and of the perceptual loss (paper: 10 each).
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        vgg: nn.Module | None,
        *,
        gan_mode: GanMode = "hinge",
        lambda_feature: float = 10.0,
        lambda_vgg: float = 10.0,
        optimiser: Optimiser | None = None,
        discriminator_learning_rate: float | None = DISCRIMINATOR_RATE,
    ) -> None:
        super().__init__(
            generator,
            discriminator,
            vgg,
            gan_mode=gan_mode,
            lambda_feature=lambda_feature,
            lambda_vgg=lambda_vgg,
            optimiser=optimiser or Optimiser((), GENERATOR_RATE, BETAS),
            discriminator_learning_rate=discriminator_learning_rate,
        )


METHOD = MultiScaleMethod(GauGan, spectral=True)
