"""LPIPS is the lpips package's number, on weights from a local file."""

import warnings

import numpy as np
import pytest

pytest.importorskip("lpips")
import lpips
import torch
from PIL import Image
from safetensors.torch import save_file

from pocketgan.errors import DataError, ModelError
from pocketgan.files import sha256_file
from pocketgan.pictures import read_image
from pocketgan.training.data.images import to_tensor
from pocketgan.training.quality.evaluate import Options, evaluate
from pocketgan.training.quality.perceptual import Perceptual

pytestmark = pytest.mark.usefixtures("no_network")


@pytest.fixture(scope="module")
def original():
    """lpips' own network, on a random backbone."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)


@pytest.fixture
def backbone(original, tmp_path):
    """Its convolutions, named as torchvision names them."""
    state = original.net.state_dict()
    path = tmp_path / "alexnet.safetensors"
    save_file({"features." + name.split(".", 1)[1]: value.contiguous() for name, value in state.items()}, path)
    return path


def measure(generated, reference, backbone, **more):
    options = Options(metrics=("lpips",), lpips_weights=backbone, **more)
    return evaluate(generated, reference, options).measurements["lpips"]


def test_lpips_equals_the_packages_own_for_pictures_of_any_size(original, backbone, pictures):
    generated, reference = pictures("generated", 7, seed=1), pictures("reference", 7, seed=2)
    found = measure(generated, reference, backbone, batch_size=3)
    theirs = []
    with torch.no_grad():
        for a, b in zip(sorted(generated.iterdir()), sorted(reference.iterdir()), strict=True):
            theirs.append(float(original(*(to_tensor(read_image(path))[None] for path in (a, b)))))
    assert found.value == pytest.approx(np.mean(theirs), rel=1e-4)
    assert found.value > 1e-3
    assert found.generated_images == found.reference_images == 7
    assert (found.weights.origin, found.weights.sha256) == ("file", sha256_file(backbone))
    assert found.more == {"backbone": "alex"}


def test_lpips_of_equal_pictures_is_0(backbone, pictures):
    folder = pictures("generated", 3)
    assert measure(folder, folder, backbone).value == 0


def test_a_pth_file_is_read_without_running_what_it_holds(original, backbone, tmp_path):
    from safetensors.torch import load_file

    weights = tmp_path / "alexnet.pth"
    torch.save({**load_file(backbone), "classifier.1.weight": torch.zeros(2, 2)}, weights)
    pair = torch.rand(2, 1, 3, 48, 48) * 2 - 1
    with torch.no_grad():
        assert float(Perceptual("alex", weights)(*pair)) == pytest.approx(float(original(*pair)), rel=1e-4)

    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"features.0.weight": Hostile()}, weights)
    with pytest.raises(ModelError, match="weights only"):
        Perceptual("alex", weights)
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_network_are_refused(backbone, tmp_path):
    with pytest.raises(ModelError, match=r"features\.0\.weight is \(64, 3, 11, 11\), expected \(64, 3, 3, 3\)"):
        Perceptual("vgg", backbone)
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=r"features\.0\.weight is missing"):
        Perceptual("alex", tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights at all")
    with pytest.raises(ModelError, match="not a safetensors file"):
        Perceptual("alex", tmp_path / "text.safetensors")
    with pytest.raises(ModelError, match="takes alex or vgg"):
        Perceptual("squeeze", backbone)  # type: ignore[arg-type]


def test_without_a_network_a_local_file_is_asked_for(tmp_path):
    with pytest.raises(ModelError, match=r"could not be downloaded .* with --lpips-weights FILE"):
        Perceptual("alex")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_pictures_are_paired_by_name(backbone, pictures):
    generated, reference = pictures("generated", 4), pictures("reference", 6)
    with pytest.raises(DataError, match=r"004, 005 of .*reference \(6 images\) have no partner in .*generated \(4"):
        measure(generated, reference, backbone)
    (reference / "004.jpg").unlink()
    (reference / "005.png").unlink()
    (generated / "003.png").rename(generated / "x.png")
    with pytest.raises(DataError, match=r"x of .*generated \(4 images\) has no partner"):
        measure(generated, reference, backbone)
    (generated / "x.png").rename(generated / "003.png")
    Image.open(generated / "003.png").save(generated / "003.jpg")
    with pytest.raises(DataError, match=r"two images of one name"):
        measure(generated, reference, backbone)


def test_a_pair_of_two_sizes_is_named(backbone, pictures):
    generated, reference = pictures("generated", 2, size=(40, 44)), pictures("reference", 2, size=(40, 48))
    with pytest.raises(DataError, match=r"equal size, not .*000\.png \(44x40\) and .*000\.png \(48x40\)"):
        measure(generated, reference, backbone)
    small = pictures("small", 2, size=(20, 40))
    with pytest.raises(DataError, match="32 pixels a side"):
        measure(small, small, backbone)
