"""Distillation of a student from its teacher (CAT, section 3.3), whatever the teacher's program.

A teacher whose features do not lie where the student's do, or that has none, teaches by its pictures alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pocketgan import console
from pocketgan.recipe.sections import DistillStage
from pocketgan.training.programs import Batch, Optimiser, Phase
from pocketgan.training.programs.adversarial import Adversarial
from pocketgan.training.programs.method import DISCRIMINATOR, Setting, StudentMethod, Task, TeacherMethod
from pocketgan.training.similarity import FeatureDistance


class Distill:
    """The program of the student's task, plus the distance of its features from the frozen teacher's.

    Args:
        task: trains the student: Pix2Pix (aligned), Unaligned or GauGan; its discriminator starts from the teacher's.
        teacher: a network with as many feature taps as the student where there is a distance; it never changes.
        distance: of the features; its parameters, if it has any, are trained with the student. None: there are none.
        lambda_distill: its weight.
        teacher_target: whether the teacher's picture is the target, in place of the batch's own.
    """

    def __init__(
        self,
        task: Adversarial,
        teacher: nn.Module,
        distance: FeatureDistance | None,
        lambda_distill: float = 0.5,
        teacher_target: bool = False,
    ) -> None:
        self.task = task
        self.teacher: Any = teacher.eval().requires_grad_(False)
        self.distance = distance
        self.lambda_distill = lambda_distill
        self.teacher_target = teacher_target

    def networks(self) -> dict[str, nn.Module]:
        distance = {} if self.distance is None else {"distance": self.distance}
        return {**self.task.networks(), "teacher": self.teacher, **distance}

    def memories(self) -> dict[str, nn.Module]:
        return self.task.memories()

    def optimisers(self) -> dict[str, Optimiser]:
        optimisers = self.task.optimisers()
        if self.distance is not None:
            own = optimisers["generator"]
            optimisers["generator"] = replace(own, networks=("generator", "distance"))
        return optimisers

    def losses(self, batch: Batch) -> Iterator[Phase]:
        images, features = batch["input"], self.distance is not None
        with torch.no_grad():
            picture, of_teacher = self.teacher.forward_with_features(images) if features else (self.teacher(images), [])
        fake, of_student = (
            self.task.generator.forward_with_features(images) if features else (self.task.generator(images), [])
        )
        batch = {**batch, "teacher": picture, **({"target": picture} if self.teacher_target else {})}
        yield from self.task.judgement(batch, fake)
        terms = self.task.generator_terms(batch, fake)
        if self.distance is not None:
            terms = {**terms, "distill": self.lambda_distill * self.distance(of_teacher, of_student)}
        yield "generator", terms

    def output(self, images: Tensor) -> Tensor:
        return self.task.output(images)


@torch.no_grad()
def feature_shapes(network: Any, channels: int, height: int, width: int) -> list[tuple[int, int, int]]:
    """(channels, height, width) of the features that a generator gives up for distillation, at an input of that size;
    none of a network that has no `forward_with_features`."""
    if not hasattr(network, "forward_with_features"):
        return []
    device = next(network.parameters()).device
    was_training = network.training
    _, features = network.eval().forward_with_features(torch.zeros(1, channels, height, width, device=device))
    network.train(was_training)
    return [tuple(feature.shape[1:]) for feature in features]


class _Method(StudentMethod):
    def task(
        self,
        setting: Setting,
        method: TeacherMethod,
        stage: DistillStage,
        student: nn.Module,
        teacher: nn.Module | None,
        inherited: Path,
        teachers: Mapping[str, nn.Module] | None = None,
    ) -> Task:
        judge = method.discriminator(setting, setting.seed)
        if setting.stage.lambda_gan and inherited.is_file():
            judge.load_state_dict(load_file(inherited))
        task = method.student(setting, stage, student, judge)
        kept = {DISCRIMINATOR: judge} if stage.lambda_gan else {}
        if teacher is None:
            return Task(task, student, kept)
        ours, theirs = (feature_shapes(one, setting.channels, *setting.size) for one in (student, teacher))
        alike = bool(ours) and [shape[1:] for shape in ours] == [shape[1:] for shape in theirs]
        distance = None
        if alike:
            channels = [[shape[0] for shape in shapes] for shapes in (ours, theirs)]
            distance = FeatureDistance(stage.similarity, student=channels[0], teacher=channels[1], seed=setting.seed)
        else:
            why = "lie elsewhere than the student's" if theirs else "are not known"
            console.note(f"distill: the teacher's features {why}; it teaches by its pictures alone")
        program = Distill(task, teacher, distance, stage.lambda_distill, _teacher_target(setting, stage, alike))
        return Task(program, student, kept, {"teacher": teacher})


def _teacher_target(setting: Setting, stage: DistillStage, features: bool) -> bool:
    """Whether the teacher's picture is what the student's is held against."""
    if stage.target is not None:
        return stage.target == "teacher"
    # Unpaired targets are the discriminator's alone, and photos have none; of pairs the data's are kept where the
    # features are what the teacher gives.
    return setting.data == "photos" or (setting.data != "unpaired" and not features)


METHOD = _Method()
