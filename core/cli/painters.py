"""What `--teacher` of `pocketgan pairs make` names, and the options that each kind takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan.errors import DataError, require

if TYPE_CHECKING:
    from pocketgan.pairs.painters import Painter
    from pocketgan.pairs.wishes import Wish
    from pocketgan.pairs.workers import Workers
    from pocketgan.training.teachers.diffusion import Editing

Chosen = tuple[list["Wish"], Callable[["Wish"], "Painter"]]


def workers_of(teacher: str) -> Workers:
    from pocketgan.pairs.workers import Workers, join_workers
    from pocketgan.pipeline.processes import world_size

    if teacher == "diffusion":
        require("train", "torch", "accelerate")
        require("diffusion", "diffusers", "transformers")
    return join_workers() if teacher == "diffusion" or world_size() > 1 else Workers()


def filters(told: Sequence[str], value_range: tuple[float, float] | None) -> Chosen:
    require("train", "cv2", "torch")
    from pocketgan.pairs.making import filter_wishes
    from pocketgan.pairs.painters import FilterPainter

    if value_range is not None:
        raise DataError("--range is for networks that draw (--teacher); filters have none")
    return filter_wishes(told), lambda wish: FilterPainter(wish.name)


def diffusion(
    told: Sequence[str],
    value_range: tuple[float, float] | None,
    model: str | None,
    editing: Editing,
    revision: str | None,
    clip: Path | None,
    workers: Workers,
) -> Chosen:
    from pocketgan.pairs.painters import DiffusionPainter
    from pocketgan.pairs.wishes import parse_wishes
    from pocketgan.training.teachers.diffusion import HOW_TO_GET, DiffusionEditor
    from pocketgan.training.teachers.filters import EFFECTS

    if value_range is not None:
        raise DataError("--range is for networks that draw; diffusion has none")
    if not told:
        raise DataError("--concept says what to ask the editor for, such as --concept winter='make it winter'")
    wishes = parse_wishes(told, {name: effect.text for name, effect in EFFECTS.items()})
    if model is None:
        raise DataError(f"--model says which InstructPix2Pix draws; {HOW_TO_GET}")
    editor = DiffusionEditor(model, editing, revision, clip, workers.device)
    return wishes, lambda wish: DiffusionPainter(editor, wish.text)


def given(
    told: Sequence[str], teacher: str, size: int, value_range: tuple[float, float] | None, stack: ExitStack
) -> Chosen:
    from pocketgan.foreign.teacher import open_teacher, short_name
    from pocketgan.pairs.painters import GivenPainter
    from pocketgan.pairs.wishes import must_be_a_name, parse_wishes

    if len(told) > 1:
        raise DataError(f"{teacher} draws one effect; give --concept once")
    name = (told[0].partition("=")[0] if told else short_name(teacher)).strip()
    must_be_a_name(name)
    wishes = parse_wishes(told or [name], {name: f"make it {' '.join(name.replace('_', '-').split('-'))}"})
    drawing = stack.enter_context(open_teacher(teacher, (size, size), value_range=value_range))
    return wishes, lambda _: GivenPainter(drawing, value_range)


def editing_of(limits: dict[str, float | None], **told: Any) -> Editing:
    """What was told, and defaults for the rest."""
    from pocketgan.training.teachers.diffusion import Editing
    from pocketgan.training.teachers.edit_score import Limits

    given = {name: value for name, value in told.items() if value is not None}
    least = {name: value for name, value in limits.items() if value is not None}
    return Editing(**given, limits=Limits(**least))


def numbers(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise DataError(f"--seeds are whole numbers with commas between, such as 0,1,2, not {text!r}") from error
