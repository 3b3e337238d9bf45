"""Photos that ship with installed packages, cut into crops: real images without a download."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from pocketgan.errors import DataError, MissingExtraError
from pocketgan.pictures import read_image, resize
from pocketgan.training.data.photos import PHOTOS, Photo

# Crops are scaled by 1 / 2 to 1.
WHOLE_SCALE = 0.75


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
    """Square crops of the photos, `train` and `val` of them, each (size, size, 3) uint8.

    Training and validation crops come from different photos, going round them. A crop covers the output size or up to
    twice of it, scaled down. As the photos are few, the colour channels of half of the training crops are exchanged.
    """
    result: dict[str, list[np.ndarray]] = {}
    for index, (split, count) in enumerate({"train": train, "val": val}.items()):
        random = np.random.default_rng([seed, index])
        photos = [_fit(load_photo(photo), size) for photo in PHOTOS if photo.split == split]
        result[split] = [_crop(photos[i % len(photos)], size, random) for i in range(count)]
        if split == "train":
            result[split] = [
                crop[..., random.permutation(3)] if random.random() < 0.5 else crop for crop in result[split]
            ]
    return result


def whole(size: int) -> list[np.ndarray]:
    """The validation photos, each (h, w, 3) uint8, as much smaller than they are as the crops of `crops` on average."""
    photos = []
    for photo in PHOTOS:
        if photo.split == "val":
            pixels = _fit(load_photo(photo), size)
            height, width = (round(side * WHOLE_SCALE) for side in pixels.shape[:2])
            photos.append(resize(pixels, height, width))
    return photos


def _fit(photo: np.ndarray, size: int) -> np.ndarray:
    """Enlarge a photo that cannot hold a crop."""
    height, width = photo.shape[:2]
    scale = max(1.0, size / min(height, width))
    return resize(photo, round(height * scale), round(width * scale))


def _crop(photo: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    side = int(random.integers(size, min(2 * size, *photo.shape[:2]) + 1))
    top = int(random.integers(0, photo.shape[0] - side + 1))
    left = int(random.integers(0, photo.shape[1] - side + 1))
    return resize(photo[top : top + side, left : left + side], size, size)
