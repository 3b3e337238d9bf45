"""A program that learns from inputs without targets, as small as one can be, and writes down what it gets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from pocketgan.recipe.sections import DistillStage
from pocketgan.training.generators import build, spec_by_name
from pocketgan.training.programs import Batch, Optimiser, Phase
from pocketgan.training.programs.adversarial import Adversarial
from pocketgan.training.programs.method import Setting, Task, TeacherMethod, optimiser_of

SPEC = spec_by_name("resnet6", ngf=2, norm="batch", height=32, width=32)


class SemiSupervised:
    """Squared distances to the targets of pairs; pictures of other inputs should be grey."""

    def __init__(self, generator: nn.Module, optimiser: Optimiser | None = None) -> None:
        self.generator = generator
        self.optimiser = optimiser or Optimiser(())
        self.seen: list[dict[str, Tensor]] = []

    def networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator}

    def memories(self) -> dict[str, nn.Module]:
        return {}

    def optimisers(self) -> dict[str, Optimiser]:
        return {"generator": replace(self.optimiser, networks=("generator",))}

    def losses(self, batch: Batch) -> Iterator[Phase]:
        self.seen.append({name: tensor.clone() for name, tensor in batch.items()})
        grey = self.generator(batch["unlabelled"]).abs().mean()
        yield "generator", {"squares": (self.generator(batch["input"]) - batch["target"]).square().mean(), "grey": grey}
        yield "generator", {"twice": self.generator(batch["unlabelled"]).square().mean()}

    def output(self, images: Tensor) -> Tensor:
        return self.generator(images)


class Method(TeacherMethod):
    """`last` is the program that a run made."""

    last: SemiSupervised | None = None

    def discriminator(self, setting: Setting, seed: int) -> nn.Module:
        raise NotImplementedError

    def teacher(self, setting: Setting, generator: nn.Module) -> Task:
        self.last = SemiSupervised(generator, optimiser_of(setting.stage))
        return Task(self.last, generator, {})

    def student(self, setting: Setting, stage: DistillStage, student: nn.Module, judge: nn.Module) -> Adversarial:
        raise NotImplementedError


def fresh(seed: int) -> SemiSupervised:
    return SemiSupervised(build(SPEC, seed))


class RandomSamples:
    """Noise of 32x32 pixels by these names."""

    def __init__(self, names: Sequence[str], count: int) -> None:
        self.names, self.count = names, count

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        return {name: torch.from_numpy(random.standard_normal((3, 32, 32))).float().clamp(-1, 1) for name in self.names}
