"""Effects of light, season and film: colours change, shapes stay."""

from __future__ import annotations

import numpy as np

from pocketgan.training.teachers import brushes
from pocketgan.training.teachers.brushes import Light


def sepia(picture: Light, side: int) -> Light:
    """An old print, toned brown."""
    luma = brushes.contrast(brushes.grey(picture), 0.35)
    return brushes.ramp(luma, [(0, (32, 18, 10)), (0.35, (104, 68, 38)), (0.7, (196, 152, 102)), (1, (252, 238, 208))])


def noir(picture: Light, side: int) -> Light:
    """Hard black and white film, its lights glowing."""
    red = brushes.weighted(picture, (0.40, 0.45, 0.15))
    deep = brushes.contrast(brushes.contrast(np.clip(0.92 * red - 0.02, 0, 1), 1), 0.45)
    lit = np.clip(deep + 0.18 * brushes.blur(deep * deep, 0.02 * side), 0, 1)
    return brushes.ramp(lit, [(0, (4, 4, 6)), (0.5, (112, 112, 114)), (1, (252, 252, 250))])


def vintage(picture: Light, side: int) -> Light:
    """Faded colour film of the seventies: blacks lifted, whites cream, reds bleeding out of the lights."""
    soft = brushes.saturate(brushes.contrast(picture, 0.3), 0.75)
    low, high = brushes.colour((56, 40, 62)), brushes.colour((255, 236, 190))
    faded = low + soft * (high - low)
    halo = brushes.blur(brushes.step(brushes.grey(picture), 0.65, 1.0), 0.025 * side)
    return np.clip(faded + halo[..., None] * brushes.colour((44, 16, 4)), 0, 1)


def _leaves(picture: Light) -> Light:
    """(h, w, 3) -> (h, w): how much a pixel looks like leaves or grass, 0 to 1."""
    red, green, blue = picture[..., 0], picture[..., 1], picture[..., 2]
    excess = green - np.maximum(0.88 * red, 1.04 * blue)
    return brushes.step(excess / (green + np.float32(0.15)), 0.01, 0.26)


def autumn(picture: Light, side: int) -> Light:
    """Leaves turn orange and red; the light is low and golden."""
    luma = brushes.grey(picture)
    leaves = brushes.ramp(
        np.clip(1.15 * luma, 0, 1),
        [(0, (34, 12, 6)), (0.3, (150, 46, 12)), (0.6, (232, 128, 24)), (1, (255, 222, 120))],
    )
    golden = brushes.saturate(picture, 1.1) * brushes.colour((255, 216, 152)) * np.float32(1.1)
    return np.clip(brushes.mix(golden, leaves, _leaves(picture)), 0, 1)


def winter(picture: Light, side: int) -> Light:
    """Snow on what faces up, frost on the leaves, cold light."""
    luma = brushes.grey(picture)
    pale = brushes.saturate(picture, 0.45) * brushes.colour((214, 232, 255)) * np.float32(0.94) + np.float32(0.06)
    down, _ = brushes.slopes(brushes.blur(luma, 0.008 * side))
    caps = brushes.step(-down * np.float32(0.02 * side), 0.03, 0.17)
    caps = np.maximum(caps, brushes.moved(caps, -round(0.012 * side), 0))
    warm = brushes.step(picture[..., 0] - picture[..., 2], 0.02, 0.2)
    bright = brushes.step(luma, 0.6, 0.95) * (1 - 0.75 * warm)
    frost = np.clip(0.85 * _leaves(brushes.blur(picture, 0.004 * side)) + 0.9 * caps + bright, 0, 1)
    snow = brushes.ramp(brushes.contrast(0.45 + 0.6 * luma, 0.2), [(0, (96, 122, 160)), (1, (250, 253, 255))])
    return brushes.mix(pale, snow, frost)


def night(picture: Light, side: int) -> Light:
    """Day for night: dark, blue and hardly coloured, as eyes see by the moon (Jensen et al. 2000); lights glow."""
    luma = brushes.grey(picture)
    dim = brushes.contrast(luma, 0.4)
    moon = brushes.ramp(dim, [(0, (4, 8, 24)), (0.5, (24, 46, 104)), (0.85, (70, 104, 176)), (1, (178, 198, 236))])
    kept = brushes.mix(moon, brushes.saturate(picture, 1.3) * np.float32(0.42), 0.3)
    local = np.clip(luma - brushes.blur(luma, 0.045 * side), 0, 1)
    lamps = brushes.step(local, 0.2, 0.5)[..., None] * brushes.colour((255, 206, 120))
    return np.clip(kept + 0.55 * lamps + 0.6 * brushes.blur(lamps, 0.02 * side), 0, 1)


