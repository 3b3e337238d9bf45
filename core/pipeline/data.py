"""The data stage: images found or made, checked, and read again by the stages after it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan import console
from pocketgan.errors import DataError
from pocketgan.files import write_atomic
from pocketgan.pipeline.running import Context
from pocketgan.recipe.recipe import Recipe
from pocketgan.recipe.sections import DataStage, Training

if TYPE_CHECKING:
    from pocketgan.training.data.labels import LabelFormat
    from pocketgan.training.data.samples import Pictures

INDEX = "index.json"

# By split, the items of it; an item is a list of file names, an unpaired image's second word is its half.
Names = dict[str, Any]


def make_data(context: Context) -> dict[str, Any]:
    """Pairs made from built-in photos, or images found in the user's folder and checked."""
    from pocketgan.training.data.folders import content_hashes

    stage = context.recipe.data
    assert stage is not None
    if stage.source == "builtin":
        root, hashes, names = None, {}, _make_builtin(context)
    else:
        root = Path(str(stage.folder)).resolve()
        names, files = _find(stage, root)
        hashes = content_hashes(sorted(files), root, {})
    index = {"root": None if root is None else str(root), "splits": names, "files": hashes}
    write_atomic(context.folder / INDEX, json.dumps(index, indent=1))
    return {split: _count(items) for split, items in names.items()}


def _count(items: Any) -> Any:
    return {side: len(images) for side, images in items.items()} if isinstance(items, dict) else len(items)


def _find(stage: DataStage, root: Path) -> tuple[Names, set[Path]]:
    """Names relative to the folder, by split, and all files."""
    from pocketgan.training.data.labels import find_scenes
    from pocketgan.training.data.paired import find_pairs
    from pocketgan.training.data.unpaired import find_domains

    def relative(paths: Iterable[Path]) -> list[str]:
        return [path.relative_to(root).as_posix() for path in paths]

    if stage.kind == "unpaired":
        domains = find_domains(root)
        names: Names = {
            split: {side: [[*relative([image.path]), image.half] for image in images] for side, images in sides.items()}
            for split, sides in domains.items()
        }
        return names, {image.path for sides in domains.values() for images in sides.values() for image in images}
    found: Mapping[str, Any] = find_pairs(root) if stage.kind == "paired" else find_scenes(root, label_format(stage))
    names = {split: [relative(item.files()) for item in items] for split, items in found.items()}
    return names, {path for items in found.values() for item in items for path in item.files()}


def label_format(stage: DataStage) -> LabelFormat:
    """How the recipe's label maps become channels."""
    from pocketgan.training.data.labels import LabelFormat

    assert stage.classes is not None
    return LabelFormat(stage.classes, stage.unknown, stage.instance)


def _make_builtin(context: Context) -> Names:
    import numpy as np

    from pocketgan.training.data.builtin import crops
    from pocketgan.training.data.images import resize, write_image
    from pocketgan.training.teachers import filters

    recipe = context.recipe
    stage = recipe.data
    assert stage is not None
    height, width = recipe.size
    names: Names = {}
    with console.progress("data", stage.train_crops + stage.val_crops) as bar:
        for split, images in crops(max(recipe.size), stage.train_crops, stage.val_crops, recipe.seed).items():
            names[split] = []
            for index, image in enumerate(images):
                name = f"{split}/{index:05d}.png"
                photo = resize(image, height, width)
                write_image(context.folder / name, np.hstack([photo, filters.apply(stage.effect, photo)]))
                names[split].append([name])
                bar.advance()
    return names


def outside_data(recipe: Recipe, run: Path) -> Any:
    """Content of the user's folder; hashes of files that have not changed since are taken from the last index."""
    stage = recipe.data
    if stage is None or stage.source != "folder":
        return None
    from pocketgan.training.data.folders import content_hashes
    from pocketgan.training.data.images import SUFFIXES

    if stage.folder is None:
        raise DataError("this recipe reads a folder of images; name it with --data DIR")
    root = Path(stage.folder).resolve()
    if not root.is_dir():
        raise DataError(f"there is no data folder {stage.folder}")
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    try:
        known = json.loads((run / "data" / INDEX).read_text())["files"]
    except (OSError, ValueError, KeyError):
        known = {}
    return {name: values[0] for name, values in content_hashes(files, root, known).items()}


def load_data(
    recipe: Recipe,
    run: Path,
    split: str,
    load_scale: float = 1.0,
    flip: bool = False,
    size: tuple[int, int] | None = None,
) -> Pictures:
    """The images of a split that the data stage left, at the recipe's size unless told otherwise."""
    assert recipe.data is not None
    index = json.loads((run / "data" / INDEX).read_text())
    root = Path(index["root"]) if index["root"] else run / "data"
    return _pictures(recipe.data, root, index["splits"][split], size or recipe.size, load_scale, flip)


def validation_images(recipe: Recipe, root: Path) -> Pictures:
    """The validation images of a folder that the recipe could learn from, at its size.

    Raises:
        DataError: the folder cannot be used, or the recipe reads none.
    """
    stage = recipe.data
    if stage is None or stage.source != "folder":
        raise DataError(f"the recipe {recipe.name} reads no folder of images; name one that does, such as facades")
    names, _ = _find(stage, root)
    return _pictures(stage, root, names["val"], recipe.size)


def _pictures(
    stage: DataStage, root: Path, items: Any, size: tuple[int, int], load_scale: float = 1.0, flip: bool = False
) -> Pictures:
    """The images of one split, whose names are relative to `root`."""
    from pocketgan.training.data.labels import LabelMaps, Scene
    from pocketgan.training.data.paired import Pair, PairedImages
    from pocketgan.training.data.unpaired import Image, UnpairedImages

    if stage.kind == "unpaired":
        domains = {side: [Image(root / name, half) for name, half in images] for side, images in items.items()}
        return UnpairedImages(domains, stage.direction, size, load_scale, flip)
    if stage.kind == "label":
        scenes = [Scene(*(root / name for name in names)) for names in items]
        return LabelMaps(scenes, label_format(stage), size, load_scale, flip)
    pairs = [Pair(*(root / name for name in names)) for names in items]
    direction = stage.direction if stage.source == "folder" else "AtoB"
    return PairedImages(pairs, direction, size, load_scale, flip)


def training_data(context: Context, stage: Training) -> tuple[Pictures, Pictures]:
    """Training images, augmented as the stage says, and validation images."""
    recipe = context.recipe
    train = load_data(recipe, context.run, "train", stage.load_scale, stage.flip)
    return train, load_data(recipe, context.run, "val")
