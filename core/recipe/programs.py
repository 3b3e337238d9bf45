"""The table of training programs: what a recipe must know of each before any of it is imported.

A new program is a file of its own in `training/programs/` with a `METHOD`, its fields in the recipe's section
(`training_sections.py`), and its row here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from pocketgan.recipe.choices import DataKind

_PROGRAMS = "pocketgan.training.programs"


@dataclass(frozen=True)
class TeacherProgram:
    """A teacher's program.

    Attributes:
        module: where its `METHOD` is, a `training.programs.method.TeacherMethod`.
        data: the kinds of data that it learns from.
        files: fields of its section that name files whose content decides about the result, each with the field of the
            loss's weight, or of several; where all are 0 the file is not read.
        defaults: by section (teacher, distill), fields whose paper has another default than pix2pix.
        unlabelled: whether its batches hold inputs without targets too.
        weighs_discriminator: whether it has `lambda_gan`, and trains without a discriminator at 0.
        unpruned: the generators that users would ship otherwise, of which the first counts that takes the resolution.
        unpruned_takes_ngf: whether that one is as wide as the teacher; the paper's width otherwise.
        prunable: whether `compress` and `distill` take what it trains; a base of concepts is adapted instead.
    """

    module: str
    data: tuple[DataKind, ...]
    files: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    defaults: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    unlabelled: bool = False
    weighs_discriminator: bool = False
    unpruned: tuple[str, ...] = ("resnet9",)
    unpruned_takes_ngf: bool = False
    prunable: bool = True


@dataclass(frozen=True)
class StudentProgram:
    """A student's program.

    Attributes:
        module: where its `METHOD` is, a `training.programs.method.StudentMethod`.
        files: as `TeacherProgram.files`; where the section names none, the teacher's section does.
        unlabelled: whether its batches hold inputs without targets too.
        trains_teachers: whether it trains the teachers on with their discriminator, for which it needs targets.
    """

    module: str
    files: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    unlabelled: bool = False
    trains_teachers: bool = False


_TTUR: dict[str, object] = {"learning_rate": 1e-4, "discriminator_learning_rate": 4e-4, "adam_betas": (0.0, 0.9)}

TEACHER_PROGRAMS: dict[str, TeacherProgram] = {
    "pix2pix": TeacherProgram(f"{_PROGRAMS}.pix2pix", data=("paired", "label"), weighs_discriminator=True),
    "cyclegan": TeacherProgram(
        f"{_PROGRAMS}.cyclegan",
        data=("unpaired",),
        defaults={
            "teacher": {"gan_mode": "lsgan"},
            "distill": {"gan_mode": "lsgan", "lambda_distill": 1.0, "lambda_recon": 5.0},
        },
    ),
    "gaugan": TeacherProgram(
        f"{_PROGRAMS}.gaugan",
        data=("label",),
        files={"vgg_weights": "lambda_vgg"},
        defaults={"teacher": _TTUR, "distill": _TTUR},
        unpruned=("gaugan",),
        unpruned_takes_ngf=True,
    ),
    "e2gan": TeacherProgram(
        f"{_PROGRAMS}.e2gan",
        data=("concepts",),
        weighs_discriminator=True,
        unpruned=("unet256", "unet128", "resnet9"),
        prunable=False,
    ),
    "pix2pixhd": TeacherProgram(
        f"{_PROGRAMS}.pix2pixhd",
        data=("paired", "label"),
        files={"vgg_weights": "lambda_vgg"},
        defaults={"teacher": {"gan_mode": "lsgan", "scales": 3}, "distill": {"gan_mode": "lsgan"}},
        unpruned=("pix2pixhd",),
        unpruned_takes_ngf=True,
    ),
    # What is not said here is said by the program that `teacher.supervised` names.
    "ugc": TeacherProgram(
        f"{_PROGRAMS}.ugc_supernet",
        data=("paired", "label"),
        files={"vgg16_weights": ("lambda_style", "lambda_content")},
        unlabelled=True,
    ),
}
STUDENT_PROGRAMS: dict[str, StudentProgram] = {
    "distill": StudentProgram(f"{_PROGRAMS}.distill"),
    "ugc": StudentProgram(
        f"{_PROGRAMS}.ugc_distill",
        files={"vgg16_weights": ("lambda_style", "lambda_content")},
        unlabelled=True,
        trains_teachers=True,
    ),
}


def _known_to(table: Mapping[str, object]) -> Callable[[str], str]:
    """A check that reads the table when a recipe is read."""

    def check(name: str) -> str:
        if name not in table:
            raise ValueError(f"expected {' or '.join(table)}, got {name!r}")
        return name

    return check


TeacherProgramName = Annotated[
    str, AfterValidator(_known_to(TEACHER_PROGRAMS)), WithJsonSchema({"type": "string", "enum": list(TEACHER_PROGRAMS)})
]
StudentProgramName = Annotated[
    str, AfterValidator(_known_to(STUDENT_PROGRAMS)), WithJsonSchema({"type": "string", "enum": list(STUDENT_PROGRAMS)})
]
