"""What several effects are drawn with, on float32 pictures in [0, 1], (h, w, 3) or (h, w).

Lengths are in pixels; effects take them as shares of the picture's short side. Sums, products and square roots alone,
and blurs in whole numbers: they come out the same on every processor, with any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Light = np.ndarray
Colour = tuple[int, int, int]

WHITE = np.ones(3, np.float32)
_WHOLE = 65535
# Above this standard deviation in pixels, three box blurs are as good as a Gaussian and take no longer when it grows.
_BOXES_FROM = 6.0
# In pixels: a neighbourhood that is twice as large or more is looked at in a smaller picture.
_LEAST_RADIUS = 8.0


def light(pixels: np.ndarray) -> Light:
    """(h, w, 3) uint8 -> float32 in [0, 1]."""
    return pixels.astype(np.float32) / np.float32(255)


def pixels_of(picture: Light) -> np.ndarray:
    """float32 -> uint8, clipped to [0, 1]."""
    return np.rint(np.clip(picture, 0, 1) * np.float32(255)).astype(np.uint8)


def colour(value: Colour) -> np.ndarray:
    """Levels of 0 to 255 as float32 in [0, 1]."""
    return np.asarray(value, np.float32) / np.float32(255)


def grey(picture: Light) -> Light:
    """(h, w, 3) -> (h, w): Rec. 601 luma."""
    return weighted(picture, (0.299, 0.587, 0.114))


def weighted(picture: Light, weights: Sequence[float]) -> Light:
    """(h, w, 3) -> (h, w): channels in these shares. No product of matrices, whose order of sums varies."""
    red, green, blue = (np.float32(weight) * picture[..., i] for i, weight in enumerate(weights))
    return red + green + blue


def blur(picture: Light, sigma: float) -> Light:
    """A Gaussian of that standard deviation, in 16-bit whole numbers; values are clipped to [0, 1].

    Wide ones are three box blurs (Kovesi, "Fast almost-Gaussian filtering", 2010).
    """
    import cv2

    if sigma < 0.2:
        return picture
    whole = np.rint(np.clip(picture, 0, 1) * np.float32(_WHOLE)).astype(np.uint16)
    if sigma < _BOXES_FROM:
        reach = int(np.ceil(3 * sigma))
        done = cv2.GaussianBlur(whole, (2 * reach + 1, 2 * reach + 1), sigma)
    else:
        done = whole
        for width in _boxes(sigma):
            done = cv2.blur(done, (width, width))
    return done.astype(np.float32) / np.float32(_WHOLE)


def _boxes(sigma: float) -> list[int]:
    """Odd widths of three box blurs whose variances add up to sigma^2 (Kovesi 2010, equations 3 to 5)."""
    ideal = (12 * sigma * sigma / 3 + 1) ** 0.5
    lower = int(ideal) - (int(ideal) % 2 == 0)
    narrow = round((12 * sigma * sigma - 3 * lower * lower - 12 * lower - 9) / (-4 * lower - 4))
    return [lower if i < narrow else lower + 2 for i in range(3)]


def mix(first: Light, second: Light, share: Light | float) -> Light:
    """`first` where the share is 0, `second` where it is 1; a share of (h, w) holds for all channels."""
    if isinstance(share, np.ndarray):
        return first + (second - first) * (share[..., None] if share.ndim < max(first.ndim, second.ndim) else share)
    return first + (second - first) * np.float32(share)


def step(values: Light, low: float, high: float) -> Light:
    """0 below `low`, 1 above `high`, smooth between (Hermite)."""
    part = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return part * part * (3 - 2 * part)


def contrast(values: Light, strength: float) -> Light:
    """An S-curve through 0, 1/2 and 1; strength 0 is none, 1 the Hermite curve."""
    values = np.clip(values, 0, 1)
    return mix(values, values * values * (3 - 2 * values), strength)


def saturate(picture: Light, factor: float) -> Light:
    """Distances from the grey of equal luma, times a factor; clipped."""
    base = grey(picture)[..., None]
    return np.clip(base + (picture - base) * np.float32(factor), 0, 1)


def ramp(values: Light, stops: Sequence[tuple[float, Colour]]) -> Light:
    """(h, w) -> (h, w, 3): straight lines between colours at rising places in [0, 1]."""
    places = [place for place, _ in stops]
    found = colour(stops[0][1]) + np.zeros((*values.shape, 3), np.float32)
    for (low, _), (high, value), (_, before) in zip(stops, stops[1:], stops, strict=False):
        share = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
        found += share[..., None] * (colour(value) - colour(before))
    assert places == sorted(places)
    return found


def in_tones(values: Light, count: int, softness: float) -> Light:
    """Soft quantisation to so many levels; `softness` is the share of a level in which it changes."""
    scaled = values * np.float32(count)
    base = np.floor(scaled)
    part = scaled - base
    return (base + step(part, 0.5 - softness / 2, 0.5 + softness / 2)) / np.float32(count)


def moved(picture: Light, down: int, right: int) -> Light:
    """Every pixel's neighbour that lies so many rows below and columns right of it; mirrored at the borders."""
    tall, wide = picture.shape[:2]
    rows, columns = mirrored(tall, down), mirrored(wide, right)
    return picture[rows][:, columns]


