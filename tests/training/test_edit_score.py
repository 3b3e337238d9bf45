"""Edits that are worth learning from, and those that are not."""

import io

import numpy as np
import pytest
from PIL import Image

from pocketgan.training.data.builtin import crops
from pocketgan.training.teachers import filters
from pocketgan.training.teachers.edit_score import Limits, Score, score


@pytest.fixture(scope="module")
def photos():
    made = crops(128, 4, 4, 3)
    return made["train"] + made["val"]


def test_a_picture_scores_itself_as_unchanged_and_kept(photos):
    same = score(photos[0], photos[0])
    assert (same.change, same.structure) == (0, pytest.approx(1))


def test_a_grey_that_is_brighter_changes_by_as_much_in_lab():
    # L* = 116 Y^(1/3) - 16 (CIE 1976), Y = ((v + 0.055) / 1.055)^2.4 (IEC 61966-2-1): 53.59 at 128, 57.47 at 138.
    first, second = (np.full((64, 64, 3), level, np.uint8) for level in (128, 138))
    assert score(first, second).change == pytest.approx(57.47 - 53.59, abs=0.03)


def test_a_negative_keeps_the_structure(photos):
    assert score(photos[1], 255 - photos[1]).structure > 0.9


def test_effects_are_kept(photos):
    for name in ("comic", "oil", "night", "neon", "pencil", "winter"):
        assert Limits().why_not(score(photos[4], filters.apply(name, photos[4]))) is None


def test_what_does_nothing_and_what_loses_the_photo_is_dropped(photos):
    coded = io.BytesIO()
    Image.fromarray(photos[0]).save(coded, "JPEG", quality=75)
    noise = np.random.default_rng(0).integers(0, 256, photos[0].shape, dtype=np.uint8)
    for picture, why in (
        (photos[0], "change nothing"),
        (np.asarray(Image.open(coded)), "change nothing"),
        (noise, "lose the photo"),
        (np.full_like(photos[0], 127), "lose the photo"),
        (photos[1], "lose the photo"),
    ):
        assert Limits().why_not(score(photos[0], picture)) == why


def test_clip_counts_where_it_was_asked():
    good = Score(change=20, structure=0.8)
    assert Limits(direction=0.1).why_not(good) is None
    assert Limits(direction=0.1).why_not(Score(20, 0.8, direction=0.05)) == "go elsewhere than the text"
