"""Distillation of a pruned student from its teacher (CAT, section 3.3), for all three tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pocketgan.training.losses import GanMode
from pocketgan.training.programs import Batch, Optimiser, Phase
from pocketgan.training.programs.adversarial import Adversarial
from pocketgan.training.similarity import FeatureDistance


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
        gan_mode: GanMode = "lsgan",
        lambda_recon: float = 5.0,
        optimiser: Optimiser | None = None,
        discriminator_learning_rate: float | None = None,
    ) -> None:
        super().__init__(generator, discriminator, gan_mode, optimiser, discriminator_learning_rate)
        self.lambda_recon = lambda_recon

    def judge(self, batch: Batch, fake: Tensor) -> Tensor:
        return self.adversarial.discriminator(self.discriminator(batch["target"]), self.discriminator(fake.detach()))

    def generator_terms(self, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        return {
            "adversarial": self.adversarial.generator(self.discriminator(fake)),
            "recon": self.lambda_recon * (fake - batch["teacher"]).abs().mean(),
        }


class Distill:
    """The program of the student's task, plus the distance of its features from the frozen teacher's.

    Args:
        task: trains the student: Pix2Pix (aligned), Unaligned or GauGan; its discriminator starts from the teacher's.
        teacher: a network with as many feature taps as the student; it never changes.
        distance: of the features; its parameters, if it has any, are trained with the student.
        lambda_distill: its weight.
    """

    def __init__(
        self, task: Adversarial, teacher: nn.Module, distance: FeatureDistance, lambda_distill: float = 0.5
    ) -> None:
        self.task = task
        self.teacher: Any = teacher.eval().requires_grad_(False)
        self.distance = distance
        self.lambda_distill = lambda_distill

    def networks(self) -> dict[str, nn.Module]:
        return {**self.task.networks(), "teacher": self.teacher, "distance": self.distance}

    def memories(self) -> dict[str, nn.Module]:
        return self.task.memories()

    def optimisers(self) -> dict[str, Optimiser]:
        found = self.task.optimisers()
        own = found["generator"]
        found["generator"] = replace(own, networks=("generator", "distance"))
        return found

    def losses(self, batch: Batch) -> Iterator[Phase]:
        with torch.no_grad():
            picture, wanted = self.teacher.forward_with_features(batch["input"])
        fake, features = self.task.generator.forward_with_features(batch["input"])
        batch = {**batch, "teacher": picture}
        yield "discriminator", {"discriminator": self.task.judge(batch, fake)}
        distance = self.lambda_distill * self.distance(wanted, features)
        yield "generator", {**self.task.generator_terms(batch, fake), "distill": distance}

    def output(self, images: Tensor) -> Tensor:
        return self.task.output(images)


@torch.no_grad()
def feature_channels(network: Any, channels: int, height: int, width: int) -> list[int]:
    """Channels of the features that a generator gives up for distillation, at an input of that size."""
    device = next(network.parameters()).device
    was_training = network.training
    _, features = network.eval().forward_with_features(torch.zeros(1, channels, height, width, device=device))
    network.train(was_training)
    return [feature.shape[1] for feature in features]