def sunset(picture: Light, side: int) -> Light:
    """The last light: orange where it falls, violet in the shadows."""
    luma = brushes.grey(picture)
    light = brushes.ramp(
        brushes.contrast(luma, 0.4),
        [(0, (22, 10, 58)), (0.3, (124, 30, 110)), (0.55, (238, 80, 76)), (0.8, (255, 166, 62)), (1, (255, 236, 160))],
    )
    warm = brushes.saturate(picture, 1.3) * brushes.colour((255, 184, 150))
    return brushes.glow(np.clip(brushes.mix(warm, light, 0.68), 0, 1), 0.03 * side, 0.18)


def cyberpunk(picture: Light, side: int) -> Light:
    """Magenta and cyan light in the dark, and its glow."""
    luma = brushes.contrast(brushes.grey(picture), 0.8)
    warm = brushes.ramp(luma, [(0, (10, 4, 30)), (0.4, (120, 10, 120)), (0.75, (255, 50, 160)), (1, (255, 214, 240))])
    cool = brushes.ramp(luma, [(0, (4, 6, 34)), (0.4, (16, 50, 140)), (0.75, (20, 200, 236)), (1, (216, 255, 255))])
    lean = brushes.blur(np.clip(0.5 + 2.0 * (picture[..., 0] - picture[..., 2]), 0, 1), 0.006 * side)
    toned = brushes.mix(cool, warm, brushes.step(lean, 0.35, 0.75))
    return brushes.glow(toned, 0.025 * side, 0.45)


def thermal(picture: Light, side: int) -> Light:
    """A heat camera: brightness as the colours from black over violet and orange to white."""
    luma = brushes.contrast(brushes.blur(brushes.grey(picture), 0.006 * side), 0.3)
    return brushes.ramp(
        luma,
        [(0, (0, 0, 24)), (0.2, (44, 0, 128)), (0.4, (160, 0, 150)), (0.6, (240, 60, 40)), (0.8, (255, 180, 0)),
         (1, (255, 255, 230))],
    )  # fmt: skip


def underwater(picture: Light, side: int) -> Light:
    """Far below: red is gone, the rest is blue-green and hazy."""
    soft = brushes.contrast(brushes.mix(picture, brushes.blur(picture, 0.010 * side), 0.4), 0.5)
    red, green, blue = soft[..., 0], soft[..., 1], soft[..., 2]
    luma = brushes.grey(soft)
    channels = (0.22 * red + 0.06 * luma, 0.25 * red + 0.62 * green + 0.05, 0.3 * luma + 0.5 * blue + 0.16)
    water = brushes.mix(np.stack(channels, axis=2), brushes.colour((0, 84, 116)), 0.16)
    return brushes.glow(np.clip(water, 0, 1), 0.03 * side, 0.25)


def neon(picture: Light, side: int) -> Light:
    """Edges as glowing tubes in the dark, each in the colour of its direction."""
    luma = brushes.blur(brushes.grey(brushes.flattened(picture, 0.009 * side)), 0.005 * side)
    down, right = (one * np.float32(0.01 * side) for one in brushes.slopes(luma))
    strength = np.sqrt(down * down + right * right)
    tube = brushes.step(strength, 0.025, 0.12)
    lean = down * down / (strength * strength + np.float32(1e-8))
    hue = brushes.ramp(lean, [(0, (255, 24, 150)), (0.5, (150, 70, 255)), (1, (10, 220, 255))])
    lit = hue * tube[..., None]
    core = brushes.step(strength, 0.08, 0.25)[..., None] * np.float32(0.55)
    dark = picture * brushes.colour((30, 22, 52)) + brushes.colour((6, 3, 16))
    halo = brushes.blur(lit, 0.010 * side) * np.float32(0.45) + brushes.blur(lit, 0.03 * side) * np.float32(0.35)
    return np.clip(dark + 0.9 * lit + halo + core * tube[..., None], 0, 1)
