"""pix2pix (Isola et al. 2017): a conditional GAN plus L1 on pairs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pocketgan.training.losses import AdversarialLoss, GanMode
from pocketgan.training.programs import Batch, Optimiser, Phase


class Pix2Pix:
    """Trains `generator` against `discriminator` on batches with `input` and `target`.

    Args:
        generator: (n, 3, h, w) -> (n, 3, h, w).
        discriminator: sees input and output concatenated.
        lambda_l1: weight of the L1 distance to the target (paper: 100).
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        gan_mode: GanMode = "hinge",
        lambda_l1: float = 100.0,
        optimiser: Optimiser | None = None,
        discriminator_learning_rate: float | None = None,
    ) -> None:
        self.generator: Any = generator
        self.discriminator = discriminator
        self.adversarial = AdversarialLoss(gan_mode)
        self.lambda_l1 = lambda_l1
        self.optimiser = optimiser or Optimiser(("generator",))
        self.discriminator_learning_rate = discriminator_learning_rate or self.optimiser.learning_rate

    def networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator}

    def optimisers(self) -> dict[str, Optimiser]:
        own = self.optimiser
        return {
            "discriminator": Optimiser(("discriminator",), self.discriminator_learning_rate, own.betas, own.decay),
            "generator": own,
        }

    def losses(self, batch: Batch) -> Iterator[Phase]:
        source, target = batch["input"], batch["target"]
        fake = self.generator(source)
        yield "discriminator", {"discriminator": self.judge(source, target, fake)}
        yield "generator", self.generator_terms(source, target, fake)

    def judge(self, source: Tensor, target: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss on real and generated pairs."""
        real_scores = self.discriminator(torch.cat([source, target], 1))
        fake_scores = self.discriminator(torch.cat([source, fake.detach()], 1))
        return self.adversarial.discriminator(real_scores, fake_scores)

    def generator_terms(self, source: Tensor, target: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The adversarial and the reconstruction term."""
        scores = self.discriminator(torch.cat([source, fake], 1))
        return {
            "adversarial": self.adversarial.generator(scores),
            "l1": self.lambda_l1 * (fake - target).abs().mean(),
        }

    def output(self, images: Tensor) -> Tensor:
        return self.generator(images)
