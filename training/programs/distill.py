"""Distillation of a pruned student from its teacher (CAT, section 3.3), whatever the teacher's program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pocketgan.recipe.sections import DistillStage
from pocketgan.training.programs import Batch, Optimiser, Phase
from pocketgan.training.programs.adversarial import Adversarial
from pocketgan.training.programs.method import DISCRIMINATOR, Setting, StudentMethod, Task, TeacherMethod
from pocketgan.training.similarity import FeatureDistance


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
        optimisers = self.task.optimisers()
        own = optimisers["generator"]
        optimisers["generator"] = replace(own, networks=("generator", "distance"))
        return optimisers

    def losses(self, batch: Batch) -> Iterator[Phase]:
        with torch.no_grad():
            picture, teacher_features = self.teacher.forward_with_features(batch["input"])
        fake, student_features = self.task.generator.forward_with_features(batch["input"])
        batch = {**batch, "teacher": picture}
        yield from self.task.judgement(batch, fake)
        distance = self.lambda_distill * self.distance(teacher_features, student_features)
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


class _Method(StudentMethod):
    def task(
        self,
        setting: Setting,
        method: TeacherMethod,
        stage: DistillStage,
        student: nn.Module,
        teacher: nn.Module,
        inherited: Path,
    ) -> Task:
        judge = method.discriminator(setting, setting.seed)
        if setting.stage.lambda_gan:
            judge.load_state_dict(load_file(inherited))
        distance = FeatureDistance(stage.similarity)
        if stage.similarity == "mse":
            ours, theirs = (feature_channels(one, setting.channels, *setting.size) for one in (student, teacher))
            distance = FeatureDistance("mse", student=ours, teacher=theirs, seed=setting.seed)
        program = Distill(method.student(setting, stage, student, judge), teacher, distance, stage.lambda_distill)
        return Task(program, student, {DISCRIMINATOR: judge} if stage.lambda_gan else {}, {"teacher": teacher})


METHOD = _Method()
