"""What ranks and parts are judged by: nearer pictures have lower numbers, and targets themselves have none."""

import warnings

import numpy as np
import pytest
import torch
from concepts import SPEC, base_of
from safetensors.torch import save_file

from pocketgan.errors import ModelError
from pocketgan.files import sha256_file
from pocketgan.pictures import write_image
from pocketgan.training.base_and_pairs import BaseAndPairs
from pocketgan.training.pair_quality import PairQuality

lpips = pytest.importorskip("lpips")
CPU = torch.device("cpu")


@pytest.fixture
def given(tmp_path):
    """A base and pairs of photos and their negatives."""
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for index in range(3):
            picture = random.integers(0, 256, (32, 32, 3)).astype(np.uint8)
            write_image(tmp_path / "pairs" / split / f"{index}.png", np.concatenate([picture, 255 - picture], 1))
    return BaseAndPairs.read(base_of(), tmp_path / "pairs")


@pytest.fixture
def backbone(tmp_path):
    """A random AlexNet's convolutions, named as torchvision names them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        state = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).net.state_dict()
    path = tmp_path / "alex.safetensors"
    save_file({"features." + name.split(".", 1)[1]: value.contiguous() for name, value in state.items()}, path)
    return path


def test_the_targets_themselves_are_at_no_distance_and_the_inputs_are(given, backbone):
    quality = PairQuality(given, given.train, "lpips", backbone, CPU)
    found, far = quality(lambda images: -images), quality(lambda images: images)
    assert list(found) == ["lpips", "l1"]
    assert found == {"lpips": pytest.approx(0, abs=1e-6), "l1": pytest.approx(0, abs=1e-6)}
    assert far["lpips"] > found["lpips"]
    # Two independent halves of noise, mirrored about 0: twice the mean of |x|, x even in [-1, 1].
    assert far["l1"] == pytest.approx(1.0, abs=0.05)
    assert quality.told() == {"metric": "lpips", "lpips_weights": sha256_file(backbone)}


def test_l1_needs_no_weights(given):
    quality = PairQuality(given, given.train[:1], "l1", None, CPU)
    assert list(quality(lambda images: images)) == ["l1"]
    assert quality.told() == {"metric": "l1", "lpips_weights": None}


def test_pictures_that_lpips_cannot_see_are_told(given):
    small = BaseAndPairs.read(base_of(SPEC), given.data, size=(16, 32))
    with pytest.raises(ModelError, match="at least, not 16x32; take --metric l1"):
        PairQuality(small, small.train, "lpips", None, CPU)
