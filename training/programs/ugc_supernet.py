"""UGC's stage 1: a supernet learns by the sandwich rule, its largest network from pairs, the others from the largest.

Every step trains the largest network on pairs by its family's own losses, and a random and the smallest sub-network on
inputs that need no target, by the distillation loss to the largest one's pictures. The gradients of all three add up to
one step of the shared weights; one after the other they are computed and freed, so that memory is that of the largest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module

import numpy as np
import torch
from torch import Tensor, nn

from pocketgan.recipe.programs import TEACHER_PROGRAMS
from pocketgan.recipe.sections import DistillStage, TeacherStage, Training
from pocketgan.training.online_distillation import OnlineDistillation, TeacherFeatures
from pocketgan.training.programs import Batch, Optimiser, Part, Phase
from pocketgan.training.programs.adversarial import Adversarial
from pocketgan.training.programs.method import Setting, Task, TeacherMethod
from pocketgan.training.supernet import Supernet
from pocketgan.training.supernet_space import Configuration, space_around
from pocketgan.training.vgg import load_vgg16


class UgcSupernet:
    """Trains all networks of a supernet on batches with `input`, `target` and, of other images, `unlabelled`.

    Args:
        task: trains the largest network on pairs: Pix2Pix, Pix2PixHd or GauGan; its generator is the supernet's.
        supernet: the largest network and its sub-networks.
        distance: of a sub-network's pictures from the largest one's.
    """

    def __init__(self, task: Adversarial, supernet: Supernet, distance: OnlineDistillation) -> None:
        self.task = task
        self.supernet = supernet
        self.distance = distance

    def networks(self) -> dict[str, nn.Module]:
        vgg = {} if self.distance.vgg is None else {"vgg16": self.distance.vgg}
        return {**self.task.networks(), **vgg}

    def memories(self) -> dict[str, nn.Module]:
        return self.task.memories()

    def optimisers(self) -> dict[str, Optimiser]:
        return self.task.optimisers()

    def losses(self, batch: Batch) -> Iterator[Phase]:
        for name, terms in self.task.losses(batch):
            yield Part(name, terms) if name == "generator" else (name, terms)
        images = self._images(batch)
        with torch.no_grad():
            largest = self.distance.teacher(self.supernet.network(images))
        space = self.supernet.space
        random = space.random(np.random.default_rng(int(torch.randint(2**63 - 1, ()))))
        yield Part("generator", self._distances("random", random, images, largest))
        yield "generator", self._distances("smallest", space.smallest, images, largest)

    def output(self, images: Tensor) -> Tensor:
        return self.supernet.network(images)

    def _distances(self, name: str, one: Configuration, images: Tensor, largest: TeacherFeatures) -> dict[str, Tensor]:
        terms = self.distance(self.supernet.draw(one, images), largest)
        return {f"{name}_{term}": value for term, value in terms.items()}

    def _images(self, batch: Batch) -> Tensor:
        """As many inputs as there are without a target, drawn from all of the batch: labelled ones are images, too."""
        if "unlabelled" not in batch:
            return batch["input"]
        everything = torch.cat([batch["input"], batch["unlabelled"]])
        drawn = torch.randperm(len(everything))[: len(batch["unlabelled"])]
        return everything.index_select(0, drawn.to(everything.device))


def distillation_loss(stage: Training, vgg16_weights: str | None) -> OnlineDistillation:
    """L_OD with the weights of a recipe's section.

    Raises:
        ModelError: VGG16 is needed and cannot be had.
    """
    needs_vgg = stage.lambda_style or stage.lambda_content
    return OnlineDistillation(
        load_vgg16(vgg16_weights) if needs_vgg else None,
        ssim=stage.lambda_ssim,
        style=stage.lambda_style,
        content=stage.lambda_content,
        tv=stage.lambda_tv,
    )


class _Method(TeacherMethod):
    """The largest network's program is what `teacher.supervised` names; it has its discriminator and its student."""

    def discriminator(self, setting: Setting, seed: int) -> nn.Module:
        return _supervised(setting.stage).discriminator(setting, seed)

    def teacher(self, setting: Setting, generator: nn.Module) -> Task:
        stage = setting.stage
        task = _supervised(stage).teacher(setting, generator)
        assert isinstance(task.program, Adversarial)
        space = space_around(setting.spec(), stage.supernet_widths, stage.supernet_depths, stage.supernet_expansion)
        distance = distillation_loss(stage, stage.vgg16_weights)
        return replace(task, program=UgcSupernet(task.program, Supernet(space, generator), distance))

    def student(self, setting: Setting, stage: DistillStage, student: nn.Module, judge: nn.Module) -> Adversarial:
        return _supervised(setting.stage).student(setting, stage, student, judge)

    def check(self, stage: TeacherStage) -> None:
        _supervised(stage).check(stage)
        if not stage.is_given:
            distillation_loss(stage, stage.vgg16_weights)


def _supervised(stage: TeacherStage) -> TeacherMethod:
    return import_module(TEACHER_PROGRAMS[stage.supervised].module).METHOD


METHOD = _Method()
