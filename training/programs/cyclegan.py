"""CycleGAN (Zhu et al. 2017): two generators that undo each other, learnt from unpaired images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pocketgan.recipe.choices import GanMode
from pocketgan.recipe.sections import DistillStage
from pocketgan.training.discriminators import PatchDiscriminator
from pocketgan.training.losses import AdversarialLoss, l1_loss
from pocketgan.training.programs import Batch, Optimiser, Phase
from pocketgan.training.programs.adversarial import Adversarial
from pocketgan.training.programs.method import (
    DISCRIMINATOR,
    GENERATOR_BACK,
    Setting,
    Task,
    TeacherMethod,
    optimiser_of,
)

POOL_SIZE = 50


class ImagePool(nn.Module):
    """The last generated images; shows the discriminator an old one half of the time (Shrivastava et al. 2017).

    Images and count are buffers, so that a checkpoint holds them; decisions come from torch's generator.

    Args:
        size: images kept; 0 for no pool.
        shape: (c, h, w) of an image.
    """

    images: Tensor
    count: Tensor

    def __init__(self, shape: tuple[int, int, int], size: int = POOL_SIZE) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def forward(self, fresh: Tensor) -> Tensor:
        """(n, c, h, w) generated images -> as many; each new one is kept until another takes its place."""
        answers = []
        for image in fresh.detach().float():
            count = int(self.count)
            if count < len(self.images):
                self.images[count] = image
                self.count += 1
            elif count and torch.rand(()) < 0.5:
                place = int(torch.randint(count, ()))
                old = self.images[place].clone()
                self.images[place] = image
                image = old
            answers.append(image)
        return torch.stack(answers)


class CycleGan:
    """Trains `generator` (input -> target) and `generator_back` on batches with unrelated `input` and `target`.

    Args:
        discriminator: judges targets; unconditional. `discriminator_back` judges inputs.
        shape: (channels, height, width) of the images.
        lambda_cycle: weight of the L1 distance of an image that went there and back (paper: 10).
        lambda_identity: weight, relative to lambda_cycle, of the L1 change of an image that is of the wanted domain
            already (paper: 0.5); 0 leaves it out.
        pool_size: images that each discriminator's pool keeps.
    """

    def __init__(
        self,
        generator: nn.Module,
        generator_back: nn.Module,
        discriminator: nn.Module,
        discriminator_back: nn.Module,
        *,
        shape: tuple[int, int, int],
        gan_mode: GanMode = "lsgan",
        lambda_cycle: float = 10.0,
        lambda_identity: float = 0.5,
        optimiser: Optimiser | None = None,
        discriminator_learning_rate: float | None = None,
        pool_size: int = POOL_SIZE,
    ) -> None:
        self.generator: Any = generator
        self.generator_back: Any = generator_back
        self.discriminator = discriminator
        self.discriminator_back = discriminator_back
        self.pool, self.pool_back = ImagePool(shape, pool_size), ImagePool(shape, pool_size)
        self.adversarial = AdversarialLoss(gan_mode)
        self.lambda_cycle = lambda_cycle
        self.lambda_identity = lambda_identity
        self.optimiser = optimiser or Optimiser(())
        self.discriminator_learning_rate = discriminator_learning_rate or self.optimiser.learning_rate

    def networks(self) -> dict[str, nn.Module]:
        return {
            "generator": self.generator,
            "generator_back": self.generator_back,
            "discriminator": self.discriminator,
            "discriminator_back": self.discriminator_back,
        }

    def memories(self) -> dict[str, nn.Module]:
        return {"pool": self.pool, "pool_back": self.pool_back}

    def optimisers(self) -> dict[str, Optimiser]:
        judges = ("discriminator", "discriminator_back")
        return {
            "generator": replace(self.optimiser, networks=("generator", "generator_back")),
            "discriminator": replace(self.optimiser, networks=judges, learning_rate=self.discriminator_learning_rate),
        }

    def losses(self, batch: Batch) -> Iterator[Phase]:
        source, target = batch["input"], batch["target"]
        fake, fake_back = self.generator(source), self.generator_back(target)
        terms = {
            "adversarial": self.adversarial.generator(self.discriminator(fake)),
            "adversarial_back": self.adversarial.generator(self.discriminator_back(fake_back)),
            "cycle": self.lambda_cycle * l1_loss(self.generator_back(fake), source),
            "cycle_back": self.lambda_cycle * l1_loss(self.generator(fake_back), target),
        }
        if self.lambda_identity:
            weight = self.lambda_cycle * self.lambda_identity
            terms["identity"] = weight * l1_loss(self.generator(target), target)
            terms["identity_back"] = weight * l1_loss(self.generator_back(source), source)
        yield "generator", terms
        pooled, pooled_back = self.pool(fake), self.pool_back(fake_back)
        yield (
            "discriminator",
            {
                "discriminator": self.adversarial.discriminator(self.discriminator(target), self.discriminator(pooled)),
                "discriminator_back": self.adversarial.discriminator(
                    self.discriminator_back(source), self.discriminator_back(pooled_back)
                ),
            },
        )

    def output(self, images: Tensor) -> Tensor:
        return self.generator(images)


class Unaligned(Adversarial):
    """The student of a CycleGAN: no pairs, so that the teacher's pictures are its targets.

    Batches hold `input`, an unrelated real `target` for the discriminator, and the `teacher`'s picture of the input.

    Args:
        discriminator: unconditional, inherited from the teacher.
        lambda_recon: weight of the L1 distance to the teacher's picture (CAT: 5).
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        gan_mode: GanMode = "lsgan",
        lambda_recon: float = 5.0,
        optimiser: Optimiser | None = None,
        discriminator_learning_rate: float | None = None,
    ) -> None:
        super().__init__(
            generator,
            discriminator,
            gan_mode=gan_mode,
            optimiser=optimiser,
            discriminator_learning_rate=discriminator_learning_rate,
        )
        self.lambda_recon = lambda_recon

    def judge(self, batch: Batch, fake: Tensor) -> Tensor:
        return self.adversarial.discriminator(self.discriminator(batch["target"]), self.discriminator(fake.detach()))

    def generator_terms(self, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        return {
            "adversarial": self.adversarial.generator(self.discriminator(fake)),
            "recon": self.lambda_recon * l1_loss(fake, batch["teacher"]),
        }


class _Method(TeacherMethod):
    def discriminator(self, setting: Setting, seed: int) -> nn.Module:
        """PatchGAN on the output alone."""
        return PatchDiscriminator(3, setting.stage.ndf, norm="instance", seed=seed)

    def teacher(self, setting: Setting, generator: nn.Module) -> Task:
        stage, seed = setting.stage, setting.seed
        back = setting.fresh_generator(seed + 1)
        judge, judge_back = self.discriminator(setting, seed), self.discriminator(setting, seed + 1)
        program = CycleGan(
            generator,
            back,
            judge,
            judge_back,
            shape=(3, *setting.size),
            gan_mode=stage.gan_mode,
            lambda_cycle=stage.lambda_cycle,
            lambda_identity=stage.lambda_identity,
            optimiser=optimiser_of(stage),
            discriminator_learning_rate=stage.discriminator_learning_rate,
            pool_size=stage.pool_size,
        )
        return Task(program, generator, {DISCRIMINATOR: judge, GENERATOR_BACK: back})

    def student(self, setting: Setting, stage: DistillStage, student: nn.Module, judge: nn.Module) -> Unaligned:
        return Unaligned(
            student,
            judge,
            gan_mode=stage.gan_mode,
            lambda_recon=stage.lambda_recon,
            optimiser=optimiser_of(stage),
            discriminator_learning_rate=stage.discriminator_learning_rate,
        )


METHOD = _Method()
