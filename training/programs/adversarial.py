"""What programs of one generator and one discriminator share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from pocketgan.recipe.choices import GanMode
from pocketgan.training.losses import AdversarialLoss
from pocketgan.training.programs import Batch, Optimiser, Phase


class Adversarial(ABC):
    """One step: the generator draws, the discriminator learns from it, the generator learns from the discriminator.

    Args:
        generator: (n, c, h, w) `input` -> (n, 3, h, w).
        optimiser: the generator's; its networks are filled in.
        discriminator_learning_rate: the generator's where None.
    """

    # Weight of the discriminator's verdict; at 0 the discriminator is neither trained nor asked.
    lambda_gan = 1.0

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        gan_mode: GanMode = "hinge",
        optimiser: Optimiser | None = None,
        discriminator_learning_rate: float | None = None,
    ) -> None:
        self.generator: Any = generator
        self.discriminator = discriminator
        self.adversarial = AdversarialLoss(gan_mode)
        self.optimiser = optimiser or Optimiser(())
        self.discriminator_learning_rate = discriminator_learning_rate or self.optimiser.learning_rate

    def networks(self) -> dict[str, nn.Module]:
        judges = {"discriminator": self.discriminator} if self.lambda_gan else {}
        return {"generator": self.generator, **judges}

    def memories(self) -> dict[str, nn.Module]:
        return {}

    def optimisers(self) -> dict[str, Optimiser]:
        generators = {"generator": replace(self.optimiser, networks=("generator",))}
        if not self.lambda_gan:
            return generators
        judge = replace(self.optimiser, networks=("discriminator",), learning_rate=self.discriminator_learning_rate)
        return {"discriminator": judge, **generators}

    def losses(self, batch: Batch) -> Iterator[Phase]:
        fake = self.generator(batch["input"])
        yield from self.judgement(batch, fake)
        yield "generator", self.generator_terms(batch, fake)

    def judgement(self, batch: Batch, fake: Tensor) -> Iterator[Phase]:
        """The discriminator's phase, if there is one."""
        if self.lambda_gan:
            yield "discriminator", {"discriminator": self.judge(batch, fake)}

    @abstractmethod
    def judge(self, batch: Batch, fake: Tensor) -> Tensor:
        """The discriminator's loss; nothing flows back into `fake`."""

    @abstractmethod
    def generator_terms(self, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        """The weighted terms that the generator minimises."""

    def output(self, images: Tensor) -> Tensor:
        return self.generator(images)
