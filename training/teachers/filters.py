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


# Of the ink effect; SIGMA in pixels, of the narrower blur: lines as broad as a small network learns in a minute.
SIGMA, SHARPNESS, EDGE, SLOPE, REACH = 2.5, 10.0, 0.27, 7.0, 14
PAPER, INK = (252, 249, 241), (24, 22, 28)


def ink(pixels: Pixels) -> Pixels:
    """A brush drawing in ink: the extended difference of Gaussians (XDoG; Winnemöller, Kyprianidis & Olsen 2012).

    The grey picture in [0, 1], blurred, is sharpened by p times its difference from a wider blur: u = G + p (G - G').
    Where u >= e there is white paper, elsewhere ink along the soft threshold 1 + tanh(f (u - e)); p, e and f are
    `SHARPNESS`, `EDGE` and `SLOPE`. A pixel depends on those within `REACH` pixels alone.
    """
    import cv2

    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    narrow, wide = (cv2.GaussianBlur(grey, (2 * REACH + 1,) * 2, sigma) for sigma in (SIGMA, 1.6 * SIGMA))
    sharp = narrow + SHARPNESS * (narrow - wide)
    tone = np.where(sharp >= EDGE, 1.0, 1.0 + np.tanh(SLOPE * (sharp - EDGE)))[..., None]
    return np.rint(np.asarray(INK) * (1 - tone) + np.asarray(PAPER) * tone).astype(np.uint8)


EFFECTS: dict[str, Callable[[Pixels], Pixels]] = {
    "stylization": stylization,
    "pencil": pencil,
    "colour-pencil": colour_pencil,
    "detail": detail,
    "ink": ink,
}
