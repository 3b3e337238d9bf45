"""pix2pix (Isola et al. 2017): a conditional GAN plus L1 on pairs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pocketgan.recipe.choices import GanMode
from pocketgan.recipe.sections import DistillStage
from pocketgan.training.discriminators import PatchDiscriminator
from pocketgan.training.losses import l1_loss
from pocketgan.training.programs import Batch, Optimiser
from pocketgan.training.programs.adversarial import Adversarial
from pocketgan.training.programs.method import DISCRIMINATOR, Setting, Task, TeacherMethod, optimiser_of


class Pix2Pix(Adversarial):
    """Trains `generator` against `discriminator` on batches with `input` and `target`.

    Args:
        discriminator: sees input and output concatenated.
        lambda_l1: weight of the L1 distance to the target (paper: 100).
        lambda_gan: weight of the discriminator's verdict (paper: 1); 0 leaves the discriminator out.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        gan_mode: GanMode = "hinge",
        lambda_l1: float = 100.0,
        optimiser: Optimiser | None = None,
        discriminator_learning_rate: float | None = None,
        lambda_gan: float = 1.0,
    ) -> None:
        super().__init__(
            generator,
            discriminator,
            gan_mode=gan_mode,
            optimiser=optimiser,
            discriminator_learning_rate=discriminator_learning_rate,
        )
        self.lambda_l1 = lambda_l1
        self.lambda_gan = lambda_gan

    def judge(self, batch: Batch, fake: Tensor) -> Tensor:
        real_scores = self.discriminator(torch.cat([batch["input"], batch["target"]], 1))
        fake_scores = self.discriminator(torch.cat([batch["input"], fake.detach()], 1))
        return self.adversarial.discriminator(real_scores, fake_scores)

    def generator_terms(self, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        distance = {"l1": self.lambda_l1 * l1_loss(fake, batch["target"])}
        if not self.lambda_gan:
            return distance
        scores = self.discriminator(torch.cat([batch["input"], fake], 1))
        return {"adversarial": self.lambda_gan * self.adversarial.generator(scores), **distance}


class _Method(TeacherMethod):
    def discriminator(self, setting: Setting, seed: int) -> nn.Module:
        """PatchGAN on input and output."""
        return PatchDiscriminator(setting.channels + 3, setting.stage.ndf, seed=seed)

    def teacher(self, setting: Setting, generator: nn.Module) -> Task:
        stage, judge = setting.stage, self.discriminator(setting, setting.seed)
        program = Pix2Pix(
            generator,
            judge,
            gan_mode=stage.gan_mode,
            lambda_l1=stage.lambda_l1,
            optimiser=optimiser_of(stage),
            discriminator_learning_rate=stage.discriminator_learning_rate,
            lambda_gan=stage.lambda_gan,
        )
        return Task(program, generator, {DISCRIMINATOR: judge} if stage.lambda_gan else {})

    def student(self, setting: Setting, stage: DistillStage, student: nn.Module, judge: nn.Module) -> Pix2Pix:
        return Pix2Pix(
            student,
            judge,
            gan_mode=stage.gan_mode,
            lambda_l1=stage.lambda_recon,
            optimiser=optimiser_of(stage),
            discriminator_learning_rate=stage.discriminator_learning_rate,
            lambda_gan=stage.lambda_gan,
        )


METHOD = _Method()
