"""Photos that ship with installed packages, cut into crops: real images without a download."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketgan.errors import DataError, MissingExtraError
from pocketgan.training.data.images import read_image, resize


@dataclass(frozen=True)
class Photo:
    """A photo inside an installed package, with its terms."""

    package: str
    path: str
    licence: str
    credit: str


PHOTOS = (
    Photo("skimage", "data/astronaut.png", "public domain", "NASA"),
    Photo("skimage", "data/chelsea.png", "CC0", "Stefan van der Walt"),
    Photo("skimage", "data/coffee.png", "CC0", "Rachel Michetti"),
    Photo("skimage", "data/rocket.jpg", "public domain", "SpaceX"),
    Photo("sklearn", "datasets/images/china.jpg", "CC BY 2.0", "danielbuechele"),
    Photo("sklearn", "datasets/images/flower.jpg", "CC BY 2.0", "vultilion"),
)
VALIDATION_SHARE = 0.25


def load_photo(photo: Photo) -> np.ndarray:
    """(h, w, 3) uint8.

    Raises:
        MissingExtraError: the package is not installed.
        DataError: the package no longer holds the photo.
    """
    found = importlib.util.find_spec(photo.package)
    if found is None or found.origin is None:
        raise MissingExtraError(photo.package, "train")
    path = Path(found.origin).parent / photo.path
    if not path.is_file():
        raise DataError(
            f"the installed {photo.package} does not hold {photo.path}; install the version in constraints.txt"
        )
    return read_image(path)


def crops(size: int, train: int, val: int, seed: int) -> dict[str, list[np.ndarray]]:
    """Square crops of all photos, `train` and `val` of them, each (size, size, 3) uint8.

    Every photo is cut in two along its longer side: training crops come from one part, validation crops from the
    other, so that no pixel is in both. A crop covers the output size or up to twice of it, scaled down.
    """
    photos = [_fit(load_photo(photo), size) for photo in PHOTOS]
    counts = {"train": train, "val": val}
    result: dict[str, list[np.ndarray]] = {}
    for index, (split, count) in enumerate(counts.items()):
        random = np.random.default_rng([seed, index])
        parts = [_part(photo, split, size) for photo in photos]
        result[split] = [_crop(parts[i % len(parts)], size, random) for i in range(count)]
    return result


def _fit(photo: np.ndarray, size: int) -> np.ndarray:
    """Enlarge a photo that cannot hold a crop of each split."""
    height, width = photo.shape[:2]
    scale = max(1.0, 2 * size / max(height, width), size / min(height, width))
    return resize(photo, round(height * scale), round(width * scale))


def _part(photo: np.ndarray, split: str, size: int) -> np.ndarray:
    axis = 0 if photo.shape[0] > photo.shape[1] else 1
    length = photo.shape[axis]
    cut = length - max(size, round(length * VALIDATION_SHARE))
    keep = slice(0, cut) if split == "train" else slice(cut, length)
    return photo[keep] if axis == 0 else photo[:, keep]


def _crop(part: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    side = int(random.integers(size, min(2 * size, *part.shape[:2]) + 1))
    top = int(random.integers(0, part.shape[0] - side + 1))
    left = int(random.integers(0, part.shape[1] - side + 1))
    return resize(part[top : top + side, left : left + side], size, size)
