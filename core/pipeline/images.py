"""Which images a recipe's data set holds, and how the stages after `data` read them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan.errors import DataError
from pocketgan.recipe.recipe import Recipe
from pocketgan.recipe.sections import DataStage, Training

if TYPE_CHECKING:
    from torch import Tensor

    from pocketgan.training.data.labels import LabelFormat
    from pocketgan.training.data.samples import Framing, Pictures

INDEX = "index.json"
# The split of whole photos, to be looked at beside crops.
WHOLE = "whole"
# The split of the training images whose targets are not read (`labelled.py`).
UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class Split:
    """The images of one split, by their file names relative to the data set's folder.

    Attributes:
        items: the files of every pair or scene.
        domains: of unpaired images instead, by side ("A", "B"): every image's file, and which half of it ("" for all).
    """

    items: Sequence[Sequence[str]] = ()
    domains: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)

    def to_json(self) -> Any:
        return self.domains or self.items

    @staticmethod
    def from_json(value: Any) -> Split:
        return Split(domains=value) if isinstance(value, dict) else Split(items=value)

    def count(self) -> int | dict[str, int]:
        """How many there are, by side where they are unpaired."""
        return {side: len(images) for side, images in self.domains.items()} if self.domains else len(self.items)

    def files(self) -> set[str]:
        """Names of all files."""
        halves = (image for images in self.domains.values() for image, _ in images)
        return {name for item in self.items for name in item} | set(halves)


@dataclass(frozen=True)
class InputFolder:
    """The inputs of the folder `data.unlabelled`.

    Attributes:
        root: the folder, when it was looked at.
        names: the files of every input: a picture, or a label map and its instance map if that is used.
        files: by name, (SHA-256, size, time of change).
    """

    root: str
    names: Sequence[Sequence[str]]
    files: dict[str, list[Any]]


@dataclass(frozen=True)
class ImageIndex:
    """`index.json` of the data stage.

    Attributes:
        splits: by name: train, val, of built-in photos `WHOLE`, and where some of the training images count as
            unlabelled, `UNLABELLED`: train are the others then.
        root: the folder that held the files when they were looked at; None where the data stage made them, in its own.
        files: by name, (SHA-256, size, time of change) of what the user's folder holds (`training.data.folders`).
        inputs: those of `data.unlabelled`; None where the recipe names no such folder.
    """

    splits: Mapping[str, Split]
    root: str | None = None
    files: dict[str, list[Any]] = field(default_factory=dict)
    inputs: InputFolder | None = None

    def to_json(self) -> str:
        splits = {name: split.to_json() for name, split in self.splits.items()}
        # What a recipe does not use is not there: the content of this file is in the digests of all that reads it.
        inputs = {} if self.inputs is None else {"inputs": asdict(self.inputs)}
        return json.dumps({"root": self.root, "splits": splits, "files": self.files, **inputs}, indent=1)

    @staticmethod
    def read(run: Path) -> ImageIndex:
        """The index of a run whose data stage has finished."""
        value = json.loads((run / "data" / INDEX).read_text())
        splits = {name: Split.from_json(split) for name, split in value["splits"].items()}
        inputs = InputFolder(**value["inputs"]) if "inputs" in value else None
        return ImageIndex(splits, value["root"], value["files"], inputs)


def find_splits(stage: DataStage, root: Path) -> dict[str, Split]:
    """The images of a user's folder by split, each looked at once.

    Raises:
        DataError: the folder or its images cannot be used.
    """
    from pocketgan.training.data.labels import find_scenes
    from pocketgan.training.data.paired import find_pairs
    from pocketgan.training.data.unlabelled import find_photos
    from pocketgan.training.data.unpaired import find_domains

    def relative(paths: Iterable[Path]) -> list[str]:
        return [path.relative_to(root).as_posix() for path in paths]

    if stage.kind == "unpaired":
        return {
            split: Split(
                domains={
                    side: [[*relative([image.path]), image.half] for image in images] for side, images in sides.items()
                }
            )
            for split, sides in find_domains(root).items()
        }
    if stage.kind == "photos":
        return {split: Split([relative([photo]) for photo in photos]) for split, photos in find_photos(root).items()}
    items: Mapping[str, Any] = find_pairs(root) if stage.kind == "paired" else find_scenes(root, label_format(stage))
    return {split: Split([relative(item.files()) for item in of_split]) for split, of_split in items.items()}


def label_format(stage: DataStage) -> LabelFormat:
    """How the recipe's label maps become channels."""
    from pocketgan.training.data.labels import LabelFormat

    assert stage.classes is not None
    return LabelFormat(stage.classes, stage.unknown, stage.instance)


