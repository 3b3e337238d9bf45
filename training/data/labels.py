"""Label maps and their photos: class-index PNG, optional instance PNG (SPADE, Park et al. 2019).

Layouts of DIR, files of equal names, `instance/` only where instances are used:
    DIR/train/photo, DIR/train/label, DIR/train/instance, and the same under val
    DIR/photo/train, DIR/label/train ...   the other way round
    DIR/photo, DIR/label                   no splits: every tenth is for validation
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pocketgan.errors import DataError
from pocketgan.picture_files import holds_instead
from pocketgan.pictures import INDEX_MODES, indices, read_image, read_indices
from pocketgan.recipe.choices import Unknown
from pocketgan.training.data.folders import (
    SPLITS,
    Size,
    check_equal_sizes,
    check_readable,
    check_root,
    hold_out,
    holds_images,
    look_at,
    match,
    some,
)
from pocketgan.training.data.images import to_tensor
from pocketgan.training.data.samples import Crop, Framer, Framing

SIDES = ("photo", "label")
INSTANCE = "instance"
VOID = 255  # what Cityscapes and SPADE call unknown, whatever the number of classes


@dataclass(frozen=True)
class LabelFormat:
    """How a label map becomes input channels.

    Attributes:
        classes: class indices are 0 to classes - 1; `classes` itself and 255 mean unknown.
        unknown: an unknown pixel has a `channel` of its own (SPADE's contain_dontcare_label), or is `zero` in all.
        instance: one more channel marks the edges between instances.
    """

    classes: int
    unknown: Unknown = "channel"
    instance: bool = False

    @property
    def channels(self) -> int:
        """Input channels of a generator for such maps."""
        return self.classes + (self.unknown == "channel") + self.instance

    def encode(self, labels: np.ndarray, instances: np.ndarray | None) -> np.ndarray:
        """(h, w) class indices, and instance numbers where they are used -> (channels, h, w) uint8 of 0 and 1."""
        indices = np.where(labels == VOID, self.classes, labels).astype(np.int64)
        one_hot = np.zeros((self.classes + 1, indices.size), np.uint8)
        one_hot[indices.ravel(), np.arange(indices.size)] = 1
        if self.unknown == "zero":
            one_hot = one_hot[: self.classes]
        maps = [one_hot.reshape(-1, *labels.shape)]
        if instances is not None:
            maps.append(edges(instances)[None])
        return np.concatenate(maps)

    def encode_cut(self, crop: Crop, labels: np.ndarray, instance: Path | None) -> np.ndarray:
        """The same of a crop of a label map and of the file of its instance map, if that is used."""
        return self.encode(crop.labels(labels), crop.labels(read_indices(instance)) if instance else None)


def edges(instances: np.ndarray) -> np.ndarray:
    """(h, w) instance numbers -> (h, w) uint8: 1 where one of the four neighbours belongs to another instance."""
    edge = np.zeros(instances.shape, bool)
    across, down = instances[:, 1:] != instances[:, :-1], instances[1:] != instances[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    return edge.astype(np.uint8)


@dataclass(frozen=True)
class Scene:
    """A photo, its label map, and its instance map where instances are used."""

    photo: Path
    label: Path
    instance: Path | None = None

    def files(self) -> tuple[Path, ...]:
        return (self.photo, self.label, *([self.instance] if self.instance else []))


def find_scenes(root: Path, form: LabelFormat) -> dict[str, list[Scene]]:
    """All scenes of a data folder by split, each decoded once so that training cannot stumble over it.

    Raises:
        DataError: the folder is missing, empty or in no known layout, files have no partner, do not decode or differ
            in size, a label or instance map is no index image, or a label map holds an index that is no class.
    """
    check_root(root)
    sides = (*SIDES, INSTANCE) if form.instance else SIDES
    if all(holds_images(root / side) for side in SIDES):
        splits = hold_out([Scene(*files) for files in match([root / side for side in sides])])
    else:
        splits = {split: _split(root, split, sides) for split in SPLITS}
    for split in SPLITS:
        if not splits[split]:
            raise DataError(
                f"{root} holds no images for {split}: expected {split}/photo/ and {split}/label/ with equal names"
                + (f", and {split}/instance/" if form.instance else "")
                + holds_instead(root)
            )
    scenes = [scene for split in SPLITS for scene in splits[split]]
    instances = [scene.instance for scene in scenes if scene.instance is not None]
    sizes = check_maps([scene.label for scene in scenes], instances, form)
    sizes |= check_readable([scene.photo for scene in scenes])
    check_equal_sizes([scene.files() for scene in scenes], sizes, "scene")
    return splits


def _split(root: Path, split: str, sides: Sequence[str]) -> list[Scene]:
    for places in ([root / split / side for side in sides], [root / side / split for side in sides]):
        if any(place.is_dir() for place in places):
            return [Scene(*files) for files in match(places)]
    return []


@dataclass(frozen=True)
class _Map:
    """What is known of an index image: the size that it is shown at, and its least and largest index, 255 apart."""

    size: Size
    least: int = 0
    largest: int = 0


def check_maps(labels: Sequence[Path], instances: Sequence[Path], form: LabelFormat) -> dict[Path, Size]:
    """(width, height) of every label map and instance map as it is shown.

    Raises:
        DataError: one is no index image, or a label map holds an index that is no class.
    """
    return _check_labels(labels, form) | _check_instances(instances)


def _check_labels(files: Sequence[Path], form: LabelFormat) -> dict[Path, Size]:
    maps = _look_at_maps(files, "label map")
    negative = [f"{path} ({one.least})" for path, one in maps.items() if one.least < 0]
    above = [f"{path} ({one.largest})" for path, one in maps.items() if one.largest > form.classes]
    for strange, what in ((negative, "a negative index"), (above, f"an index above data.classes {form.classes}")):
        if strange:
            allowed = f"{what}: classes are 0 to {form.classes - 1}, and {form.classes} or {VOID} is unknown"
            raise DataError(some(strange, f"label map holds {allowed}", f"label maps hold {allowed}"))
    return {path: one.size for path, one in maps.items()}


def _check_instances(files: Sequence[Path]) -> dict[Path, Size]:
    return {path: one.size for path, one in _look_at_maps(files, "instance map").items()}


def _look_at_maps(files: Sequence[Path], what: str) -> dict[Path, _Map]:
    """Raises DataError where a file is no index image."""

    def see(path: Path, image: Image.Image) -> _Map | None:
        if image.mode not in INDEX_MODES:
            return None
        numbers = indices(image)
        known = numbers[numbers != VOID]
        return _Map(image.size, int(known.min()), int(known.max())) if known.size else _Map(image.size)

    seen = look_at(files, see)
    coloured = [str(path) for path, one in seen.items() if one is None]
    if coloured:
        raise DataError(
            f"{some(coloured, f'{what} is a colour image', f'{what}s are colour images')}; "
            f"{'an' if what[0] in 'aeiou' else 'a'} {what} is a PNG with one whole number a pixel"
        )
    return {path: one for path, one in seen.items() if one is not None}


class LabelMaps:
    """Label maps as input, photos as target.

    Args:
        scenes: where the images are.
        form: how label maps become channels.
        size: (height, width) of the tensors.
        framing: how the images become such tensors.
    """

    paired = True

    def __init__(
        self,
        scenes: Sequence[Scene],
        form: LabelFormat,
        size: tuple[int, int],
        **framing: Unpack[Framing],
    ) -> None:
        self.scenes = scenes
        self.form = form
        self._framer = Framer(size, framing)

    def __len__(self) -> int:
        return len(self.scenes)

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        """`input` (channels, height, width) uint8 and `target` (3, height, width), cropped and mirrored alike."""
        labels = read_indices(self.scenes[index].label)
        return self._tensors(index, labels, self._framer.random(labels, random))

    def whole(self, index: int) -> dict[str, Tensor]:
        """`input` and `target` of the whole image (its centre, where `fit` cuts) at `size`, for validation."""
        labels = read_indices(self.scenes[index].label)
        tensors = self._tensors(index, labels, self._framer.whole(labels))
        return {name: tensor.float() for name, tensor in tensors.items()}

    def indices(self, tensor: Tensor) -> np.ndarray:
        """(channels, h, w) input -> (h, w) uint8 class indices; unknown pixels are `classes`."""
        classes = tensor[: self.form.classes].cpu().numpy()
        return np.where(classes.any(0), classes.argmax(0), self.form.classes).astype(np.uint8)

    def view(self, tensor: Tensor) -> np.ndarray:
        """(channels, h, w) input -> (h, w, 3) uint8, one colour a class, unknown black, edges white."""
        classes = tensor[: self.form.classes].cpu().numpy()
        pixels = (_palette(self.form.classes)[classes.argmax(0)] * classes.max(0)[..., None]).astype(np.uint8)
        if self.form.instance:
            pixels[tensor[-1].cpu().numpy() > 0] = 255
        return pixels

    def _tensors(self, index: int, labels: np.ndarray, crop: Crop) -> dict[str, Tensor]:
        scene = self.scenes[index]
        return {
            "input": torch.from_numpy(self.form.encode_cut(crop, labels, scene.instance)),
            "target": to_tensor(crop.picture(read_image(scene.photo))),
        }


def _palette(classes: int) -> np.ndarray:
    """(classes, 3) colours, far from each other for neighbouring indices."""
    golden = 0.618034
    colours = [colorsys.hsv_to_rgb(index * golden % 1, 0.6 + 0.4 * (index % 2), 0.95) for index in range(classes)]
    return (np.array(colours) * 255).astype(np.uint8)
