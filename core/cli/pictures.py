"""Commands about pictures: what a model does to them, and pairs made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pocketgan import console
from pocketgan.cli.options import EntryId, Json, OutFolder, Settings
from pocketgan.errors import DataError, ModelError, require


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
    """See what a model does to your own pictures: one PNG per picture.

    With --recipe, OUT/output, OUT/target (and OUT/label) hold what `pocketgan quality` compares.
    """
    from pocketgan.apply import apply_bundle, apply_model, apply_to_validation
    from pocketgan.files import atomic_folder

    if not model.exists():
        raise ModelError(f"there is no model or bundle {model}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists and is not an empty folder; choose another --out")
    if recipe is not None:
        from pocketgan.recipe.reading import load_recipe

        require("train", "torch", "safetensors")
        if model.suffix != ".safetensors":
            raise ModelError(f"--recipe goes with a model file (.safetensors), not with {model}")
        with atomic_folder(out) as folder:
            count = apply_to_validation(model, load_recipe(recipe, settings or []), images, folder)
        console.result({"out": str(out), "images": count}, f"{count} validation images written to {out}/output")
        return
    with atomic_folder(out) as folder:
        work = apply_model if model.suffix == ".safetensors" else apply_bundle
        names = work(model, images, folder, entry)
    console.result({"out": str(out), "images": names}, f"{len(names)} pictures written to {out}")


pairs = typer.Typer(name="pairs", help="Data sets of pairs, made offline.", no_args_is_help=True)


@pairs.callback()
def _pairs() -> None:
    """Data sets of pairs, made offline."""


@pairs.command("make")
def make(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="A folder of pictures.")],
    concept: Annotated[str, typer.Option("--concept", help="The effect: stylization, pencil, colour-pencil, detail.")],
    out: OutFolder,
    teacher: Annotated[str, typer.Option("--teacher", help="Who makes the targets: filters.")] = "filters",
    size: Annotated[int, typer.Option("--size", help="Height and width of each picture, in pixels.")] = 256,
    json: Json = False,
) -> None:
    """Make side-by-side pairs of your pictures, ready for `pocketgan run RECIPE --data DIR`."""
    from pocketgan.apply import make_pairs
    from pocketgan.files import atomic_folder

    require("train", "cv2", "torch")
    if teacher != "filters":
        raise DataError(f"no teacher is called {teacher!r}; there is: filters")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists and is not an empty folder; choose another --out")
    with atomic_folder(out) as folder:
        counts = make_pairs(images, concept, folder, size)
    console.result(
        {"out": str(out), **counts}, f"{counts['train']} training and {counts['val']} validation pairs in {out}"
    )
