"""Models and bundles on a user's own pictures; pairs made of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pocketgan import console
from pocketgan.errors import DataError, ModelError
from pocketgan.files import atomic_folder, other_kinds

if TYPE_CHECKING:
    from pocketgan.recipe.recipe import Recipe

LONGEST_SIDE = 1024  # a phone's photo at full size would need gigabytes in a network made for 256 pixels
VALIDATION_EVERY = 10


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


def apply_to_folder(model: Path, images: Path, out: Path, entry: str | None, recipe: Recipe | None) -> list[Path]:
    """Run a model file or a bundle on pictures, or on the validation images of a recipe's data folder.

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
    with new_folder(out) as folder:
        if recipe is not None:
            names = apply_to_validation(model, recipe, images, folder)
        else:
            names = (apply_model if model.suffix == ".safetensors" else apply_bundle)(model, images, folder, entry)
    return [out / name for name in names]


def apply_model(model: Path, images: Path, out: Path, entry: str | None = None) -> list[str]:
    """Run a model file on pictures at their own size (at most 1024 pixels long), rounded to what the network takes.

    Raises:
        ModelError: the network takes something else than pictures.
    """
    import torch

    from pocketgan.errors import require

    require("train", "torch", "safetensors")
    from pocketgan.training.data.images import resize, to_pixels, to_tensor, write_image
    from pocketgan.training.generators import grid
    from pocketgan.training.generators.files import load_generator

    loaded = load_generator(model)
    if loaded.spec.input_channels != 3:
        raise ModelError(
            f"{model} takes {loaded.spec.input_channels} channels, no pictures; label maps go with --recipe"
        )
    multiple, least = grid(loaded.spec)
    names = []
    for path, pixels in _pictures(images):
        scale = min(1.0, LONGEST_SIDE / max(pixels.shape[:2]))
        height, width = (max(least, round(side * scale / multiple) * multiple) for side in pixels.shape[:2])
        with torch.no_grad():
            output = loaded.module(to_tensor(resize(pixels, height, width))[None])[0]
        names.append(f"{path.stem}.png")
        write_image(out / names[-1], to_pixels(output))
    return names


def apply_to_validation(model: Path, recipe: Recipe, data: Path, out: Path) -> list[str]:
    """Run a model file on the validation images of a recipe's data folder, at the recipe's size.

    Writes `output/N.png` and `target/N.png`, and where the input is a label map `label/N.png` (class indices). Returns
    the names of the outputs. Unpaired targets are the validation images of the other domain.

    Raises:
        DataError, ModelError: the folder or the model cannot be used, or they do not fit each other.
    """
    from pocketgan.errors import require

    require("train", "torch", "safetensors")
    import torch
    from PIL import Image

    from pocketgan.pipeline.images import validation_images
    from pocketgan.training.data.images import to_pixels, write_image
    from pocketgan.training.data.labels import LabelMaps
    from pocketgan.training.data.unpaired import UnpairedImages
    from pocketgan.training.generators.files import load_generator

    loaded = load_generator(model)
    images = validation_images(recipe, data.resolve())
    outputs = targets = len(images)
    if isinstance(images, UnpairedImages):
        outputs, targets = len(images.inputs), len(images.targets)
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


def apply_bundle(bundle_path: Path, images: Path, out: Path, entry: str | None = None) -> list[str]:
    """Run a bundle's entry on the centre square of pictures, scaled to the entry's size. Needs no torch for ONNX."""
    from PIL import Image

    from pocketgan.bench.check import input_size, run_entry, runnable_entry
    from pocketgan.bundle.reader import open_bundle
    from pocketgan.errors import BundleError

    names = []
    with open_bundle(bundle_path) as bundle:
        try:
            chosen = runnable_entry(bundle) if entry is None else bundle.manifest.entry(entry)
        except KeyError as error:
            there = ", ".join(e.id for e in bundle.manifest.entries)
            raise BundleError(f"{bundle_path} has no entry {entry}; it has {there}") from error
        height, width = input_size(chosen)
        pictures = list(_pictures(images))
        squares = (_centre(pixels, height, width) for _, pixels in pictures)
        for (path, _), output in zip(pictures, run_entry(bundle, chosen, squares), strict=True):
            names.append(f"{path.stem}.png")
            Image.fromarray(output).save(out / names[-1])
    return names


def make_pairs(images: Path, effect: str, out: Path, size: int) -> dict[str, int]:
    """Side-by-side pairs in train/ and val/ (every tenth): the centre square of each picture, and its effect."""
    from pocketgan.training.data.images import write_image
    from pocketgan.training.teachers import filters

    filters.check_effect(effect)
    counts = {"train": 0, "val": 0}
    for index, (path, pixels) in enumerate(_pictures(images)):
        split = "val" if index % VALIDATION_EVERY == 0 else "train"
        square = _centre(pixels, size, size)
        write_image(out / split / f"{path.stem}.png", np.hstack([square, filters.apply(effect, square)]))
        counts[split] += 1
    if not counts["train"]:
        raise DataError(f"{images} holds one picture; pairs for training and validation need two at least")
    return counts


def _pictures(source: Path) -> list[tuple[Path, np.ndarray]]:
    """All pictures of a folder, or the one file; unreadable ones are an error that names them."""
    from PIL import Image

    if not source.exists():
        raise DataError(f"there is no picture or folder {source}")
    paths = (
        [source]
        if source.is_file()
        else sorted(p for p in source.iterdir() if p.is_file() and not p.name.startswith("."))
    )
    pictures: list[tuple[Path, np.ndarray]] = []
    bad: list[str] = []
    for path in paths:
        try:
            with Image.open(path) as image:
                pictures.append((path, np.asarray(image.convert("RGB"))))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            bad.append(path.name)
    if not pictures:
        if source.is_file():
            raise DataError(f"{source} is no picture that can be read; convert it to JPEG or PNG")
        raise DataError(f"{source} holds no readable picture{other_kinds(source, ())}")
    stems = [path.stem for path, _ in pictures]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise DataError(f"{source} holds several pictures called {', '.join(twice[:5])}; rename them")
    if bad:
        console.note(f"{len(bad)} files are no readable pictures and were left out: {', '.join(bad[:5])}")
    return pictures


def _centre(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The largest centred part of the wanted proportions, scaled to (height, width)."""
    from PIL import Image

    tall, wide = pixels.shape[:2]
    scale = max(height / tall, width / wide)
    part_height, part_width = min(tall, round(height / scale)), min(wide, round(width / scale))
    top, left = (tall - part_height) // 2, (wide - part_width) // 2
    part = Image.fromarray(np.ascontiguousarray(pixels[top : top + part_height, left : left + part_width]))
    return np.asarray(part.resize((width, height), Image.Resampling.BICUBIC))
