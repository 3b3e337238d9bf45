"""`pocketgan apply`: what a model does to pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pocketgan import console
from pocketgan.cli.options import Concept, EntryId, Json, OutFolder, Settings


def apply(
    model: Annotated[Path, typer.Argument(metavar="MODEL_OR_BUNDLE", help="A .safetensors model or a .pgb bundle.")],
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="A folder of pictures, or one picture.")],
    out: OutFolder,
    entry: EntryId = None,
    concept: Concept = None,
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
    pictures = api.apply(model, images, out, entry=entry, concept=concept, recipe=known)
    if known is not None:
        count = len(pictures)
        console.result({"out": str(out), "images": count}, f"{count} validation images written to {out}/output")
        return
    names = [path.name for path in pictures]
    console.result({"out": str(out), "images": names}, f"{len(names)} pictures written to {out}")
