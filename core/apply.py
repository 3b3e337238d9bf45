"""Models and bundles on a user's own pictures. One picture at a time is in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from pocketgan import console
from pocketgan.errors import DataError, ModelError
from pocketgan.files import atomic_folder
from pocketgan.fitting import Fit, Size
from pocketgan.memory import free_memory
from pocketgan.picture_files import find_pictures
from pocketgan.pictures import PictureError, count_pixels, read_image, write_image

if TYPE_CHECKING:
    from pocketgan.recipe.recipe import Recipe
    from pocketgan.training.generators import GeneratorSpec

Item = TypeVar("Item")
LONGEST_SIDE = 1024  # a phone's photo at full size would take minutes in a network made for 256 pixels
# Of the free memory, what one picture may take; the rest is for what the prediction does not know.
MEMORY_SHARE = 0.7
# At the most, of a picture: Pillow's image (4), its copy turned (4) or as bytes (6), and the array (3).
BYTES_A_PIXEL = 16


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder for pictures that takes the place of `out` only if the block succeeds.

    Raises:
        DataError: `out` holds something already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists and is not an empty folder; choose another --out")
    with atomic_folder(out) as folder:
        yield folder


def apply_to_folder(
    model: Path, images: Path, out: Path, entry: str | None, recipe: Recipe | None, concept: str | None = None
) -> list[Path]:
    """Run a model file or a bundle on pictures, or on the validation images of a recipe's data folder.

    Args:
        entry, concept: of a bundle, which; what runs best here, and a pack's default, where None.
    Raises:
        DataError, ModelError, BundleError: the model or the pictures cannot be used, or `out` holds something.
    """
    if not model.exists():
        raise ModelError(f"there is no model or bundle {model}")
    from pocketgan.export.not_models import advice

    if model.suffix not in (".safetensors", ".pgb") and (known := advice(str(model))):
        raise ModelError(known)
    if recipe is not None and model.suffix != ".safetensors":
        raise ModelError(f"--recipe goes with a model file (.safetensors), not with {model}")
    if concept is not None and model.suffix == ".safetensors":
        raise ModelError(f"--concept goes with a pack of concepts (.pgb); {model} is one model")
    with new_folder(out) as folder:
        if recipe is not None:
            names = apply_to_validation(model, recipe, images, folder)
        elif model.suffix == ".safetensors":
            names = apply_model(model, images, folder)
        else:
            names = apply_bundle(model, images, folder, entry, concept)
    return [out / name for name in names]


def apply_model(model: Path, images: Path, out: Path) -> list[str]:
    """Run a model file on pictures; what comes out has their size.

    Pictures are padded by reflection to what the network takes, and cropped again. One that is longer than 1024 pixels,
    or whose pass would not fit into the free memory, is computed at a smaller size and enlarged again, with a note.

    Returns:
        Names of the written files.
    Raises:
        DataError: there are no pictures, or two of one name.
        ModelError: the network takes or gives something else than pictures.
    """
    from pocketgan.errors import require

    require("train", "torch", "safetensors")
    import torch

    from pocketgan.training.data.images import to_pixels, to_tensor
    from pocketgan.training.generators.files import load_generator

    loaded = load_generator(model)
    spec = loaded.spec
    if spec.input_channels != 3:
        raise ModelError(f"{model} takes {spec.input_channels} channels, no pictures; label maps go with --recipe")
    if spec.output_channels not in (1, 3, 4):
        raise ModelError(f"{model} gives {spec.output_channels} channels; a picture has 1, 3 or 4")

    def enter(path: Path, pixels: np.ndarray) -> tuple[Fit, np.ndarray]:
        fit = _fit(path, _size(pixels), spec)
        return fit, fit.enter(pixels)

    names: list[str] = []
    smaller = 0
    for path, (fit, pixels) in prepared(images, enter):
        with torch.no_grad():
            output = loaded.module(to_tensor(pixels)[None])[0]
        names.append(f"{path.stem}.png")
        write_image(out / names[-1], fit.leave(to_pixels(output)))
        smaller += max(fit.original) > LONGEST_SIDE
    _note_smaller(smaller, f"{LONGEST_SIDE} pixels a side")
    return names


def _fit(path: Path, size: Size, spec: GeneratorSpec) -> Fit:
    """How a picture gets into the network: at most LONGEST_SIDE long, and shorter where the memory is short."""
    from pocketgan.training.cost import forward_bytes
    from pocketgan.training.generators import grid

    multiple, least = grid(spec)
    wanted = fit = Fit.to_multiple(size, multiple, least, LONGEST_SIDE)
    free = MEMORY_SHARE * free_memory()
    while forward_bytes(spec.at(*fit.padded)) > free and max(fit.scaled) > least:
        fit = Fit.to_multiple(size, multiple, least, 0.8 * max(fit.scaled))
    if fit != wanted:
        console.note(
            f"{path.name}: computed at {fit.scaled[1]}x{fit.scaled[0]} and enlarged again, because "
            f"{wanted.scaled[1]}x{wanted.scaled[0]} needs more than the free memory"
        )
    return fit


def apply_to_validation(model: Path, recipe: Recipe, data: Path, out: Path) -> list[str]:
    """Run a model file on the validation images of a recipe's data folder, at the recipe's size.

    Writes `output/N.png` and `target/N.png`, and where the input is a label map `label/N.png` (class indices). Returns
    the names of the outputs. Unpaired targets are the validation images of the other domain; photos alone have none.

    Raises:
        DataError, ModelError: the folder or the model cannot be used, or they do not fit each other.
    """
    from pocketgan.errors import require

    require("train", "torch", "safetensors")
    import torch
    from PIL import Image

    from pocketgan.pipeline.images import validation_images
    from pocketgan.training.data.images import to_pixels
    from pocketgan.training.data.labels import LabelMaps
    from pocketgan.training.data.unlabelled import UnlabelledImages
    from pocketgan.training.data.unpaired import UnpairedImages
    from pocketgan.training.generators.files import load_generator

    loaded = load_generator(model)
    images = validation_images(recipe, data.resolve())
    outputs = targets = len(images)
    if isinstance(images, UnpairedImages):
        outputs, targets = len(images.inputs), len(images.targets)
    elif isinstance(images, UnlabelledImages):
        targets = 0
    with console.progress("apply", max(outputs, targets)) as bar:
        for index in range(max(outputs, targets)):
            pair, name = images.whole(index), f"{index:05d}.png"
            if pair["input"].shape[0] != loaded.spec.input_channels:
                raise ModelError(
                    f"{model} takes {loaded.spec.input_channels} input channels, the recipe's data has "
                    f"{pair['input'].shape[0]}"
                )
            if index < outputs:
                with torch.no_grad():
                    write_image(out / "output" / name, to_pixels(loaded.module(pair["input"][None])[0]))
            if index < targets:
                write_image(out / "target" / name, to_pixels(pair["target"]))
            if isinstance(images, LabelMaps):
                (out / "label").mkdir(exist_ok=True)
                Image.fromarray(images.indices(pair["input"])).save(out / "label" / name)
            bar.advance()
    return [f"output/{index:05d}.png" for index in range(outputs)]


def apply_bundle(
    bundle_path: Path, images: Path, out: Path, entry: str | None = None, concept: str | None = None
) -> list[str]:
    """Run a bundle's entry on pictures; what comes out has their size. Needs no torch for ONNX.

    A picture is scaled to fit into the entry's input as a whole, padded by reflection, and all of it undone behind.

    Returns:
        Names of the written files.
    Raises:
        DataError: there are no pictures, or two of one name.
        BundleError: there is no such entry or concept, or it does not turn pictures into pictures here.
    """
    from pocketgan.bench.check import input_size, run_entry, runnable_entry
    from pocketgan.bundle.reader import open_bundle

    names: list[str] = []
    smaller = 0
    under_way: deque[tuple[Path, Fit]] = deque()
    with open_bundle(bundle_path) as bundle:
        chosen = runnable_entry(bundle, concept) if entry is None else bundle.entry(entry, concept)
        frame = input_size(chosen)

        def enter(_: Path, pixels: np.ndarray) -> tuple[Fit, np.ndarray]:
            fit = Fit.into(_size(pixels), frame)
            return fit, fit.enter(pixels)

        def inputs() -> Iterator[np.ndarray]:
            for path, (fit, pixels) in prepared(images, enter):
                under_way.append((path, fit))
                yield pixels

        for output in run_entry(bundle, chosen, inputs(), concept=concept):
            path, fit = under_way.popleft()
            names.append(f"{path.stem}.png")
            write_image(out / names[-1], fit.leave(output))
            smaller += fit.is_smaller
    _note_smaller(smaller, f"the {frame[1]}x{frame[0]} pixels that {chosen.id} takes")
    return names


def prepared(
    source: Path, prepare: Callable[[Path, np.ndarray], Item], most: int | None = None
) -> Iterator[tuple[Path, Item]]:
    """What `prepare` makes of every picture of a folder, of its first `most`, or of the one file, opened one by one.

    Those that cannot be read are left out, with a note that says why.

    Raises:
        DataError: there is none that can be read, or there are two of one name.
    """
    paths = find_pictures(source)[:most]
    refused: list[str] = []
    with console.progress("pictures", len(paths)) as bar:
        for path in paths:
            bar.advance()
            try:
                pixels = read_fitting(path)
            except PictureError as error:
                refused.append(str(error))
                continue
            prepared = prepare(path, pixels)
            del pixels  # before the network runs: the picture may be large
            yield path, prepared
    if len(refused) == len(paths):
        raise DataError(refused[0] if len(refused) == 1 else f"{source} holds no readable picture: {refused[0]}")
    if refused:
        console.note(f"{len(refused)} of {len(paths)} pictures were left out: {'; '.join(refused[:5])}")


def read_fitting(path: Path) -> np.ndarray:
    """(h, w, 3) uint8; smaller than the file's where that does not fit into the memory, with a note.

    Raises:
        PictureError: as `read_image`.
    """
    there, fitting = count_pixels(path), int(MEMORY_SHARE * free_memory() / BYTES_A_PIXEL)
    if there <= fitting:
        return read_image(path)
    pixels = read_image(path, most_pixels=max(1, fitting))
    tall, wide = _size(pixels)
    console.note(f"{path.name}: scaled down to {wide}x{tall}, because the whole needs more than the free memory")
    return pixels


def _note_smaller(count: int, size: str) -> None:
    if count:
        are = "1 picture is" if count == 1 else f"{count} pictures are"
        console.note(f"{are} larger than {size}: computed at that size, and enlarged to the old one again")


def _size(pixels: np.ndarray) -> Size:
    return pixels.shape[0], pixels.shape[1]
