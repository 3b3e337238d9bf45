"""Distillation of a pruned student from its teacher by global kernel alignment (CAT, section 3.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from pocketgan.training.losses import GanMode
from pocketgan.training.programs import Batch, Optimiser, Phase
from pocketgan.training.programs.pix2pix import Pix2Pix
from pocketgan.training.similarity import GlobalKernelAlignment


class Distill(Pix2Pix):
    """pix2pix on the student, plus the alignment of its features with the frozen teacher's.

    Args:
        student, teacher: residual generators with as many feature taps; the teacher never changes.
        discriminator: starts from the teacher's (CAT).
        lambda_distill: weight of the sum of 1 - GKA over the taps.
        lambda_recon: weight of the L1 distance to the real target (100 for pix2pix students).
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        discriminator: nn.Module,
        gan_mode: GanMode = "hinge",
        lambda_distill: float = 0.5,
        lambda_recon: float = 100.0,
        optimiser: Optimiser | None = None,
        discriminator_learning_rate: float | None = None,
    ) -> None:
        super().__init__(student, discriminator, gan_mode, lambda_recon, optimiser, discriminator_learning_rate)
        self.teacher: Any = teacher.eval().requires_grad_(False)
        self.lambda_distill = lambda_distill
        self.similarity = GlobalKernelAlignment()

    def networks(self) -> dict[str, nn.Module]:
        return {**super().networks(), "teacher": self.teacher}

    def losses(self, batch: Batch) -> Iterator[Phase]:
        source, target = batch["input"], batch["target"]
        with torch.no_grad():
            _, wanted = self.teacher.forward_with_features(source)
        fake, features = self.generator.forward_with_features(source)
        yield "discriminator", {"discriminator": self.judge(source, target, fake)}
        pairs = zip(wanted, features, strict=True)
        distance = sum((1 - self.similarity(x, y) for x, y in pairs), start=fake.new_zeros(()))
        yield "generator", {**self.generator_terms(source, target, fake), "distill": self.lambda_distill * distance}
