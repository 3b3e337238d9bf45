"""Commands about pictures: what a model does to them, and pairs made of them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from pocketgan import console
from pocketgan.cli.options import EntryId, Json, OutFolder, Settings
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
    concept: Annotated[
        str, typer.Option("--concept", help="The effect: stylization, pencil, colour-pencil, detail, ink.")
    ],
    out: OutFolder,
    teacher: Annotated[str, typer.Option("--teacher", help="Who makes the targets: filters.")] = "filters",
    size: Annotated[int, typer.Option("--size", help="Height and width of each picture, in pixels.")] = 256,
    json: Json = False,
) -> None:
    """Make side-by-side pairs of your pictures.

    The photo is left (A), the effect right (B). OUT/CONCEPT.yaml is a recipe for them: `pocketgan run`.
    """
    from pocketgan.apply import make_pairs, new_folder
    from pocketgan.files import write_atomic
    from pocketgan.recipe.effect import recipe_of_pairs
    from pocketgan.recipe.units import parse_resolution

    require("train", "cv2", "torch")
    if teacher != "filters":
        raise DataError(f"no teacher is called {teacher!r}; there is: filters")
    try:
        parse_resolution(size)
    except ValueError as error:
        raise DataError(f"--size is a multiple of 4 from 32 to 4096, as networks take it, not {size}") from error
    with new_folder(out) as folder:
        counts = make_pairs(images, concept, folder, size)
        write_atomic(folder / f"{concept}.yaml", recipe_of_pairs(concept, out, size))
    recipe = out / f"{concept}.yaml"
    lines = (
        f"{counts['train']} training and {counts['val']} validation pairs in {out}: "
        f"photo left (A), {concept} right (B)",
        f"{recipe} trains from photo to {concept} (direction AtoB): pocketgan run {shlex.quote(str(recipe))}",
    )
    payload = {"out": str(out), **counts, "direction": "AtoB", "recipe": str(recipe)}
    console.result(payload, "\n".join(lines))
