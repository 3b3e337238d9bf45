"""Paired folders: side-by-side images, or two folders with equal names.

Layouts of DIR, for the splits train and val:
    DIR/train/*.png                 side by side, left half A, right half B
    DIR/train/A/*.png, .../B/*      two folders with equal names
    DIR/A/train/*.png, DIR/B/...    the same, the other way round
    DIR/A/*.png, DIR/B/*.png        no splits: every tenth pair is for validation
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np
from torch import Tensor

from pocketgan.errors import DataError
from pocketgan.picture_files import holds_instead, list_images
from pocketgan.pictures import read_image
from pocketgan.recipe.choices import Direction
from pocketgan.training.data.folders import (
    SPLITS,
    check_equal_sizes,
    check_halves,
    check_readable,
    check_root,
    hold_out,
    holds_images,
    match,
)
from pocketgan.training.data.images import to_pixels, to_tensor
from pocketgan.training.data.samples import Crop, Framer, Framing


@dataclass(frozen=True)
class Pair:
    """An input and its target: two files, or one file (`b` is None) that holds A left and B right."""

    a: Path
    b: Path | None = None

    def files(self) -> tuple[Path, ...]:
        return (self.a,) if self.b is None else (self.a, self.b)


def find_pairs(root: Path) -> dict[str, list[Pair]]:
    """All pairs of a data folder by split, each decoded once so that training cannot stumble over it.

    Raises:
        DataError: the folder is missing, empty or in no known layout, or images are unpaired, unreadable, of another
            size than their partners, or cannot be halved; names some of them and says how many there are.
    """
    check_root(root)
    if all(holds_images(root / side) for side in "AB"):
        splits = hold_out([Pair(*files) for files in match((root / "A", root / "B"))])
    else:
        splits = {split: split_pairs(root, split) for split in SPLITS}
    for split in SPLITS:
        if not splits[split]:
            raise DataError(
                f"{root} holds no images for {split}: expected {split}/ with side-by-side images, "
                f"or A/ and B/ with equal names{holds_instead(root)}"
            )
    pairs = [pair for split in SPLITS for pair in splits[split]]
    sizes = check_readable([path for pair in pairs for path in pair.files()])
    check_halves([pair.a for pair in pairs if pair.b is None], sizes)
    check_equal_sizes([pair.files() for pair in pairs], sizes)
    return splits


def split_pairs(root: Path, split: str) -> list[Pair]:
    """The pairs of one split, in a folder that has splits; empty where there are none, and no file is decoded.

    Raises:
        DataError: images are unpaired.
    """
    for sides in ((root / split / "A", root / split / "B"), (root / "A" / split, root / "B" / split)):
        if any(side.is_dir() for side in sides):
            return [Pair(*files) for files in match(sides)]
    folder = root / split
    return [Pair(path) for path in list_images(folder)] if folder.is_dir() else []


class PairedImages:
    """Input and target tensors of pairs.

    Args:
        pairs: where the images are.
        direction: AtoB maps A (left) to B (right).
        size: (height, width) of the tensors.
        framing: how the images become such tensors.
    """

    paired = True

    def __init__(
        self,
        pairs: Sequence[Pair],
        direction: Direction,
        size: tuple[int, int],
        **framing: Unpack[Framing],
    ) -> None:
        self.pairs = pairs
        self.direction = direction
        self._framer = Framer(size, framing)

    def __len__(self) -> int:
        return len(self.pairs)

    def pixels(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(h, w, 3) uint8 input and target, as the files hold them."""
        pair = self.pairs[index]
        a = read_image(pair.a)
        if pair.b is None:
            half = a.shape[1] // 2
            a, b = a[:, :half], a[:, half:]
        else:
            b = read_image(pair.b)
        return (a, b) if self.direction == "AtoB" else (b, a)

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        """`input` and `target`, each (3, height, width), cropped and mirrored alike."""
        a, b = self.pixels(index)
        return _tensors(a, b, self._framer.random(a, random))

    def whole(self, index: int) -> dict[str, Tensor]:
        """`input` and `target` of the whole image (its centre, where `fit` cuts) at `size`, for validation."""
        a, b = self.pixels(index)
        return _tensors(a, b, self._framer.whole(a))

    def view(self, tensor: Tensor) -> np.ndarray:
        """(3, h, w) input -> (h, w, 3) uint8."""
        return to_pixels(tensor)


def _tensors(a: np.ndarray, b: np.ndarray, crop: Crop) -> dict[str, Tensor]:
    return {"input": to_tensor(crop.picture(a)), "target": to_tensor(crop.picture(b))}
