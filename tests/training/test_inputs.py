"""Inputs alone: which file, or half of one, a generator takes of each kind of data."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketgan.errors import DataError
from pocketgan.training.data.images import to_pixels
from pocketgan.training.data.inputs import Input, Inputs, find_inputs, inputs_of
from pocketgan.training.data.labels import LabelFormat, LabelMaps, Scene
from pocketgan.training.data.paired import Pair, PairedImages
from pocketgan.training.data.samples import Framing
from pocketgan.training.data.unlabelled import UnlabelledImages
from pocketgan.training.data.unpaired import Image as DomainImage
from pocketgan.training.data.unpaired import UnpairedImages

A, B, BOTH = Path("a.png"), Path("b.png"), Path("both.png")
SIZE = (8, 8)
SCENE = Scene(A, B, BOTH)


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        (PairedImages([Pair(A, B)], "AtoB", SIZE), Input(A)),
        (PairedImages([Pair(A, B)], "BtoA", SIZE), Input(B)),
        (PairedImages([Pair(BOTH)], "AtoB", SIZE), Input(BOTH, "left")),
        (PairedImages([Pair(BOTH)], "BtoA", SIZE), Input(BOTH, "right")),
        (LabelMaps([SCENE], LabelFormat(3, instance=True), SIZE), Input(B, instance=BOTH)),
        (LabelMaps([Scene(A, B)], LabelFormat(3), SIZE), Input(B)),
        (UnlabelledImages([A], SIZE), Input(A)),
        (UnpairedImages({"A": [DomainImage(BOTH, "left")], "B": [DomainImage(B)]}, "BtoA", SIZE), Input(B)),
    ],
)
def test_the_input_is_what_the_generator_takes(pictures, expected):
    assert inputs_of(pictures) == [expected]


def test_inputs_are_cut_and_mirrored_as_they_are_in_pairs(tmp_path):
    across = np.tile(np.arange(16, dtype=np.uint8)[:, None], (12, 1, 3))
    Image.fromarray(np.hstack([across, 255 - across])).save(tmp_path / "both.png")
    framing: Framing = {"load_scale": 1.5, "flip": True}
    pairs = PairedImages([Pair(tmp_path / "both.png")], "BtoA", SIZE, **framing)
    alone = Inputs(inputs_of(pairs), None, SIZE, **framing)
    for seed in range(5):
        shown = alone.sample(0, np.random.default_rng(seed))
        assert list(shown) == ["unlabelled"]
        expected = pairs.sample(0, np.random.default_rng(seed))["input"]
        assert to_pixels(shown["unlabelled"]).tolist() == to_pixels(expected).tolist()


def test_folders_that_hold_no_inputs_are_told(tmp_path):
    (tmp_path / "maps").mkdir()
    with pytest.raises(DataError, match=r"holds no inputs: expected label maps in the folder itself, or in label/"):
        find_inputs(tmp_path / "maps", LabelFormat(3))
    with pytest.raises(DataError, match=r"there is no folder .*label to pair with its sibling"):
        find_inputs(tmp_path / "maps", LabelFormat(3, instance=True))
    Image.fromarray(np.full((8, 8), 7, np.uint8)).save(tmp_path / "maps" / "7.png")
    with pytest.raises(DataError, match=r"1 label map holds an index above data\.classes 3"):
        find_inputs(tmp_path / "maps", LabelFormat(3))
    (tmp_path / "maps" / "broken.jpg").write_bytes(b"half")
    with pytest.raises(DataError, match=r"1 file is not readable .*broken\.jpg"):
        find_inputs(tmp_path / "maps", None)
