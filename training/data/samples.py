"""What training reads: samples by number, cropped and mirrored as the papers do, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pocketgan.pictures import resize
from pocketgan.recipe.choices import Fit


class Samples(Protocol):
    """Training data: `sample(i, random)` gives the tensors of one item, augmented."""

    def __len__(self) -> int: ...

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]: ...


class Pictures(Samples, Protocol):
    """Samples that can be looked at whole.

    `whole(i)` gives `input` and `target` as float tensors without augmentation, `view(input)` an input as (h, w, 3)
    uint8 pixels. `paired` says whether the target is what the input should become.
    """

    paired: bool

    def whole(self, index: int) -> dict[str, Tensor]: ...

    def view(self, tensor: Tensor) -> np.ndarray: ...


@dataclass(frozen=True)
class Crop:
    """Resize to (tall, wide), then cut `size` = (height, width) out at (top, left), then mirror."""

    size: tuple[int, int]
    tall: int
    wide: int
    top: int = 0
    left: int = 0
    mirror: bool = False

    @classmethod
    def draw(
        cls,
        size: tuple[int, int],
        load_scale: float,
        flip: bool,
        random: np.random.Generator,
        part: tuple[int, int] | None = None,
        source: tuple[int, int] | None = None,
    ) -> Crop:
        """A random crop of the image resized to `load_scale` times the size (pix2pix: 286 / 256); half are mirrored.

        Args:
            part: (height, width) of the crop; `size` where None.
            source: (height, width) of an image that keeps its proportions: it is resized until it covers that many
                pixels, and stretched to them where None.
        """
        tall, wide = _covering((round(size[0] * load_scale), round(size[1] * load_scale)), source)
        height, width = part or size
        top, left = int(random.integers(0, tall - height + 1)), int(random.integers(0, wide - width + 1))
        mirror = flip and bool(random.integers(0, 2))
        return cls((height, width), tall, wide, top=top, left=left, mirror=mirror)

    @classmethod
    def whole(cls, size: tuple[int, int], source: tuple[int, int] | None = None) -> Crop:
        """The whole image, or the centre of one of the size `source` that keeps its proportions."""
        tall, wide = _covering(size, source)
        return cls(size, tall, wide, top=(tall - size[0]) // 2, left=(wide - size[1]) // 2)

    def picture(self, pixels: np.ndarray) -> np.ndarray:
        """(h, w, 3) uint8 -> (height, width, 3), resized smoothly."""
        return self._cut(resize(pixels, self.tall, self.wide))

    def labels(self, indices: np.ndarray) -> np.ndarray:
        """(h, w) whole numbers -> (height, width), each taken from the nearest pixel."""
        if indices.shape != (self.tall, self.wide):
            image = Image.fromarray(indices.astype(np.int32))
            indices = np.asarray(image.resize((self.wide, self.tall), Image.Resampling.NEAREST))
        return self._cut(indices)

    def _cut(self, array: np.ndarray) -> np.ndarray:
        height, width = self.size
        part = array[self.top : self.top + height, self.left : self.left + width]
        return part[:, ::-1] if self.mirror else part


class Framing(TypedDict, total=False):
    """How images become tensors of one size.

    Attributes:
        load_scale: images are resized to the size times this (1) and cropped at random (pix2pix: 286 / 256).
        flip: mirror half of them (False).
        part: (height, width) of the random crops; the size where None (None).
        fit: `crop` keeps the images' proportions and cuts, `stretch` gives them those of the size (`stretch`).
    """

    load_scale: float
    flip: bool
    part: tuple[int, int] | None
    fit: Fit


class Framer:
    """Frames images to `size` = (height, width) as a Framing says; images that belong together share a Crop."""

    def __init__(self, size: tuple[int, int], framing: Framing) -> None:
        self._size, self._framing = size, framing

    def random(self, pixels: np.ndarray, random: np.random.Generator) -> Crop:
        """A random part of an image, perhaps mirrored, for training."""
        load_scale, flip = self._framing.get("load_scale", 1.0), self._framing.get("flip", False)
        return Crop.draw(self._size, load_scale, flip, random, self._framing.get("part"), self._source(pixels))

    def whole(self, pixels: np.ndarray) -> Crop:
        """The whole image (its centre, where the fit cuts), for validation."""
        return Crop.whole(self._size, self._source(pixels))

    def _source(self, pixels: np.ndarray) -> tuple[int, int] | None:
        """(height, width) of an image that keeps its proportions, None of one that is stretched."""
        return (pixels.shape[0], pixels.shape[1]) if self._framing.get("fit") == "crop" else None


def _covering(size: tuple[int, int], source: tuple[int, int] | None) -> tuple[int, int]:
    """(height, width) of `source` in its own proportions, as small as covers `size`; `size` itself where None."""
    if source is None:
        return size
    scale = max(size[0] / source[0], size[1] / source[1])
    return max(size[0], round(source[0] * scale)), max(size[1], round(source[1] * scale))


def batch(samples: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Stack samples into (n, ...) tensors, one a name, of the samples that have it."""
    names = dict.fromkeys(name for sample in samples for name in sample)
    return {name: torch.stack([sample[name] for sample in samples if name in sample]) for name in names}
