"""The sections of a recipe: what each stage is told, with its limits and defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from pocketgan.recipe.choices import (
    BudgetBy,
    CompressMethod,
    Fitness,
    Mode,
    Scale,
    Widths,
)
from pocketgan.recipe.data_section import DataStage as DataStage
from pocketgan.recipe.section import Section, Share, Steps
from pocketgan.recipe.training_sections import AdaptStage as AdaptStage
from pocketgan.recipe.training_sections import DistillStage as DistillStage
from pocketgan.recipe.training_sections import TeacherStage as TeacherStage
from pocketgan.recipe.training_sections import Training as Training
from pocketgan.recipe.units import Budget, budget_mismatch
from pocketgan.targets import IO, IOS, PRECISIONS, TARGETS, TIMED

if TYPE_CHECKING:
    TargetName = str
    TimedTarget = str
    Precision = str
    Contract = str
    Ios = int
else:  # messages and the JSON Schema name what the table holds
    TargetName = Literal[tuple(TARGETS)]
    TimedTarget = Literal[TIMED]
    Precision = Literal[PRECISIONS]
    Contract = Literal[IO]
    Ios = Literal[IOS]


class CompressStage(Section):
    """The search for the student: pruned from the teacher, in another family, or evolved in a supernet."""

    method: CompressMethod = Field(
        "prune", description="one-step search (CAT), or evolution in the supernet of teacher.program ugc (UGC)"
    )
    student: str | None = Field(
        None,
        description="a generator name, such as incres9: the student is a member of that family with even widths, for "
        "teachers that cannot be pruned; pruned from the teacher where absent",
    )
    budget: Budget = Field(description="largest cost of the student, such as 2.6G, or 12ms by latency")
    by: BudgetBy = Field("macs_by_output", description="what the budget counts")
    least_width: Annotated[int, Field(ge=1)] = Field(
        16, description="prune: channels that every layer outside the blocks keeps"
    )
    target: TimedTarget | None = Field(
        None,
        description="suit the student to this exported form on this device; by latency needs one. evolve: no "
        "slower there, as predicted, than the fastest network that spends the budget",
    )
    threads: Annotated[int, Field(ge=1)] = Field(1, description="threads of the target's runtime")
    inherit: bool = Field(
        False,
        description="prune: begin with the teacher's surviving weights, not with fresh ones as CAT; evolve always does",
    )
    widths: Widths | None = Field(
        None, description="prune: multiples of the student's widths; auto: what pays on the target, its default"
    )
    evaluations: Annotated[int, Field(ge=0)] = Field(
        500,
        description="evolve: candidates that are judged at most, three fifths of them for the student and the rest for "
        "its two teachers; 0: no search, even networks",
    )
    population: Annotated[int, Field(ge=2)] = Field(50, description="evolve: candidates of a generation")
    mutation: Share = Field(0.2, description="evolve: probability of each width and depth to be drawn anew")
    crossover: Share = Field(0.5, description="evolve: share of children with two parents; the others are mutated")
    elites: Share = Field(
        0.25, description="evolve: share of a generation that stays and has the children; 1 at least, all but 1 at most"
    )
    patience: Steps = Field(5, description="evolve: generations without a better candidate that end a search")
    fitness: Fitness | None = Field(
        None, description="evolve: what candidates are judged by; miou where a judge is named, lpips where not"
    )
    images: Steps = Field(64, description="evolve: of the training images kept for choosing, how many judge at most")
    finalists: Annotated[int, Field(ge=0)] | None = Field(
        None, description="evolve: the best candidates, among which FID chooses; 10 by lpips, none otherwise"
    )
    calibration: Steps = Field(64, description="evolve: training inputs over which batch norms gather statistics anew")
    teacher_times: Annotated[float, Field(gt=1)] = Field(
        20.0, description="evolve: the two teachers' MACs as a multiple of the student's, about"
    )
    lpips_weights: str | None = Field(
        None, description="evolve by lpips: file of torchvision's AlexNet weights; downloaded where absent"
    )
    inception: str | None = Field(
        None, description="evolve with finalists: TorchScript file of Inception; an installed package's where absent"
    )
    judge: str | None = Field(None, description="evolve by miou: ONNX or TorchScript file of a segmentation network")
    judge_scale: Scale = Field("imagenet", description="evolve by miou: how pixels are scaled for the judge")

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        expected = budget_mismatch(self.by, self.budget)
        if expected is not None:
            raise ValueError(f"budget is {expected} where by is {self.by}")
        if self.target is None and (self.by == "latency" or self.widths == "auto"):
            raise ValueError("target is missing: latency and automatic widths need one, such as onnx")
        if self.student is not None and self.inherit:
            raise ValueError("inherit is of students that are pruned from their teacher; one of a family starts fresh")
        return self

    @model_validator(mode="after")
    def _fields_are_of_the_method(self) -> Self:
        of_one = {"prune": ("student", "least_width", "inherit", "widths"), "evolve": _OF_EVOLUTION}
        other = "evolve" if self.method == "prune" else "prune"
        for name in of_one[other]:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is of method: {other}; remove it, or say method: {other}")
        if self.judge is None and self.fitness == "miou":
            raise ValueError("fitness miou needs judge, the ONNX or TorchScript file of a segmentation network")
        if self.judge is not None and self.fitness not in (None, "miou"):
            raise ValueError(f"judge is of fitness: miou, not of {self.fitness}; remove one of them")
        return self

    @property
    def judged_by(self) -> Fitness:
        """What candidates are judged by."""
        return self.fitness or ("lpips" if self.judge is None else "miou")

    @property
    def last_ones(self) -> int:
        """Among how many candidates FID chooses; 0 where there is no search."""
        asked = self.finalists if self.finalists is not None else 10 if self.judged_by == "lpips" else 0
        return min(asked, self.evaluations)


_OF_EVOLUTION = (
    "evaluations", "population", "mutation", "crossover", "elites", "patience", "fitness", "images", "finalists",
    "calibration", "teacher_times", "lpips_weights", "inception", "judge", "judge_scale",
)  # fmt: skip


class ExportStage(Section):
    """Runtime files of the student, the teacher and, beside a teacher that is trained here, the unpruned ResNet-9."""

    targets: list[TargetName] = Field(default=["onnx", "executorch-xnnpack", "coreml"], min_length=1)
    precisions: list[Precision] | None = Field(
        None, min_length=1, description="each where the target has it; each target's own default where absent"
    )
    io: list[Contract] = Field(
        default=["tensor"], min_length=1, description="tensors in [-1, 1], or pixels (uint8 RGB), in and out"
    )
    ios: Ios | None = Field(None, description="oldest iOS; as each precision needs where absent")
    workers: Annotated[int, Field(ge=1, le=64)] | None = Field(
        None, description="processes; as memory and cores allow where absent"
    )


class BundleStage(Section):
    """One `.pgb` file a model."""

    sign_with: str | None = Field(None, description="PEM file of an Ed25519 private key")


class BenchStage(Section):
    """Measuring of all bundles, interleaved."""

    device: str = Field(
        "local", description="this computer, or android:SERIAL, a phone with the app, or the only phone"
    )
    mode: Mode = "latency"
    iterations: Steps = Field(60, description="timed frames of each entry")
    rounds: Steps = Field(12, description="turns that the compared models take")
    runs: Steps = Field(3, description="processes that the turns are split over")
    duration_s: Annotated[float, Field(gt=0)] = Field(60, description="length of a sustained run")
    warmup_iterations: Annotated[int, Field(ge=0)] = Field(5, description="at least; then until frames are steady")
    threads: Steps = 1


class ReportStage(Section):
    """One HTML page of all results."""

    title: str | None = None
