"""How a picture of any size gets into a network and back: scaled, padded by reflection, and the same undone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pocketgan.pictures import resize

Size = tuple[int, int]


@dataclass(frozen=True)
class Fit:
    """The way of one picture; sizes are (height, width) in pixels.

    Attributes:
        original: of the picture, and of what comes out.
        scaled: of the picture inside the network's input, in its own proportions.
        padded: of the network's input; what `scaled` leaves free is filled by reflection, evenly on both sides.
    """

    original: Size
    scaled: Size
    padded: Size

    @classmethod
    def to_multiple(cls, size: Size, multiple: int, least: int, longest: float) -> Fit:
        """For a network that takes multiples of `multiple` from `least` on; no side of it longer than `longest`."""
        scale = min(1.0, longest / max(size))
        tall, wide = (max(1, round(side * scale)) for side in size)
        height, width = (max(least, math.ceil(side / multiple) * multiple) for side in (tall, wide))
        return cls(size, (tall, wide), (height, width))

    @classmethod
    def into(cls, size: Size, frame: Size) -> Fit:
        """For a network of one size: as large as fits into it, up or down."""
        scale = min(frame[0] / size[0], frame[1] / size[1])
        tall, wide = (min(most, max(1, round(side * scale))) for side, most in zip(size, frame, strict=True))
        return cls(size, (tall, wide), frame)

    @property
    def is_smaller(self) -> bool:
        """Whether the network sees fewer pixels than the picture has."""
        return self.scaled[0] < self.original[0] or self.scaled[1] < self.original[1]

    def enter(self, pixels: np.ndarray) -> np.ndarray:
        """(h, w, c) uint8 of the `original` size -> (height, width, c) of the `padded` one."""
        scaled = resize(pixels, *self.scaled)
        if self.scaled == self.padded:
            return scaled
        margins = [(before, after - side - before) for before, after, side in self._margins()]
        return np.pad(scaled, [*margins, (0, 0)], mode="reflect")

    def leave(self, pixels: np.ndarray) -> np.ndarray:
        """What the network made, (h, w, c) uint8, of whatever size -> (height, width, c) of the `original` size."""
        sides = [
            slice(round(before * made / after), round((before + side) * made / after))
            for (before, after, side), made in zip(self._margins(), pixels.shape[:2], strict=True)
        ]
        return resize(pixels[sides[0], sides[1]], *self.original)

    def _margins(self) -> list[tuple[int, int, int]]:
        """For each side: pixels before the picture, of the whole, and of the picture."""
        return [((after - side) // 2, after, side) for side, after in zip(self.scaled, self.padded, strict=True)]
