"""Classic image filters as the offline teacher: pairs without a diffusion editor, a network or a download."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pocketgan.errors import DataError, require

Pixels = np.ndarray


def apply(effect: str, pixels: Pixels) -> Pixels:
    """The effect of (h, w, 3) uint8 RGB, same shape; the same result every time.

    Raises:
        DataError: no effect has that name.
    """
    check_effect(effect)
    require("train", "cv2")
    return np.ascontiguousarray(EFFECTS[effect](np.ascontiguousarray(pixels)))


def check_effect(effect: str) -> None:
    """Raises DataError where no effect has that name."""
    if effect not in EFFECTS:
        raise DataError(f"no filter effect is called {effect!r}; there are {', '.join(EFFECTS)}")


def stylization(pixels: Pixels) -> Pixels:
    """Smooth areas between dark edges (Gastal & Oliveira 2011)."""
    import cv2

    return cv2.stylization(pixels, sigma_s=60, sigma_r=0.45)


def pencil(pixels: Pixels) -> Pixels:
    """A grey pencil sketch (Gastal & Oliveira 2011)."""
    import cv2

    grey, _ = cv2.pencilSketch(pixels, sigma_s=40, sigma_r=0.07, shade_factor=0.05)
    return np.repeat(grey[..., None], 3, axis=2)


def colour_pencil(pixels: Pixels) -> Pixels:
    """A pencil sketch that keeps the colours."""
    import cv2

    return cv2.pencilSketch(pixels, sigma_s=40, sigma_r=0.07, shade_factor=0.05)[1]


def detail(pixels: Pixels) -> Pixels:
    """Local contrast raised (Gastal & Oliveira 2011)."""
    import cv2

    return cv2.detailEnhance(pixels, sigma_s=20, sigma_r=0.3)


EFFECTS: dict[str, Callable[[Pixels], Pixels]] = {
    "stylization": stylization,
    "pencil": pencil,
    "colour-pencil": colour_pencil,
    "detail": detail,
}
