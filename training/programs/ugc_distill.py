"""UGC's stage 2: a student learns online from two teachers, on images with a target and without one.

Every `every` steps a wider and a deeper teacher learn from pairs by their family's own losses, against a discriminator
that they share in part. In every step the student, without a discriminator, learns from both teachers' pictures by the
distillation loss L_OD: of labelled images always; of others from those pictures that pass the filter of their scores.
The teachers are those that an evolution found, or the recipe's own teacher alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pocketgan.errors import ModelError
from pocketgan.recipe.choices import FILTER_MOMENTUM, FILTER_PROBABILITY, TEACHERS_EVERY
from pocketgan.recipe.sections import DistillStage
from pocketgan.training.discriminators import MultiHeadDiscriminator
from pocketgan.training.online_distillation import OnlineDistillation, TeacherFeatures
from pocketgan.training.programs import Batch, Optimiser, Part, Phase
from pocketgan.training.programs.adversarial import Adversarial
from pocketgan.training.programs.method import Setting, StudentMethod, Task, TeacherMethod, optimiser_of
from pocketgan.training.programs.ugc_supernet import distillation_loss
from pocketgan.training.score_filter import ScoreFilter, image_scores


class Head(nn.Module):
    """One head of a discriminator that several generators share: a discriminator as their programs know it."""

    def __init__(self, shared: MultiHeadDiscriminator, number: int) -> None:
        super().__init__()
        # In a list, so that the shared one is no part of each head's parameters.
        self._shared, self._number = [shared], number

    def forward(self, x: Tensor) -> Tensor | list[list[Tensor]]:
        return self._shared[0](x, self._number)


class Clock(nn.Module):
    """Counts the steps that were taken; a checkpoint holds it."""

    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))


class UgcDistill:
    """Trains a student and its teachers on batches with `input`, `target` and, of other images, `unlabelled`.

    Args:
        student: the network that ships.
        teachers: by name, a program that trains each on pairs; its discriminator is a head of `discriminator`.
        discriminator: shared in part, with a head a teacher, in the order of `teachers`.
        distance: L_OD.
        optimiser: of the student and of the teachers; its networks are filled in.
        discriminator_learning_rate: the optimiser's where None.
        every: steps between two updates of the teachers and of the discriminator, which happen in the last of them.
        momentum, probability: of the filter (`ScoreFilter`).
    """

    def __init__(
        self,
        student: nn.Module,
        teachers: Mapping[str, Adversarial],
        discriminator: MultiHeadDiscriminator,
        distance: OnlineDistillation,
        *,
        optimiser: Optimiser | None = None,
        discriminator_learning_rate: float | None = None,
        every: int = TEACHERS_EVERY,
        momentum: float = FILTER_MOMENTUM,
        probability: float = FILTER_PROBABILITY,
    ) -> None:
        self.student = student
        self.teachers = dict(teachers)
        self.discriminator = discriminator
        self.distance = distance
        self.optimiser = optimiser or Optimiser(())
        self.discriminator_learning_rate = discriminator_learning_rate or self.optimiser.learning_rate
        self.every = every
        self.clock = Clock()
        self.filters = {name: ScoreFilter(momentum, probability) for name in self.teachers}

    def networks(self) -> dict[str, nn.Module]:
        """The student is called generator: the one that is averaged and shipped."""
        teachers = {name: task.generator for name, task in self.teachers.items()}
        others = {
            f"{name}_{kind}": network
            for name, task in self.teachers.items()
            for kind, network in task.networks().items()
            if kind not in ("generator", "discriminator")
        }
        vgg = {} if self.distance.vgg is None else {"vgg16": self.distance.vgg}
        return {"generator": self.student, **teachers, "discriminator": self.discriminator, **others, **vgg}

    def memories(self) -> dict[str, nn.Module]:
        return {"clock": self.clock, **{f"filter_{name}": one for name, one in self.filters.items()}}

    def optimisers(self) -> dict[str, Optimiser]:
        rate = self.discriminator_learning_rate
        return {
            "discriminator": replace(self.optimiser, networks=("discriminator",), learning_rate=rate),
            "teachers": replace(self.optimiser, networks=tuple(self.teachers)),
            "generator": replace(self.optimiser, networks=("generator",)),
        }

    def losses(self, batch: Batch) -> Iterator[Phase]:
        self.clock.steps += 1
        if not self.clock.steps % self.every:
            yield from self._teach_teachers(batch)
        yield "generator", self._student_terms(batch)

    def output(self, images: Tensor) -> Tensor:
        return self.student(images)

    def _teach_teachers(self, batch: Batch) -> Iterator[Phase]:
        """The discriminator learns from the pictures of all teachers, then every teacher from its head."""
        fakes = {name: task.generator(batch["input"]) for name, task in self.teachers.items()}
        yield (
            "discriminator",
            {f"{name}_discriminator": task.judge(batch, fakes[name]) for name, task in self.teachers.items()},
        )
        last = next(reversed(self.teachers))
        for name, task in self.teachers.items():
            terms = {f"{name}_{term}": value for term, value in task.generator_terms(batch, fakes.pop(name)).items()}
            yield ("teachers", terms) if name == last else Part("teachers", terms)

    def _student_terms(self, batch: Batch) -> dict[str, Tensor]:
        """L_OD over the teachers, in the mean over all images of the batch; total variation is a sum, as in L_OD.

        Images that learn from the same teachers go through the loss together, so that VGG sees each picture of the
        student once.
        """
        labelled = batch["input"]
        images = torch.cat([labelled, batch["unlabelled"]]) if "unlabelled" in batch else labelled
        pictures, used = [], []
        for number, (name, task) in enumerate(self.teachers.items()):
            with torch.no_grad():
                picture = task.generator(images)
                pictures.append(self.distance.teacher(picture))
                used.append(self._used(name, number, images, picture, len(labelled)))
        fake = self.student(images)
        totals: dict[str, Tensor] = {}
        for teachers, numbers in _groups(torch.stack(used)):
            rows = torch.tensor(numbers, device=fake.device)
            found = self.distance(fake[rows], *(_rows(pictures[number], rows) for number in teachers))
            for term, value in found.items():
                share = 1.0 if term == "tv" else len(rows) / len(images)
                totals[term] = totals[term] + share * value if term in totals else share * value
        return totals or {"nothing": 0.0 * fake.sum()}

    def _used(self, name: str, number: int, images: Tensor, picture: Tensor, labelled: int) -> Tensor:
        """(n,) whether the student learns from each picture of a teacher; the filter sees those without a target."""
        used = torch.ones(len(images), dtype=torch.bool, device=images.device)
        if len(images) > labelled:
            outputs = self.discriminator(torch.cat([images[labelled:], picture[labelled:]], 1), number)
            scores = outputs if isinstance(outputs, Tensor) else [scale[-1] for scale in outputs]
            used[labelled:] = self.filters[name](image_scores(scores))
        return used


def _groups(used: Tensor) -> Iterator[tuple[list[int], list[int]]]:
    """Which teachers, and the numbers of the images that learn from just these; none that learn from no teacher.

    Args:
        used: (teachers, images).
    """
    patterns = [tuple(column) for column in used.T.tolist()]
    for pattern in sorted({*patterns}):
        if any(pattern):
            teachers = [number for number, learns in enumerate(pattern) if learns]
            yield teachers, [number for number, found in enumerate(patterns) if found == pattern]


def _rows(features: TeacherFeatures, rows: Tensor) -> TeacherFeatures:
    """Those of some images."""
    return TeacherFeatures(
        features.image[rows],
        features.blurred[rows],
        features.blurred_square[rows],
        tuple(gram[rows] for gram in features.grams),
        features.content[rows] if len(features.content) else features.content,
    )


class _Method(StudentMethod):
    """Student and teachers begin as they are given, the heads as the discriminator of the teacher's training ended."""

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
        networks = teachers or ({} if teacher is None else {"teacher": teacher})
        if not networks:
            raise ModelError("distill.program ugc trains its teacher on, which must be a network: there is none")
        single = method.discriminator(setting, setting.seed)
        if setting.stage.lambda_gan and inherited.is_file():
            single.load_state_dict(load_file(inherited))
        shared = _shared(single, stage.shared, len(networks))
        tasks = {
            name: method.student(setting, stage, network, Head(shared, number))
            for number, (name, network) in enumerate(networks.items())
        }
        program = UgcDistill(
            student,
            tasks,
            shared,
            distillation_loss(stage, stage.vgg16_weights or setting.stage.vgg16_weights),
            optimiser=optimiser_of(stage),
            discriminator_learning_rate=stage.discriminator_learning_rate,
            every=stage.teachers_every,
            momentum=stage.filter_momentum,
            probability=stage.filter_probability,
        )
        return Task(program, student, {}, {"teacher": next(iter(networks.values()))})

    def check(self, setting: Setting, method: TeacherMethod, stage: DistillStage) -> None:
        distillation_loss(stage, stage.vgg16_weights or setting.stage.vgg16_weights)
        _shared(method.discriminator(setting, setting.seed), stage.shared, heads=1)


def _shared(single: nn.Module, layers: int | None, heads: int) -> MultiHeadDiscriminator:
    try:
        return MultiHeadDiscriminator(single, heads, layers)
    except ValueError as error:
        raise ModelError(f"distill.shared: {error}") from error


METHOD = _Method()
