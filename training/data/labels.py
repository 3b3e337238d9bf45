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

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pocketgan.errors import DataError
from pocketgan.files import other_kinds
from pocketgan.recipe.choices import Unknown
from pocketgan.training.data.folders import (
    SPLITS,
    check_equal_sizes,
    check_readable,
    check_root,
    hold_out,
    holds_images,
    look_at,
    match,
    some,
)
from pocketgan.training.data.images import SUFFIXES, read_image, to_tensor
from pocketgan.training.data.samples import Crop

SIDES = ("photo", "label")
INSTANCE = "instance"
VOID = 255  # what Cityscapes and SPADE call unknown, whatever the number of classes
_INDEX_MODES = ("L", "P", "I", "I;16", "1")


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
            in size, or a label map is no index image or holds an index that is no class.
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
                + other_kinds(root, SUFFIXES)
            )
    scenes = [scene for split in SPLITS for scene in splits[split]]
    _check_labels([scene.label for scene in scenes], form)
    sizes = check_readable([path for scene in scenes for path in scene.files()])
    check_equal_sizes([scene.files() for scene in scenes], sizes, "scene")
    return splits


def _split(root: Path, split: str, sides: Sequence[str]) -> list[Scene]:
    for places in ([root / split / side for side in sides], [root / side / split for side in sides]):
        if any(place.is_dir() for place in places):
            return [Scene(*files) for files in match(places)]
    return []


def _check_labels(files: Sequence[Path], form: LabelFormat) -> None:
    def see(image: Image.Image) -> tuple[str, int]:
        if image.mode not in _INDEX_MODES:
            return image.mode, 0
        indices = np.asarray(image)
        labelled = indices[indices != VOID]
        return image.mode, int(labelled.max()) if labelled.size else 0

    facts = look_at(files, see)
    coloured = [str(path) for path, (mode, _) in facts.items() if mode not in _INDEX_MODES]
    if coloured:
        raise DataError(
            f"{some(coloured, 'label map is a colour image', 'label maps are colour images')}; "
            "a label map is a PNG with one class index a pixel"
        )
    strange = [f"{path} ({top})" for path, (_, top) in facts.items() if top > form.classes]
    if strange:
        what = (
            f"an index above data.classes {form.classes}: classes are 0 to {form.classes - 1}, and {form.classes} or "
            f"{VOID} is unknown"
        )
        raise DataError(some(strange, f"label map holds {what}", f"label maps hold {what}"))


def read_indices(path: Path) -> np.ndarray:
    """(h, w) whole numbers of an index image. Raises DataError where the file is no readable image."""
    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is not a readable image: {error}") from error


class LabelMaps:
    """Label maps as input, photos as target.

    Args:
        scenes: where the images are.
        form: how label maps become channels.
        size: (height, width) of the tensors.
        load_scale: images are resized to `size` times this and cropped at random (Cityscapes: 1).
        flip: mirror half of the scenes.
        part: (height, width) of the crops that `sample` gives; `size` where None.
    """

    paired = True

    def __init__(
        self,
        scenes: Sequence[Scene],
        form: LabelFormat,
        size: tuple[int, int],
        load_scale: float = 1.0,
        flip: bool = False,
        part: tuple[int, int] | None = None,
    ) -> None:
        self.scenes = scenes
        self.form = form
        self.size = size
        self.load_scale = load_scale
        self.flip = flip
        self.part = part

    def __len__(self) -> int:
        return len(self.scenes)

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        """`input` (channels, height, width) uint8 and `target` (3, height, width), cropped and mirrored alike."""
        return self._tensors(index, Crop.draw(self.size, self.load_scale, self.flip, random, self.part))

    def whole(self, index: int) -> dict[str, Tensor]:
        """`input` and `target` of the whole image at `size`, for validation."""
        tensors = self._tensors(index, Crop.whole(self.size))
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

    def _tensors(self, index: int, crop: Crop) -> dict[str, Tensor]:
        scene = self.scenes[index]
        labels = crop.labels(read_indices(scene.label))
        instances = crop.labels(read_indices(scene.instance)) if scene.instance else None
        return {
            "input": torch.from_numpy(self.form.encode(labels, instances)),
            "target": to_tensor(crop.picture(read_image(scene.photo))),
        }


def _palette(classes: int) -> np.ndarray:
    """(classes, 3) colours, far from each other for neighbouring indices."""
    golden = 0.618034
    colours = [colorsys.hsv_to_rgb(index * golden % 1, 0.6 + 0.4 * (index % 2), 0.95) for index in range(classes)]
    return (np.array(colours) * 255).astype(np.uint8)
