"""Photos alone, for a teacher that is trained already: what they should become, it says.

Layouts of DIR, where a split that is called test serves for validation:
    DIR/train/*.jpg, DIR/val/*.jpg
    DIR/*.jpg                       no splits: every tenth photo is for validation
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import numpy as np
from torch import Tensor

from pocketgan.errors import DataError
from pocketgan.picture_files import holds_instead, list_images
from pocketgan.pictures import read_image
from pocketgan.training.data.folders import SPLITS, check_readable, check_root, hold_out, holds_images
from pocketgan.training.data.images import to_pixels, to_tensor
from pocketgan.training.data.samples import Framer, Framing

_NAMES = {"train": ("train",), "val": ("val", "test")}


def find_photos(root: Path) -> dict[str, list[Path]]:
    """All photos of a data folder by split, each decoded once so that training cannot stumble over it.

    Raises:
        DataError: the folder is missing, holds too few photos, or some of them are unreadable.
    """
    check_root(root)
    splits = hold_out(list_images(root)) if holds_images(root) else {split: _split(root, split) for split in SPLITS}
    for split in SPLITS:
        if not splits[split]:
            raise DataError(
                f"{root} holds no photos for {split}: expected {split}/ with photos, or two photos and more in the "
                f"folder itself{holds_instead(root)}"
            )
    check_readable([path for split in SPLITS for path in splits[split]])
    return splits


def _split(root: Path, split: str) -> list[Path]:
    folders = (root / name for name in _NAMES[split])
    return next((list_images(folder) for folder in folders if holds_images(folder)), [])


class UnlabelledImages:
    """Input tensors of photos.

    Args:
        photos: where the images are.
        size: (height, width) of the tensors.
        framing: how the images become such tensors.
    """

    paired = False

    def __init__(
        self,
        photos: Sequence[Path],
        size: tuple[int, int],
        **framing: Unpack[Framing],
    ) -> None:
        self.photos = photos
        self._framer = Framer(size, framing)

    def __len__(self) -> int:
        return len(self.photos)

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        """`input`, (3, height, width), cropped and mirrored."""
        pixels = read_image(self.photos[index])
        return {"input": to_tensor(self._framer.random(pixels, random).picture(pixels))}

    def whole(self, index: int) -> dict[str, Tensor]:
        """`input` of the whole photo at `size` (its centre, where `fit` cuts)."""
        pixels = read_image(self.photos[index])
        return {"input": to_tensor(self._framer.whole(pixels).picture(pixels))}

    def view(self, tensor: Tensor) -> np.ndarray:
        """(3, h, w) input -> (h, w, 3) uint8."""
        return to_pixels(tensor)
