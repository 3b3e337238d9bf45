"""Image filters as the offline teacher: pairs without a diffusion editor, a network or a download.

What each effect is drawn with stands in `drawing`, `painting` and `grading`; OpenCV's own, and `ink`, stand here.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pocketgan.errors import DataError, require
from pocketgan.training.teachers import brushes, drawing, grading, painting

Pixels = np.ndarray


@dataclass(frozen=True)
class Effect:
    """An effect that has a name.

    Attributes:
        draw: (h, w, 3) uint8 RGB -> the same; the same result every time.
        text: what one would say to an editor to get it: the prompt of a base that takes texts.
        reach: how far away pixels lie that a pixel depends on, as a share of the picture's short side; 0 where its own
            colour alone decides; None where the effect counts in pixels, or sees the whole picture.
        version: raised when what it draws changes.
    """

    draw: Callable[[Pixels], Pixels]
    text: str
    reach: float | None
    version: int = 1


def apply(effect: str, pixels: Pixels) -> Pixels:
    """The effect of (h, w, 3) uint8 RGB, same shape; the same result every time.

    Raises:
        DataError: no effect has that name.
    """
    check_effect(effect)
    require("train", "cv2")
    return np.ascontiguousarray(EFFECTS[effect].draw(np.ascontiguousarray(pixels)))


def check_effect(effect: str) -> None:
    """Raises DataError where no effect has that name."""
    if effect not in EFFECTS:
        near = difflib.get_close_matches(effect, EFFECTS, n=2, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}? There" if near else "there"
        raise DataError(f"no filter effect is called {effect!r}; {hint} are {', '.join(EFFECTS)}")


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


def _sized(draw: Callable[[brushes.Light, int], brushes.Light]) -> Callable[[Pixels], Pixels]:
    """An effect whose lengths are shares of the picture's short side, on uint8."""

    def sized(pixels: Pixels) -> Pixels:
        return brushes.pixels_of(draw(brushes.light(pixels), min(pixels.shape[:2])))

    return sized


EFFECTS: dict[str, Effect] = {
    "stylization": Effect(stylization, "make it a stylized picture with smooth areas", None),
    "pencil": Effect(pencil, "make it a pencil sketch", None),
    "colour-pencil": Effect(colour_pencil, "make it a coloured pencil drawing", None),
    "detail": Effect(detail, "bring out every detail", None),
    "ink": Effect(ink, "make it a brush drawing in black ink", None),
    "comic": Effect(_sized(drawing.comic), "make it a comic book picture with black outlines", 0.07),
    "charcoal": Effect(_sized(drawing.charcoal), "make it a charcoal drawing", 0.14),
    "blueprint": Effect(_sized(drawing.blueprint), "make it a blueprint", 0.06),
    "chalkboard": Effect(_sized(drawing.chalkboard), "draw it with chalk on a blackboard", 0.06),
    "emboss": Effect(_sized(drawing.emboss), "carve it into grey stone", 0.07),
    "bronze": Effect(_sized(drawing.bronze), "make it a bronze relief", 0.08),
    "watercolour": Effect(_sized(painting.watercolour), "make it a watercolour painting", 0.08),
    "oil": Effect(_sized(painting.oil), "make it an oil painting", 0.07),
    "stained-glass": Effect(_sized(painting.stained_glass), "make it a stained glass window", 0.14),
    "pop-art": Effect(_sized(painting.pop_art), "make it a pop art screen print", 0.07),
    "pixel-art": Effect(_sized(painting.pixel_art), "make it pixel art", 0.03),
    "sepia": Effect(_sized(grading.sepia), "make it an old sepia photograph", 0),
    "noir": Effect(_sized(grading.noir), "make it a black and white film noir scene", 0.08),
    "vintage": Effect(_sized(grading.vintage), "make it a faded photograph of the seventies", 0.1),
    "autumn": Effect(_sized(grading.autumn), "make it autumn", 0),
    "winter": Effect(_sized(grading.winter), "make it winter, with snow", 0.06),
    "night": Effect(_sized(grading.night), "make it night", 0.22),
    "sunset": Effect(_sized(grading.sunset), "make it sunset", 0.12),
    "cyberpunk": Effect(_sized(grading.cyberpunk), "make it cyberpunk, with magenta and cyan light", 0.12),
    "thermal": Effect(_sized(grading.thermal), "make it a thermal camera picture", 0.03),
    "underwater": Effect(_sized(grading.underwater), "put it under water", 0.14),
    "neon": Effect(_sized(grading.neon), "make it glowing neon tubes in the dark", 0.14),
}
