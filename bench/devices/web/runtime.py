"""onnxruntime-web, which computes in the browser: where its files are found, and how they get there once."""

from __future__ import annotations

import base64
import gzip
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from pocketgan import console
from pocketgan.bench.devices.web.page_files import folder
from pocketgan.errors import DeviceError, storage_errors
from pocketgan.files import atomic_folder, cache_folder

VERSION = "1.30.0"
# Of the package, as the npm registry has it; what another one serves is not taken.
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
# The library, its loader and its WebAssembly: without WebGPU (14 MB), and with it (27 MB), which needs no JSPI and runs
# in iOS's Safari, too.
FILES: Mapping[str, tuple[str, str, str]] = {
    "wasm": ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"),
    "webgpu": (
        "ort.webgpu.min.mjs",
        "ort-wasm-simd-threaded.asyncify.mjs",
        "ort-wasm-simd-threaded.asyncify.wasm",
    ),
}
# The npm package is MIT and has no licence file; the Python package of the same project has them.
LICENCES = ("LICENSE", "ThirdPartyNotices.txt")
PACKED = ".gz"
_FETCH_S = 600
_OTHERWISE = f"or fetch npm's onnxruntime-web {VERSION} elsewhere and name its folder: --ort-web DIR"


@dataclass(frozen=True)
class WebRuntime:
    """onnxruntime-web in a folder: each file as it is, or packed, with `.gz` behind its name."""

    folder: Path

    def find(self, name: str) -> tuple[Path, bool] | None:
        """The file of that name that the page may fetch, packed where it lies there so; and whether it is."""
        if name not in all_files():
            return None
        packed = self.folder / (name + PACKED)
        return (packed, True) if packed.is_file() else (self.folder / name, False)

    @property
    def lacks(self) -> list[str]:
        """Files that are not there."""
        return [name for name in all_files() if not any((self.folder / one).is_file() for one in (name, name + PACKED))]


def all_files() -> list[str]:
    """Names of all files that the page may fetch."""
    return [name for names in FILES.values() for name in names]


def find_runtime(named: Path | None = None) -> WebRuntime:
    """onnxruntime-web of that folder (its npm package, or the package's `dist`); else the one that came with the wheel;
    else the one of the cache, fetched by npm the first time.

    Raises:
        DeviceError: it lacks files, or cannot be fetched; says what to do.
        StorageError: the cache cannot be written.
    """
    if named is not None:
        found = [runtime for folder in (named, named / "dist") if not (runtime := WebRuntime(folder)).lacks]
        if not found:
            raise DeviceError(
                f"--ort-web {named} holds no {WebRuntime(named).lacks[0]}: name the folder of npm's onnxruntime-web "
                f"{VERSION}"
            )
        return found[0]
    if (there := runtime_there()) is not None:
        return there
    fetch_into(_cached().folder)
    return _cached()


def runtime_there() -> WebRuntime | None:
    """The one that came with the wheel, or was fetched before; None where there is none yet."""
    return next((one for one in (WebRuntime(folder() / "runtime"), _cached()) if not one.lacks), None)


def npm_that_fetches() -> str:
    """The npm that can fetch it.

    Raises:
        DeviceError: there is none; says what to do.
    """
    if (npm := shutil.which("npm")) is None:
        raise DeviceError(
            f"measuring in a browser needs onnxruntime-web, which npm fetches once: install npm, {_OTHERWISE}"
        )
    return npm


def fetch_into(folder: Path) -> None:
    """Fetch the pinned package with npm, and put what the page needs of it there, packed, with its licences.

    Raises:
        DeviceError: npm is missing, or does not serve that package.
        StorageError: the disk is full or refuses.
    """
    npm = npm_that_fetches()
    console.note(f"fetching onnxruntime-web {VERSION} (33 MB), once")
    with tempfile.TemporaryDirectory() as fetched:
        command = [npm, "pack", "--silent", "--pack-destination", fetched, f"onnxruntime-web@{VERSION}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_S, cwd=fetched)
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise DeviceError(
                f"npm did not fetch onnxruntime-web ({problem}): check the network, {_OTHERWISE}"
            ) from None
        packages = list(Path(fetched).glob("*.tgz"))
        if done.returncode or len(packages) != 1:
            said = next((line for line in (done.stderr or done.stdout).splitlines() if line.strip()), "it said nothing")
            raise DeviceError(f"npm did not fetch onnxruntime-web ({said.strip()}): check the network, {_OTHERWISE}")
        unpack(packages[0], folder)


def unpack(package: Path, folder: Path) -> None:
    """Put what the page needs of the package there.

    Raises:
        DeviceError: it is not the pinned package.
        StorageError: the disk is full or refuses.
    """
    digest = hashlib.sha512(package.read_bytes()).digest()
    if f"sha512-{base64.b64encode(digest).decode()}" != INTEGRITY:
        raise DeviceError(
            f"npm's onnxruntime-web {VERSION} is not the package that pocketgan was tested with: {package}"
        )
    with storage_errors(folder), atomic_folder(folder) as made:
        with tarfile.open(package) as tar:
            for name in all_files():
                file = tar.extractfile(f"package/dist/{name}")
                assert file is not None
                (made / (name + PACKED)).write_bytes(gzip.compress(file.read(), 6, mtime=0))
        for name, content in licences().items():
            (made / name).write_bytes(content)


def licences() -> dict[str, bytes]:
    """Licence files of ONNX Runtime, from its Python package, by name."""
    files = metadata.files("onnxruntime") or []
    found = {file.name: Path(str(file.locate())) for file in files if file.name in LICENCES and len(file.parts) == 2}
    return {name: path.read_bytes() for name, path in found.items()}


def _cached() -> WebRuntime:
    return WebRuntime(cache_folder() / "onnxruntime-web" / VERSION)
