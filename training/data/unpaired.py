"""Unpaired folders: two domains, any number of images each (CycleGAN, Zhu et al. 2017).

Layouts of DIR; where a split is called test, it serves for validation:
    DIR/trainA, trainB, valA, valB  CycleGAN's data sets
    DIR/train/A, DIR/train/B ...    the same in folders, or DIR/A/train, DIR/B/train ...
    DIR/A, DIR/B                    no splits: every tenth image of each is for validation
    DIR/train/*.png                 side by side: left halves are A, right halves B; which belong together is not used
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Unpack

import numpy as np
from torch import Tensor

from pocketgan.errors import DataError
from pocketgan.picture_files import holds_instead, list_images
from pocketgan.pictures import read_image
from pocketgan.recipe.choices import Direction
from pocketgan.training.data.folders import (
    SPLITS,
    check_halves,
    check_readable,
    check_root,
    hold_out,
    holds_images,
)
from pocketgan.training.data.images import to_pixels, to_tensor
from pocketgan.training.data.samples import Framer, Framing

SIDES = ("A", "B")
_NAMES = {"train": ("train",), "val": ("val", "test")}


@dataclass(frozen=True)
class Image:
    """An image of a domain: a file, or one half of a file."""

    path: Path
    half: Literal["", "left", "right"] = ""

    def pixels(self) -> np.ndarray:
        """(h, w, 3) uint8."""
        whole = read_image(self.path)
        middle = whole.shape[1] // 2
        return {"": whole, "left": whole[:, :middle], "right": whole[:, middle:]}[self.half]


Domains = Mapping[str, Sequence[Image]]


def find_domains(root: Path) -> dict[str, dict[str, list[Image]]]:
    """Images by split and domain, each decoded once so that training cannot stumble over it.

    Raises:
        DataError: the folder is missing, a domain has no images, or some of them are unreadable.
    """
    check_root(root)
    if all(holds_images(root / side) for side in SIDES):
        held = {side: hold_out([Image(path) for path in list_images(root / side)]) for side in SIDES}
        splits = {split: {side: held[side][split] for side in SIDES} for split in SPLITS}
    else:
        splits = {split: _split(root, split) for split in SPLITS}
    for split, domains in splits.items():
        for side in SIDES:
            if not domains[side]:
                raise DataError(
                    f"{root} holds no images of {side} for {split}: expected {split}{side}/, {split}/{side}/, "
                    f"{side}/{split}/, or {side}/ alone{holds_instead(root)}"
                )
    images = [image for domains in splits.values() for side in SIDES for image in domains[side]]
    sizes = check_readable(sorted({image.path for image in images}))
    check_halves(sorted({image.path for image in images if image.half}), sizes)
    return splits


_LAYOUTS = ("{split}{side}", "{split}/{side}", "{side}/{split}")


def _split(root: Path, split: str) -> dict[str, list[Image]]:
    for name in _NAMES[split]:
        for layout in _LAYOUTS:
            folders = {side: root / layout.format(split=name, side=side) for side in SIDES}
            if any(holds_images(folder) for folder in folders.values()):
                return {side: [Image(path) for path in _images(folder)] for side, folder in folders.items()}
        together = _images(root / name)
        if together:
            return {"A": [Image(path, "left") for path in together], "B": [Image(path, "right") for path in together]}
    return {side: [] for side in SIDES}


def _images(folder: Path) -> list[Path]:
    return list_images(folder) if folder.is_dir() else []


class UnpairedImages:
    """Tensors of one image of each domain; the second is drawn at random.

    Args:
        domains: the images of A and B.
        direction: AtoB maps A to B.
        size: (height, width) of the tensors.
        framing: how the images become such tensors.
    """

    paired = False

    def __init__(
        self,
        domains: Domains,
        direction: Direction,
        size: tuple[int, int],
        **framing: Unpack[Framing],
    ) -> None:
        first, second = SIDES if direction == "AtoB" else reversed(SIDES)
        self.inputs, self.targets = domains[first], domains[second]
        self._framer = Framer(size, framing)

    def __len__(self) -> int:
        """An epoch shows every image of the larger domain."""
        return max(len(self.inputs), len(self.targets))

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        """`input` of the first domain and `target` of the second, each (3, height, width); they are unrelated."""
        other = int(random.integers(0, len(self.targets)))
        chosen = {"input": self.inputs[index % len(self.inputs)], "target": self.targets[other]}
        tensors = {}
        for name, image in chosen.items():
            pixels = image.pixels()
            tensors[name] = to_tensor(self._framer.random(pixels, random).picture(pixels))
        return tensors

    def whole(self, index: int) -> dict[str, Tensor]:
        """`input` and some `target`, whole (their centres, where `fit` cuts), for validation."""
        chosen = {"input": self.inputs[index % len(self.inputs)], "target": self.targets[index % len(self.targets)]}
        pictures = {name: image.pixels() for name, image in chosen.items()}
        return {name: to_tensor(self._framer.whole(pixels).picture(pixels)) for name, pixels in pictures.items()}

    def view(self, tensor: Tensor) -> np.ndarray:
        """(3, h, w) input -> (h, w, 3) uint8."""
        return to_pixels(tensor)
