"""A whole recipe: what to train, compress, export and measure, and which parts go together.

The top-level keys are the stages in their order; a stage that is absent does not run.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from pocketgan.bundle.manifest import Name
from pocketgan.recipe.programs import STUDENT_PROGRAMS, TEACHER_PROGRAMS
from pocketgan.recipe.section import Section
from pocketgan.recipe.sections import (
    AdaptStage,
    BenchStage,
    BundleStage,
    CompressStage,
    DataStage,
    DistillStage,
    ExportStage,
    ReportStage,
    TeacherStage,
)
from pocketgan.recipe.units import Resolution

# Programs whose losses hold a picture against its target, with a discriminator that sees the input too.
_WITH_TARGETS = ("pix2pix", "pix2pixhd", "gaugan")
STAGES = ("data", "teacher", "compress", "distill", "adapt", "export", "bundle", "bench", "report")


class Recipe(Section):
    """The whole way from images to a measured bundle."""

    name: Name
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    resolution: Resolution = Field(256, description="height and width in pixels, or [height, width]")
    data: DataStage | None = None
    teacher: TeacherStage | None = None
    compress: CompressStage | None = None
    distill: DistillStage | None = None
    adapt: AdaptStage | None = None
    export: ExportStage | None = None
    bundle: BundleStage | None = None
    bench: BenchStage | None = None
    report: ReportStage | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_programs_defaults(cls, raw: Any) -> Any:
        teacher = raw.get("teacher") if isinstance(raw, dict) else None
        if not isinstance(teacher, dict):
            return raw
        name = str(teacher.get("program"))
        program = TEACHER_PROGRAMS.get(str(teacher.get("supervised")) if name == "ugc" else name)
        defaults = {} if program is None else program.defaults
        filled = {stage: {**more, **raw[stage]} for stage, more in defaults.items() if isinstance(raw.get(stage), dict)}
        return {**raw, **filled}

    @model_validator(mode="after")
    def _the_program_fits_the_data(self) -> Self:
        if self.data is None or self.teacher is None:
            return self
        if self.data.kind == "photos" and not self.teacher.is_given:
            raise ValueError("data.kind photos has no targets: it needs a trained teacher, teacher.weights")
        kinds = TEACHER_PROGRAMS[self.teacher.learns_as].data
        if self.teacher.is_given and "paired" in kinds:
            kinds = (*kinds, "photos")
        if self.teacher.is_foreign:
            if "paired" not in kinds:
                raise ValueError(f"{self.teacher.weights} teaches by its pictures: teacher.program pix2pix")
            kinds = tuple(dict.fromkeys((*(kind for kind in kinds if kind != "label"), "unpaired")))
        if self.data.kind not in kinds:
            field = "supervised" if self.teacher.program == "ugc" else "program"
            raise ValueError(
                f"teacher.{field} {self.teacher.learns_as} learns from data.kind {' or '.join(kinds)}, "
                f"not {self.data.kind}"
            )
        return self

    @model_validator(mode="after")
    def _crops_fit_in(self) -> Self:
        for name, stage in (("teacher", self.teacher), ("distill", self.distill)):
            if stage is not None and stage.crop is not None and stage.crop > min(self.size):
                raise ValueError(f"{name}.crop {stage.crop} is larger than the resolution {self.resolution}")
        return self

    @model_validator(mode="after")
    def _measures_fit_the_data(self) -> Self:
        for name, stage in (("teacher", self.teacher), ("distill", self.distill)):
            if self.data is None or stage is None or stage.evaluate_every is None:
                continue
            if name == "teacher" and self.teacher is not None and self.teacher.is_given:
                raise ValueError("teacher.evaluate_every measures a training; a trained teacher has none: remove it")
            if "miou" in stage.evaluate and self.data.kind != "label":
                raise ValueError(f"{name}.evaluate: miou finds label maps again; it needs data.kind: label")
            of_pairs = [measure for measure in stage.evaluate if measure in ("l1", "lpips")]
            if of_pairs and name == "teacher" and self.data.kind == "unpaired":
                raise ValueError(
                    f"teacher.evaluate: {of_pairs[0]} needs pairs; of unpaired images it can be fid or kid, such as "
                    "evaluate: [kid]"
                )
        return self

    @model_validator(mode="after")
    def _programs_that_need_their_discriminator_have_it(self) -> Self:
        if self.teacher is None or TEACHER_PROGRAMS[self.teacher.learns_as].weighs_discriminator:
            return self
        for name, stage in (("teacher", self.teacher), ("distill", self.distill)):
            if stage is not None and stage.lambda_gan != 1:
                raise ValueError(f"{name}.lambda_gan is of pix2pix; {self.teacher.learns_as} needs its discriminator")
        return self

    @model_validator(mode="after")
    def _unlabelled_inputs_are_of_programs_that_take_them(self) -> Self:
        for name, stage in (("teacher", self.teacher), ("distill", self.distill)):
            if stage is not None and stage.unlabelled_batch_size is not None and not stage.takes_unlabelled:
                why = "" if stage.semi_supervised else " where semi_supervised is false"
                raise ValueError(
                    f"{name}.unlabelled_batch_size: {name}.program {stage.program} learns from pairs alone{why}; "
                    "remove it"
                )
        return self

    @model_validator(mode="after")
    def _evolution_has_its_supernet(self) -> Self:
        if self.compress is None or self.teacher is None or self.compress.method != "evolve":
            return self
        if self.teacher.program != "ugc":
            raise ValueError(
                f"compress.method evolve searches a supernet, and teacher.program {self.teacher.program} trains none: "
                "say teacher.program: ugc, or compress.method: prune"
            )
        if self.data is not None and self.compress.judge is not None and self.data.kind != "label":
            raise ValueError("compress.judge finds label maps again; it needs data.kind: label")
        return self

    @model_validator(mode="after")
    def _teachers_can_be_trained_on(self) -> Self:
        distill, teacher = self.distill, self.teacher
        if distill is None or teacher is None or not STUDENT_PROGRAMS[distill.program].trains_teachers:
            return self
        what = f"distill.program {distill.program} trains the teachers on beside their student"
        if teacher.is_foreign:
            raise ValueError(f"{what}; {teacher.weights} teaches by its pictures alone: take distill.program: distill")
        if teacher.learns_as not in _WITH_TARGETS or (self.data is not None and self.data.kind == "photos"):
            whose = "photos have no targets" if teacher.learns_as in _WITH_TARGETS else teacher.learns_as + " has none"
            raise ValueError(f"{what}, on targets: {whose}; take distill.program: distill")
        if not distill.lambda_gan:
            raise ValueError(f"{what} and their discriminator, whose scores choose what it learns: lambda_gan is not 0")
        if distill.target is not None:
            raise ValueError(f"distill.target is of program distill; a student of {distill.program} has its teachers'")
        return self

    @model_validator(mode="after")
    def _what_is_not_known_is_not_pruned(self) -> Self:
        teacher, compress = self.teacher, self.compress
        if teacher is None or compress is None or compress.student is not None:
            return self
        if teacher.is_own or teacher.is_foreign:
            whose = "your own generator" if teacher.is_own else "such a file"
            raise ValueError(
                f"compress cannot prune {teacher.generator if teacher.is_own else teacher.weights}: pocketgan does not "
                f"know the layers of {whose}; name a family for the student, compress.student: incres9, or remove "
                "compress and distill, which exports the teacher as it is"
            )
        return self

    @model_validator(mode="after")
    def _a_base_is_adapted(self) -> Self:
        if self.teacher is None:
            return self
        prunable = TEACHER_PROGRAMS[self.teacher.program].prunable
        if not prunable and (self.compress is not None or self.distill is not None):
            raise ValueError(
                f"what teacher.program {self.teacher.program} trains is a base for concepts, not for a student: remove "
                "compress and distill, add adapt"
            )
        if prunable and self.adapt is not None:
            raise ValueError("adapt needs a base of concepts: teacher.program: e2gan, with data.kind: concepts")
        return self

    @model_validator(mode="after")
    def _the_target_is_there(self) -> Self:
        if self.distill is None or self.teacher is None or self.data is None or self.distill.target is None:
            return self
        if self.teacher.program == "cyclegan":
            raise ValueError("distill.target is of programs with targets; a student of cyclegan has its teacher's")
        if self.distill.target == "data" and (self.data.kind == "photos" or self.teacher.is_foreign):
            why = f"{self.teacher.weights} teaches by its pictures" if self.teacher.is_foreign else "photos have none"
            raise ValueError(f"distill.target data: {why}; remove it")
        return self

    @model_validator(mode="after")
    def _stages_follow_each_other(self) -> Self:
        needs = dict(zip(STAGES[1:], STAGES, strict=False)) | {"adapt": "teacher", "export": "teacher"}
        for stage, before in needs.items():
            if getattr(self, stage) is not None and getattr(self, before) is None:
                raise ValueError(f"the stage {stage} needs the stage {before}; add `{before}:`")
        if self.compress is not None and self.distill is None and self.export is not None:
            raise ValueError("a compressed network is not trained yet; add `distill:` before exporting")
        return self

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return (self.resolution, self.resolution) if isinstance(self.resolution, int) else self.resolution

    def stages(self) -> list[str]:
        """The stages that run, in order."""
        return [stage for stage in STAGES if getattr(self, stage) is not None]
