"""Commands about pictures: what a model does to them, and pairs made of them."""

from __future__ import annotations

import re
import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from pocketgan import console
from pocketgan.cli.options import EntryId, Json, OutFolder, Settings, parse_range
from pocketgan.errors import DataError, require


def apply(
    model: Annotated[Path, typer.Argument(metavar="MODEL_OR_BUNDLE", help="A .safetensors model or a .pgb bundle.")],
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="A folder of pictures, or one picture.")],
    out: OutFolder,
    entry: EntryId = None,
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", help="IMAGES is this recipe's data folder: its validation images are taken."),
    ] = None,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """See what a model does to your own pictures.

    One PNG per picture.
    With --recipe, OUT/output, OUT/target (and OUT/label) hold what `pocketgan quality` compares.
    """
    from pocketgan import api

    known = None if recipe is None else api.load_recipe(recipe, settings or [])
    pictures = api.apply(model, images, out, entry=entry, recipe=known)
    if known is not None:
        count = len(pictures)
        console.result({"out": str(out), "images": count}, f"{count} validation images written to {out}/output")
        return
    names = [path.name for path in pictures]
    console.result({"out": str(out), "images": names}, f"{len(names)} pictures written to {out}")


pairs = typer.Typer(name="pairs", help="Data sets of pairs, made offline.", no_args_is_help=True)


@pairs.callback()
def _pairs() -> None:
    """Data sets of pairs, made offline."""


@pairs.command("make")
def make(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="A folder of pictures.")],
    out: OutFolder,
    concept: Annotated[
        str | None,
        typer.Option(
            "--concept",
            help="The filters' effect: stylization, pencil, colour-pencil, detail, ink. Of another teacher, what its "
            "effect shall be called; after the file if left out.",
        ),
    ] = None,
    teacher: Annotated[
        str,
        typer.Option(
            "--teacher",
            metavar="TEACHER",
            help="Who draws the effect: filters, FILE.onnx, FILE.pgb, FILE.safetensors or package.module:function.",
        ),
    ] = "filters",
    value_range: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="LOW,HIGH",
            help="What black and white are to an ONNX file or a function, such as 0,255; -1,1 is assumed, and doubted.",
        ),
    ] = None,
    size: Annotated[int, typer.Option("--size", help="Height and width of each picture, in pixels.")] = 256,
    json: Json = False,
) -> None:
    """Make side-by-side pairs of your pictures.

    The photo is left (A), the effect right (B). OUT/CONCEPT.yaml is a recipe for them: `pocketgan run`.
    """
    from pocketgan.apply import make_pairs, new_folder
    from pocketgan.files import write_atomic
    from pocketgan.foreign.teacher import open_teacher, short_name
    from pocketgan.recipe.effect import recipe_of_pairs
    from pocketgan.recipe.units import parse_resolution

    told = None if value_range is None else parse_range(value_range)
    try:
        parse_resolution(size)
    except ValueError as error:
        raise DataError(f"--size is a multiple of 4 from 32 to 4096, as networks take it, not {size}") from error
    with ExitStack() as stack:
        drawing = None
        if teacher == "filters":
            effect = _filter_effect(concept, told)
            folder = stack.enter_context(new_folder(out))
        else:
            effect = short_name(teacher) if concept is None else _as_name(concept)
            folder = stack.enter_context(new_folder(out))
            drawing = stack.enter_context(open_teacher(teacher, (size, size), value_range=told))
        origin = None if drawing is None else drawing.origin
        counts = make_pairs(images, effect, folder, size, drawing)
        write_atomic(folder / f"{effect}.yaml", recipe_of_pairs(effect, out, size, origin))
    recipe = out / f"{effect}.yaml"
    lines = (
        f"{counts['train']} training and {counts['val']} validation pairs in {out}: photo left (A), {effect} right (B)",
        *([] if origin is None else [f"drawn by {origin}"]),
        f"{recipe} trains from photo to {effect} (direction AtoB): pocketgan run {shlex.quote(str(recipe))}",
    )
    payload = {
        "out": str(out),
        **counts,
        "direction": "AtoB",
        "recipe": str(recipe),
        "teacher": None if origin is None else origin.model_dump(),
    }
    console.result(payload, "\n".join(lines))


def _filter_effect(concept: str | None, value_range: tuple[float, float] | None) -> str:
    """The effect's name, once it is one and what draws it is here."""
    require("train", "cv2", "torch")
    from pocketgan.training.teachers.filters import EFFECTS

    if value_range is not None:
        raise DataError("--range is for networks that draw (--teacher); filters have none")
    if concept is None:
        raise DataError(f"--concept says which effect the filters draw: {', '.join(EFFECTS)}")
    return concept


def _as_name(concept: str) -> str:
    from pocketgan.bundle.manifest import NAME_PATTERN

    if not re.fullmatch(NAME_PATTERN, concept):
        raise DataError(
            "--concept takes letters, digits, '.', '_' and '-', and starts with one of the first two, as it names the "
            f"recipe and the bundles; not {concept!r}"
        )
    return concept
