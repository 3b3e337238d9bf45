"""How a recipe's programs are made: what a program's own file says beside the program itself.

Every file of a program ends with its `METHOD`; `recipe/programs.py` is the table that names the files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pocketgan.recipe.choices import DataKind
from pocketgan.recipe.sections import DistillStage, TeacherStage, Training
from pocketgan.training.programs import Optimiser, Program

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pocketgan.training.generators import GeneratorSpec
    from pocketgan.training.programs.adversarial import Adversarial

DISCRIMINATOR = "discriminator"
# A second generator, from the target's domain to the input's.
GENERATOR_BACK = "generator_back"


@dataclass(frozen=True)
class Setting:
    """What a teacher is trained for, and its student after it.

    Attributes:
        stage: the recipe's section `teacher`.
        channels: of the generator's input.
        size: (height, width) in pixels of what it is trained on.
        seed: of the recipe.
        data: the kind of the data.
        texts: (concepts, 77, 512), the features of the concepts' texts, where the data are of several.
        fresh_generator: makes another generator of the teacher's architecture from a seed.
        spec: gives that architecture; it is not asked of a generator of the user's own, which has none.
    """

    stage: TeacherStage
    channels: int
    size: tuple[int, int]
    seed: int
    data: DataKind
    fresh_generator: Callable[[int], nn.Module]
    spec: Callable[[], GeneratorSpec]
    texts: Tensor | None = None


@dataclass(frozen=True)
class Task:
    """A program, the generator that it trains, and what else of it is kept.

    Attributes:
        kept: networks that are written beside the generator when the training is over, by file name without suffix.
        shown: networks whose pictures stand beside the generator's in samples.
    """

    program: Program
    generator: nn.Module
    kept: Mapping[str, nn.Module]
    shown: Mapping[str, nn.Module] = field(default_factory=dict)


class TeacherMethod(ABC):
    """A value of `teacher.program`."""

    @abstractmethod
    def discriminator(self, setting: Setting, seed: int) -> nn.Module:
        """A fresh discriminator, which the student's starts from when it is trained."""

    @abstractmethod
    def teacher(self, setting: Setting, generator: nn.Module) -> Task:
        """The program around a fresh generator."""

    @abstractmethod
    def student(self, setting: Setting, stage: DistillStage, student: nn.Module, judge: nn.Module) -> Adversarial:
        """The student's program for the same task, without its distillation."""

    def check(self, stage: TeacherStage) -> None:  # noqa: B027 most need nothing
        """Raises PocketganError where something that the losses need is not there."""


class StudentMethod(ABC):
    """A value of `distill.program`."""

    @abstractmethod
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
        """The program that trains `student` against `teacher`.

        Args:
            setting, method: those of the teacher's training.
            teacher: None where its pictures are the data's targets.
            inherited: file of the teacher's discriminator, which is there where it was trained against one.
            teachers: by name, those that an evolution found beside the student; None where there was none.
        """

    def check(self, setting: Setting, method: TeacherMethod, stage: DistillStage) -> None:  # noqa: B027 most need nothing
        """Raises PocketganError where something that the losses need is not there, or the section cannot be met."""


def optimiser_of(stage: Training) -> Optimiser:
    """Adam as the recipe's section says; the networks are filled in by the program."""
    return Optimiser((), stage.learning_rate, stage.adam_betas, stage.decay)
