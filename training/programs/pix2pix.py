"""pix2pix (Isola et al. 2017): a conditional GAN plus L1 on pairs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pocketgan.training.losses import GanMode
from pocketgan.training.programs import Batch, Optimiser
from pocketgan.training.programs.adversarial import Adversarial


class Pix2Pix(Adversarial):
    """Trains `generator` against `discriminator` on batches with `input` and `target`.

    Args:
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
        super().__init__(generator, discriminator, gan_mode, optimiser, discriminator_learning_rate)
        self.lambda_l1 = lambda_l1

    def judge(self, batch: Batch, fake: Tensor) -> Tensor:
        real_scores = self.discriminator(torch.cat([batch["input"], batch["target"]], 1))
        fake_scores = self.discriminator(torch.cat([batch["input"], fake.detach()], 1))
        return self.adversarial.discriminator(real_scores, fake_scores)

    def generator_terms(self, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        scores = self.discriminator(torch.cat([batch["input"], fake], 1))
        return {
            "adversarial": self.adversarial.generator(scores),
            "l1": self.lambda_l1 * (fake - batch["target"]).abs().mean(),
        }