def mirrored(length: int, offset: int) -> np.ndarray:
    """Indices 0 to length - 1 moved by an offset, reflected at both ends."""
    if length == 1:
        return np.zeros(1, np.intp)
    period = 2 * length - 2
    places = np.abs(np.arange(length) + offset) % period
    return np.where(places < length, places, period - places)


def slopes(values: Light) -> tuple[Light, Light]:
    """(h, w) -> central differences down and right, in levels a pixel."""
    down = (moved(values, 1, 0) - moved(values, -1, 0)) / 2
    right = (moved(values, 0, 1) - moved(values, 0, -1)) / 2
    return down, right


def lines(values: Light, sigma: float, *, sharpness: float, edge: float, softness: float) -> Light:
    """(h, w) -> the share of paper, 0 to 1: dark along edges and in shadows.

    The extended difference of Gaussians (XDoG; Winnemöller, Kyprianidis & Olsen 2012): u = G + p (G - G'), paper above
    a threshold; here with a smooth step of the width `softness` below `edge` in place of the tanh.
    """
    narrow, wide = blur(values, sigma), blur(values, 1.6 * sigma)
    return step(narrow + np.float32(sharpness) * (narrow - wide), edge - softness, edge)


def edges(values: Light, sigma: float, *, gain: float, least: float = 0.0) -> Light:
    """(h, w) -> lines alone, 0 to 1, on the dark side of edges, whatever the brightness around (XDoG without tone)."""
    narrow, wide = blur(values, sigma), blur(values, 1.6 * sigma)
    return step((wide - narrow) * np.float32(gain), least, 1)


def flattened(picture: Light, radius: float, sharpness: int = 3) -> Light:
    """Smooth areas with sharp borders: the generalised Kuwahara filter.

    Every pixel takes the mean of those of eight neighbourhoods around it that vary least, weighted by
    1 / (e + variance)^q (Papari, Petkov & Campisi 2007; Kyprianidis, Kang & Döllner 2009).

    Args:
        radius: of the whole neighbourhood, in pixels.
        sharpness: q is 2 to this power.

    A large radius is drawn on a smaller picture and enlarged: what is lost is finer than an eighth of the radius.
    """
    factor = int(radius // _LEAST_RADIUS)
    if factor > 1:
        small = flattened(_shrunk(picture, factor), radius / factor, sharpness)
        return _enlarged(small, factor)[: picture.shape[0], : picture.shape[1]]
    sigma, distance = radius / 2.6, radius / 1.7
    mean = blur(picture, sigma)
    square = blur(picture * picture, sigma)
    spread = np.maximum(square - mean * mean, 0).sum(axis=2)
    total = np.zeros(mean.shape, np.float32)
    weights = np.zeros(mean.shape[:2], np.float32)
    for down, right in ((0, 1), (0.7, 0.7), (1, 0), (0.7, -0.7), (0, -1), (-0.7, -0.7), (-1, 0), (-0.7, 0.7)):
        rows, columns = round(down * distance), round(right * distance)
        weight = np.float32(1e-3) / (np.float32(1e-3) + moved(spread, rows, columns))
        for _ in range(sharpness):
            weight = weight * weight
        weight += np.float32(1e-20)
        total += weight[..., None] * moved(mean, rows, columns)
        weights += weight
    return total / weights[..., None]


def _shrunk(picture: Light, factor: int) -> Light:
    """Means of squares of `factor` pixels a side; the last ones are filled up with the border's pixels."""
    whole = np.rint(np.clip(picture, 0, 1) * np.float32(_WHOLE)).astype(np.uint32)
    tall, wide = (-length % factor for length in picture.shape[:2])
    whole = np.pad(whole, ((0, tall), (0, wide), (0, 0)), mode="edge")
    rows, columns, channels = whole.shape
    sums = whole.reshape(rows // factor, factor, columns // factor, factor, channels).sum(axis=(1, 3))
    return sums.astype(np.float32) / np.float32(_WHOLE * factor * factor)


def _enlarged(picture: Light, factor: int) -> Light:
    """`factor` times as many pixels a side, on straight lines between the old ones, in 16-bit whole numbers."""
    import cv2

    whole = np.rint(np.clip(picture, 0, 1) * np.float32(_WHOLE)).astype(np.uint16)
    tall, wide = picture.shape[:2]
    done = cv2.resize(whole, (wide * factor, tall * factor), interpolation=cv2.INTER_LINEAR_EXACT)
    return done.astype(np.float32) / np.float32(_WHOLE)


def relief(values: Light, sigma: float) -> Light:
    """(h, w) heights -> how bright a light from the top left makes them; 0.5 where flat, slopes in levels a `sigma`."""
    down, right = slopes(blur(values, sigma))
    return np.clip(np.float32(0.5) + (down + right) * np.float32(max(sigma, 1)), 0, 1)


def glow(picture: Light, sigma: float, strength: float) -> Light:
    """The picture with its own blur laid over it as light (screen)."""
    return 1 - (1 - picture) * (1 - np.float32(strength) * blur(picture, sigma))
