"""Effects that are drawn: lines and tones on paper, board or plate."""

from __future__ import annotations

import numpy as np

from pocketgan.training.teachers import brushes
from pocketgan.training.teachers.brushes import Light


def comic(picture: Light, side: int) -> Light:
    """Flat, bright colours in few tones between black outlines (Winnemöller, Olsen & Gooch 2006)."""
    flat = brushes.flattened(picture, 0.011 * side)
    luma = brushes.contrast(brushes.grey(flat), 0.5)
    tones = brushes.in_tones(luma, 5, 0.35)
    bright = flat * ((tones + 0.06) / (brushes.grey(flat) + 0.06))[..., None]
    vivid = brushes.saturate(np.clip(bright, 0, 1), 1.7)
    ink = brushes.edges(brushes.grey(brushes.flattened(picture, 0.006 * side)), 0.005 * side, gain=20, least=0.16)
    return brushes.mix(vivid, brushes.colour((14, 12, 22)), ink)


def charcoal(picture: Light, side: int) -> Light:
    """Smudged black on warm paper: broad lines (XDoG) over soft tones."""
    luma = brushes.grey(picture)
    tone = brushes.blur(luma, 0.010 * side)
    local = brushes.blur(luma, 0.04 * side)
    shade = brushes.contrast(np.clip(0.18 + 0.95 * tone + 0.6 * (tone - local), 0, 1), 0.9)
    line = brushes.lines(luma, 0.006 * side, sharpness=14, edge=0.42, softness=0.5)
    drawn = np.clip(shade * (0.25 + 0.75 * line), 0, 1)
    return brushes.ramp(drawn, [(0, (22, 21, 23)), (0.5, (122, 118, 114)), (1, (243, 238, 228))])


def blueprint(picture: Light, side: int) -> Light:
    """White lines on blueprint paper, shaded faintly."""
    luma = brushes.grey(brushes.flattened(picture, 0.007 * side))
    line = brushes.edges(luma, 0.0042 * side, gain=32, least=0.12)
    paper = brushes.ramp(brushes.blur(luma, 0.01 * side), [(0, (10, 40, 98)), (1, (46, 100, 178))])
    return brushes.mix(paper, brushes.colour((236, 244, 255)), line)


def chalkboard(picture: Light, side: int) -> Light:
    """Coloured chalk on a dark board: bright lines, and areas rubbed in with the side of the chalk."""
    luma = brushes.grey(brushes.flattened(picture, 0.007 * side))
    line = brushes.edges(luma, 0.0055 * side, gain=28, least=0.12)
    rubbed = brushes.step(brushes.blur(luma, 0.008 * side), 0.2, 1.0) * np.float32(0.72)
    pastel = brushes.mix(brushes.saturate(brushes.blur(picture, 0.008 * side), 1.9), brushes.WHITE, 0.28)
    board = brushes.colour((30, 42, 38)) + np.zeros_like(picture)
    return brushes.mix(brushes.mix(board, pastel, rubbed), brushes.mix(pastel, brushes.WHITE, 0.7), line)


def emboss(picture: Light, side: int) -> Light:
    """Hammered into grey stone, lit from the top left."""
    luma = brushes.grey(picture)
    shade = 0.5 + 2.6 * (brushes.relief(luma, 0.006 * side) - 0.5) + 1.2 * (brushes.relief(luma, 0.016 * side) - 0.5)
    return brushes.ramp(np.clip(shade, 0, 1), [(0, (38, 36, 36)), (0.5, (140, 135, 128)), (1, (250, 246, 238))])


def bronze(picture: Light, side: int) -> Light:
    """A relief cast in bronze."""
    luma = brushes.grey(brushes.flattened(picture, 0.006 * side))
    shade = 2.0 * (brushes.relief(luma, 0.0045 * side) - 0.5) + 1.4 * (brushes.relief(luma, 0.016 * side) - 0.5)
    height = brushes.contrast(brushes.blur(luma, 0.008 * side), 0.5)
    metal = np.clip(0.16 + 0.58 * height + 0.8 * shade, 0, 1)
    return brushes.ramp(
        metal,
        [(0, (20, 10, 6)), (0.3, (104, 58, 26)), (0.6, (194, 128, 60)), (0.85, (244, 204, 122)), (1, (255, 248, 220))],
    )