def input_format(stage: DataStage) -> LabelFormat | None:
    """How the recipe's inputs become channels; None where they are pictures."""
    return label_format(stage) if stage.kind == "label" else None


def load_images(
    recipe: Recipe,
    run: Path,
    split: str,
    size: tuple[int, int] | None = None,
    augmented: Training | None = None,
    only: Split | None = None,
) -> Pictures:
    """The images of a split that the data stage left, at the recipe's size unless told otherwise.

    Args:
        augmented: the training whose samples are scaled, cropped and mirrored as it says; none are where None.
        only: those of the split's images that are meant; all where None.
    """
    assert recipe.data is not None
    index = ImageIndex.read(run)
    # The recipe's folder, not the index's: the same images may have moved since.
    root = run / "data" if index.root is None else Path(recipe.data.folder or index.root).resolve()
    return pictures_of(recipe.data, root, only or index.splits[split], size or recipe.size, augmented)


def whole_photos(run: Path, multiple: tuple[int, int]) -> list[dict[str, Tensor]]:
    """`input` and `target`, each (3, h, w), of the photos that the data stage left whole beside the crops.

    Args:
        multiple: what the network's height and width are a multiple of; more is cut off below and on the right.
    """
    split = ImageIndex.read(run).splits.get(WHOLE, Split())
    from pocketgan.pictures import read_image
    from pocketgan.training.data.images import to_tensor

    rows = []
    for (name,) in split.items:
        both = read_image(run / "data" / name)
        height, width = both.shape[0] // multiple[0] * multiple[0], both.shape[1] // 2 // multiple[1] * multiple[1]
        if height and width:
            halves = {"input": both[:height, :width], "target": both[:height, both.shape[1] // 2 :][:, :width]}
            rows.append({name: to_tensor(half) for name, half in halves.items()})
    return rows


def validation_images(recipe: Recipe, root: Path) -> Pictures:
    """The validation images of a folder that the recipe could learn from, at its size.

    Raises:
        DataError: the folder cannot be used, or the recipe reads none.
    """
    stage = recipe.data
    if stage is None or stage.source != "folder":
        raise DataError(f"the recipe {recipe.name} reads no folder of images; name one that does, such as facades")
    return pictures_of(stage, root, find_splits(stage, root)["val"], recipe.size)


def framing_of(stage: DataStage, augmented: Training | None) -> Framing:
    """How images come to their size: as the data section says, and a training that augments them."""
    if augmented is None:
        return {"fit": stage.fit}
    return {
        "fit": stage.fit,
        "load_scale": augmented.load_scale,
        "flip": augmented.flip,
        "part": augmented.crop_size,
    }


def pictures_of(
    stage: DataStage, root: Path, split: Split, size: tuple[int, int], augmented: Training | None = None
) -> Pictures:
    """The images of one split, whose names are relative to `root`."""
    from pocketgan.training.data.labels import LabelMaps, Scene
    from pocketgan.training.data.paired import Pair, PairedImages
    from pocketgan.training.data.unlabelled import UnlabelledImages
    from pocketgan.training.data.unpaired import Image, UnpairedImages

    framing = framing_of(stage, augmented)
    if stage.kind == "unpaired":
        domains = {
            side: [Image(root / name, half) for name, half in images]  # type: ignore[arg-type]  # as it was written
            for side, images in split.domains.items()
        }
        return UnpairedImages(domains, stage.direction, size, **framing)
    if stage.kind == "photos":
        return UnlabelledImages([root / name for (name,) in split.items], size, **framing)
    if stage.kind == "label":
        scenes = [Scene(*(root / name for name in names)) for names in split.items]
        return LabelMaps(scenes, label_format(stage), size, **framing)
    pairs = [Pair(*(root / name for name in names)) for names in split.items]
    direction = stage.direction if stage.source == "folder" else "AtoB"
    return PairedImages(pairs, direction, size, **framing)
