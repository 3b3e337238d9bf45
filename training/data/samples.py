"""What training reads: samples by number, cropped and mirrored as the papers do, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pocketgan.pictures import resize


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
    ) -> Crop:
        """A random crop of the image resized to `load_scale` times the size (pix2pix: 286 / 256); half are mirrored.

        The crop is as large as `size`, or (height, width) = `part` where that is given.
        """
        tall, wide = round(size[0] * load_scale), round(size[1] * load_scale)
        height, width = part or size
        top, left = int(random.integers(0, tall - height + 1)), int(random.integers(0, wide - width + 1))
        mirror = flip and bool(random.integers(0, 2))
        return cls((height, width), tall, wide, top=top, left=left, mirror=mirror)

    @classmethod
    def whole(cls, size: tuple[int, int]) -> Crop:
        """The whole image."""
        return cls(size, *size)

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


def batch(samples: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Stack samples into (n, ...) tensors."""
    return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
