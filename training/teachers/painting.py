"""Effects that are painted, printed or glazed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from pocketgan.training.teachers import brushes
from pocketgan.training.teachers.brushes import Light


def watercolour(picture: Light, side: int) -> Light:
    """Thin washes on white paper, darker where they dry: at their edges (Bousseau et al. 2006, section 4.2).

    A wash of density d takes the colour C to C - (C - C^2)(d - 1).
    """
    flat = brushes.flattened(brushes.flattened(picture, 0.010 * side), 0.020 * side)
    thin = brushes.saturate(1 - (1 - brushes.contrast(flat, 0.2)) * np.float32(0.74), 1.5)
    luma = brushes.grey(flat)
    thin = brushes.mix(thin, brushes.WHITE, 0.8 * brushes.step(luma, 0.66, 0.98))
    fine = brushes.edges(brushes.grey(brushes.flattened(picture, 0.006 * side)), 0.005 * side, gain=14, least=0.1)
    density = 1 + 0.9 * brushes.edges(luma, 0.006 * side, gain=16) + 0.7 * fine
    dried = thin - (thin - thin * thin) * (density - 1)[..., None]
    return np.clip(dried, 0, 1) * brushes.colour((255, 252, 246))


def oil(picture: Light, side: int) -> Light:
    """Thick paint: patches of one colour each, whose edges catch the light (generalised Kuwahara filter)."""
    flat = brushes.flattened(brushes.flattened(picture, 0.010 * side), 0.020 * side)
    rich = brushes.saturate(brushes.contrast(flat, 0.35), 1.45)
    thick = brushes.relief(brushes.grey(brushes.flattened(picture, 0.012 * side)), 0.0035 * side) - np.float32(0.5)
    return np.clip(rich + (0.8 * thick)[..., None], 0, 1)


def stained_glass(picture: Light, side: int) -> Light:
    """Glowing panes of one colour each between lead, which follows edges and tones."""
    flat = brushes.flattened(brushes.flattened(picture, 0.014 * side), 0.032 * side)
    luma = brushes.blur(brushes.grey(flat), 0.006 * side)
    cut = brushes.blur(brushes.in_tones(luma, 5, 0.12), 0.003 * side)
    lead = brushes.step(_steepness(cut) * np.float32(0.01 * side), 0.01, 0.05)
    for channel in range(3):
        lead = np.maximum(lead, brushes.edges(flat[..., channel], 0.009 * side, gain=18, least=0.08))
    panes = brushes.saturate(brushes.contrast(0.06 + 0.9 * flat, 0.7), 2.6)
    lit = np.clip(panes + 0.3 * brushes.blur(panes, 0.02 * side) - 0.06, 0, 1)
    return brushes.mix(lit, brushes.colour((18, 16, 20)), np.clip(lead, 0, 1))


def _steepness(values: Light) -> Light:
    down, right = brushes.slopes(values)
    return np.sqrt(down * down + right * right)


def pop_art(picture: Light, side: int) -> Light:
    """A screen print in flat inks: warm and cool parts in four tones each, after Warhol."""
    flat = brushes.flattened(picture, 0.013 * side)
    luma = brushes.contrast(brushes.grey(flat), 0.3)
    warm = _tones(luma, ((66, 12, 92), (232, 28, 104), (255, 128, 32), (255, 232, 84)))
    cool = _tones(luma, ((24, 20, 110), (20, 96, 216), (24, 200, 196), (214, 250, 120)))
    inks = brushes.mix(cool, warm, brushes.step(flat[..., 0] - flat[..., 2], -0.03, 0.05))
    black = brushes.edges(luma, 0.007 * side, gain=18, least=0.2)
    return brushes.mix(inks, brushes.colour((20, 10, 32)), black)


def _tones(luma: Light, inks: tuple[brushes.Colour, ...]) -> Light:
    found = brushes.colour(inks[0]) + np.zeros((*luma.shape, 3), np.float32)
    for number, (before, ink) in enumerate(pairwise(inks), start=1):
        place = number / len(inks)
        found += brushes.step(luma, place - 0.03, place + 0.03)[..., None] * (
            brushes.colour(ink) - brushes.colour(before)
        )
    return found


def pixel_art(picture: Light, side: int) -> Light:
    """Square blocks, 40 along the short side, in the few colours of an old console."""
    block = max(2, round(side / 40))
    tall, wide = picture.shape[:2]
    # The last block of a row may be narrower.
    rows, columns = np.arange(0, tall, block), np.arange(0, wide, block)
    whole = brushes.pixels_of(brushes.saturate(brushes.contrast(picture, 0.35), 1.35)).astype(np.int64)
    sums = np.add.reduceat(np.add.reduceat(whole, rows, axis=0), columns, axis=1)
    areas = np.diff([*rows, tall])[:, None, None] * np.diff([*columns, wide])[None, :, None]
    levels = (2 * sums * 6 + 255 * areas) // (2 * 255 * areas)  # rounded to sevenths of white, in whole numbers
    small = np.clip(levels, 0, 6).astype(np.float32) / np.float32(6)
    return small.repeat(block, axis=0)[:tall].repeat(block, axis=1)[:, :wide]
