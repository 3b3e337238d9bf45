"""The filters' effects: the same on every run and machine, alike at every size, and as near as they say."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from pocketgan.errors import DataError
from pocketgan.pictures import resize
from pocketgan.training.data.builtin import load_photo
from pocketgan.training.data.photos import PHOTOS
from pocketgan.training.teachers import brushes, filters
from pocketgan.training.teachers.edit_score import score

SIZED = {name: effect.reach for name, effect in filters.EFFECTS.items() if effect.reach is not None}


def photo(name, side):
    pixels = load_photo(next(photo for photo in PHOTOS if name in photo.path))
    part = min(pixels.shape[:2])
    return resize(pixels[:part, :part], side, side)


def flat(value, side=96):
    return np.full((side, side, 3), value, np.uint8)


@pytest.mark.parametrize("name", SIZED)
def test_an_effect_reaches_as_far_as_it_says_and_no_farther(name):
    before = photo("china", 128)
    after = before.copy()
    after[64:] = 255 - after[64:]
    once, twice = filters.apply(name, before), filters.apply(name, after)
    rows = np.flatnonzero((once != twice).any(axis=(1, 2)))
    assert 64 - rows.min() <= np.ceil(SIZED[name] * 128) + 1


@pytest.mark.parametrize("name", SIZED)
def test_an_effect_looks_alike_at_another_size(name):
    large = photo("coffee", 256)
    small = resize(large, 96, 96)
    alike = score(filters.apply(name, small), resize(filters.apply(name, large), 96, 96))
    other = score(filters.apply(name, small), small)
    assert alike.structure > 0.75
    assert alike.change < 0.5 * other.change


def test_every_effect_says_a_text_of_its_own():
    texts = [effect.text for effect in filters.EFFECTS.values()]
    assert len(set(texts)) == len(texts) >= 14 + 5


def test_pictures_of_any_shape_keep_it():
    strip = photo("coffee", 96)[:24, :40]
    for name in SIZED:
        assert filters.apply(name, strip).shape == (24, 40, 3)


def test_a_reach_of_nothing_means_that_a_colour_alone_decides():
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (48, 48, 3), dtype=np.uint8)
    order = random.permutation(48 * 48)
    pointwise = [name for name, reach in SIZED.items() if reach == 0]
    assert {"sepia", "autumn"} <= set(pointwise)
    for name in pointwise:
        shuffled = filters.apply(name, pixels.reshape(-1, 3)[order].reshape(48, 48, 3))
        assert np.array_equal(shuffled.reshape(-1, 3), filters.apply(name, pixels).reshape(-1, 3)[order])


def test_effects_do_to_plain_pictures_what_their_names_say():
    green = np.zeros((96, 96, 3), np.uint8) + np.array([60, 140, 40], np.uint8)
    red, of_green, blue = filters.apply("autumn", green)[48, 48].astype(int)
    assert red > of_green > blue  # leaves turn orange
    for pixels in (flat(60), flat(200)):
        assert filters.apply("night", pixels).mean() < 0.55 * pixels.mean()
        brown = filters.apply("sepia", pixels)[0, 0].astype(int)
        assert brown[0] > brown[1] > brown[2]
        assert np.ptp(filters.apply("emboss", pixels)) < 20  # plain stone, whatever its brightness
        assert np.ptp(filters.apply("noir", pixels).astype(int), axis=2).max() < 4
    assert filters.apply("winter", flat(230)).mean() > 235


def test_pixel_art_is_square_blocks_of_one_colour():
    drawn = filters.apply("pixel-art", photo("china", 120))  # 40 blocks of 3 pixels
    blocks = drawn.reshape(40, 3, 40, 3, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) <= 7**3


def test_lines_are_drawn_along_edges_and_nowhere_else():
    step = flat(210)
    step[:, :48] = 60
    for name, is_line in (("comic", lambda p: p < 40), ("blueprint", lambda p: p > 200), ("neon", lambda p: p > 180)):
        lines = is_line(filters.apply(name, step).mean(axis=(0, 2)))
        assert lines[44:52].any(), name
        assert not lines[4:40].any(), name
        assert not lines[60:92].any(), name


def test_a_wide_blur_has_the_deviation_that_was_asked_for():
    for sigma in (1.0, 4.0, 9.0, 25.0):
        line = np.zeros((1, 401), np.float32)
        line[0, 200] = 1
        spread = brushes.blur(np.repeat(line, 201, axis=0), sigma)[100]
        found = np.sqrt((spread * (np.arange(401) - 200) ** 2).sum() / spread.sum())
        assert found == pytest.approx(sigma, rel=0.06)


_DIGESTS = """
import hashlib, json, sys
import cv2, numpy as np
from pocketgan.training.teachers import filters
pixels = np.load(sys.argv[1])
names = [name for name, effect in filters.EFFECTS.items() if effect.reach is not None]
for threads in (1, 4):
    cv2.setNumThreads(threads)
    print(json.dumps({name: hashlib.sha256(filters.apply(name, pixels).tobytes()).hexdigest() for name in names}))
"""


def test_effects_are_the_same_with_any_number_of_threads_and_on_lesser_processors(tmp_path):
    """Features beyond x86-64's base are switched off in OpenCV and numpy, as if an older machine drew."""
    np.save(tmp_path / "photo.npy", photo("astronaut", 128))
    lesser = {
        "OPENCV_CPU_DISABLE": "SSE4.1,SSE4.2,AVX,FP16,AVX2,FMA3,AVX512_SKX",
        "NPY_DISABLE_CPU_FEATURES": "AVX2,FMA3,AVX512F",
    }
    drawn = []
    for features in ({}, lesser):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _DIGESTS, str(tmp_path / "photo.npy")],
            capture_output=True, text=True, check=True, env={**os.environ, **features},
        )  # fmt: skip
        drawn += [json.loads(line) for line in done.stdout.splitlines()]
    assert drawn[0] == drawn[1] == drawn[2] == drawn[3]


def test_an_unknown_effect_names_the_nearest():
    with pytest.raises(DataError, match="called 'watercolor'; did you mean watercolour\\?"):
        filters.check_effect("watercolor")
