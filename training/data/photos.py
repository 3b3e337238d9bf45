"""Which photos ship with installed packages, by split; without torch, as every run asks whether they are the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Photo:
    """A photo inside an installed package, with its terms, and the split that its crops belong to."""

    package: str
    path: str
    licence: str
    credit: str
    split: Literal["train", "val"] = "train"


PHOTOS = (
    Photo("skimage", "data/coffee.png", "CC0", "Rachel Michetti"),
    Photo("skimage", "data/rocket.jpg", "public domain", "SpaceX"),
    Photo("skimage", "data/camera.png", "CC0", "Lav Varshney"),
    Photo("sklearn", "datasets/images/china.jpg", "CC BY 2.0", "danielbuechele"),
    Photo("sklearn", "datasets/images/flower.jpg", "CC BY 2.0", "vultilion"),
    Photo("skimage", "data/astronaut.png", "public domain", "NASA", "val"),
    Photo("skimage", "data/chelsea.png", "CC0", "Stefan van der Walt", "val"),
)
