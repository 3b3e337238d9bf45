"""Inputs alone, whose targets are not there or are never read: what semi-supervised programs learn from beside pairs.

An input is what the generator takes: of pairs a picture (a file, or its half of a side-by-side file), of label maps a
map of class indices, with its instance map where instances are used. Photos without label maps are no inputs there.

Layouts of a folder of them:
    DIR/*.png                pictures, or label maps where instances are not used
    DIR/label, DIR/instance  label maps and their instance maps, of equal names
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Unpack

import numpy as np
import torch
from torch import Tensor

from pocketgan.errors import DataError
from pocketgan.picture_files import holds_instead, list_images
from pocketgan.pictures import read_image, read_indices
from pocketgan.training.data.folders import Size, check_equal_sizes, check_readable, holds_images, match, some, text
from pocketgan.training.data.images import to_tensor
from pocketgan.training.data.labels import INSTANCE, LabelFormat, LabelMaps, check_maps
from pocketgan.training.data.paired import PairedImages
from pocketgan.training.data.samples import Framer, Framing, Pictures
from pocketgan.training.data.unlabelled import UnlabelledImages
from pocketgan.training.data.unpaired import UnpairedImages

# How far proportions may lie outside those of the data set's own inputs.
TOLERANCE = 0.05


@dataclass(frozen=True)
class Input:
    """A picture (`half` of a file, or the whole of it), or a label map with its instance map if that is used."""

    path: Path
    half: Literal["", "left", "right"] = ""
    instance: Path | None = None

    def files(self) -> tuple[Path, ...]:
        return (self.path, *([self.instance] if self.instance else []))

    def pixels(self) -> np.ndarray:
        """(h, w, 3) uint8 of a picture."""
        whole = read_image(self.path)
        middle = whole.shape[1] // 2
        return {"": whole, "left": whole[:, :middle], "right": whole[:, middle:]}[self.half]


def inputs_of(pictures: Pictures) -> list[Input]:
    """The inputs of a data set, without what they should become."""
    if isinstance(pictures, LabelMaps):
        return [Input(scene.label, instance=scene.instance) for scene in pictures.scenes]
    if isinstance(pictures, UnpairedImages):
        return [Input(image.path, image.half) for image in pictures.inputs]
    if isinstance(pictures, UnlabelledImages):
        return [Input(photo) for photo in pictures.photos]
    assert isinstance(pictures, PairedImages)
    first = pictures.direction == "AtoB"
    return [
        Input(pair.a, "left" if first else "right") if pair.b is None else Input(pair.a if first else pair.b)
        for pair in pictures.pairs
    ]


def find_inputs(root: Path, form: LabelFormat | None) -> list[Input]:
    """The inputs of a folder, each looked at once.

    Args:
        form: of label maps; None for pictures.
    Raises:
        DataError: there is no such folder, it holds no inputs, or some of them cannot be used.
    """
    if not root.is_dir():
        raise DataError(f"there is no folder {root}")
    if form is None:
        inputs = [Input(path) for path in list_images(root)]
        check_readable([one.path for one in inputs])
    else:
        inputs = _find_maps(root, form)
    if not inputs:
        expected = "pictures in the folder itself" if form is None else "label maps in the folder itself, or in label/"
        raise DataError(f"{root} holds no inputs: expected {expected}{holds_instead(root)}")
    return inputs


def _find_maps(root: Path, form: LabelFormat) -> list[Input]:
    if form.instance:
        inputs = [Input(label, instance=instance) for label, instance in match([root / "label", root / INSTANCE])]
    else:
        inputs = [Input(path) for path in list_images(root / "label" if holds_images(root / "label") else root)]
    sizes = check_maps([one.path for one in inputs], [one.instance for one in inputs if one.instance], form)
    check_equal_sizes([one.files() for one in inputs], sizes, "label map")
    return inputs


@dataclass(frozen=True)
class Seen:
    """What an input shows: a digest of its pixels or indices, whatever file they are in, and (width, height)."""

    digest: str
    size: Size


def look_at_inputs(inputs: Sequence[Input], form: LabelFormat | None) -> list[Seen]:
    """Each decoded once."""

    def one(it: Input) -> Seen:
        arrays = [it.pixels()] if form is None else [read_indices(path).astype(np.int32) for path in it.files()]
        digest = hashlib.sha256()
        for array in arrays:
            digest.update(f"{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return Seen(digest.hexdigest(), (arrays[0].shape[1], arrays[0].shape[0]))

    with ThreadPoolExecutor() as pool:
        return [*pool.map(one, inputs)]


def check_proportions(inputs: Sequence[Input], seen: Sequence[Seen], own: Sequence[Seen]) -> None:
    """Raises DataError where inputs would be stretched otherwise than the data set's `own`."""
    narrowest, widest = (extreme(one.size[0] / one.size[1] for one in own) for extreme in (min, max))
    strange = [
        f"{it.path} ({text(one.size)})"
        for it, one in zip(inputs, seen, strict=True)
        if not narrowest * (1 - TOLERANCE) <= one.size[0] / one.size[1] <= widest * (1 + TOLERANCE)
    ]
    if strange:
        usual = f"such as {text(own[0].size)}"
        what = f"of other proportions than the data set's inputs, {usual}, and would be stretched otherwise"
        told = some(strange, f"image is {what}", f"images are {what}")
        raise DataError(f"{told}; only inputs belong there, cut alike; or choose data.fit: crop")


class Inputs:
    """Input tensors of pictures or label maps, called `unlabelled` in a batch.

    Args:
        inputs: where they are.
        form: how label maps become channels; None for pictures.
        size: (height, width) of the tensors.
        framing: how the images become such tensors.
    """

    def __init__(
        self, inputs: Sequence[Input], form: LabelFormat | None, size: tuple[int, int], **framing: Unpack[Framing]
    ) -> None:
        self.inputs = inputs
        self.form = form
        self._framer = Framer(size, framing)

    def __len__(self) -> int:
        return len(self.inputs)

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        """`unlabelled`: (3, height, width), of a label map (channels, height, width) uint8; cropped and mirrored."""
        one = self.inputs[index]
        if self.form is None:
            pixels = one.pixels()
            return {"unlabelled": to_tensor(self._framer.random(pixels, random).picture(pixels))}
        labels = read_indices(one.path)
        encoded = self.form.encode_cut(self._framer.random(labels, random), labels, one.instance)
        return {"unlabelled": torch.from_numpy(encoded)}
