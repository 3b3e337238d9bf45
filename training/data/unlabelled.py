"""Photos alone, for a teacher that is trained already: what they should become, it says.

Layouts of DIR, where a split that is called test serves for validation:
    DIR/train/*.jpg, DIR/val/*.jpg
    DIR/*.jpg                       no splits: every tenth photo is for validation
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from pocketgan.errors import DataError
from pocketgan.picture_files import holds_instead, list_images
from pocketgan.pictures import read_image
from pocketgan.recipe.choices import Fit
from pocketgan.training.data.folders import SPLITS, check_readable, check_root, hold_out, holds_images
from pocketgan.training.data.images import to_pixels, to_tensor
from pocketgan.training.data.samples import Crop, kept_proportions

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
        load_scale: images are resized to `size` times this and cropped at random.
        flip: mirror half of the photos.
        part: (height, width) of the crops that `sample` gives; `size` where None.
        fit: `crop` keeps the photos' proportions and cuts, where `stretch` gives them those of `size`.
    """

    paired = False

    def __init__(
        self,
        photos: Sequence[Path],
        size: tuple[int, int],
        load_scale: float = 1.0,
        flip: bool = False,
        part: tuple[int, int] | None = None,
        fit: Fit = "stretch",
    ) -> None:
        self.photos = photos
        self.size = size
        self.load_scale = load_scale
        self.flip = flip
        self.part = part
        self.fit = fit

    def __len__(self) -> int:
        return len(self.photos)

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        """`input`, (3, height, width), cropped and mirrored."""
        pixels = read_image(self.photos[index])
        source = kept_proportions(self.fit, pixels)
        crop = Crop.draw(self.size, self.load_scale, self.flip, random, self.part, source)
        return {"input": to_tensor(crop.picture(pixels))}

    def whole(self, index: int) -> dict[str, Tensor]:
        """`input` of the whole photo at `size` (its centre, where `fit` cuts)."""
        pixels = read_image(self.photos[index])
        return {"input": to_tensor(Crop.whole(self.size, kept_proportions(self.fit, pixels)).picture(pixels))}

    def view(self, tensor: Tensor) -> np.ndarray:
        """(3, h, w) input -> (h, w, 3) uint8."""
        return to_pixels(tensor)
