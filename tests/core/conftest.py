"""A bundle small enough to be broken thousands of times, the ZIP of any files, and a cache of the tests' own."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketgan.bundle.manifest import Component, Entry, GoldenSet, GoldenTensor, Manifest, TensorSpec
from pocketgan.bundle.packing import pack_folder, record_file, write_manifest

FILES = {
    "models/onnx-fp32/model.onnx": b"weights of the first form",
    "models/coreml-fp16/model.mlpackage/Manifest.json": b"{}",
    "models/coreml-fp16/model.mlpackage/Data/weight.bin": bytes(range(40)),
    "golden/rgb/input.bin": np.linspace(-1, 1, 12, dtype="<f4").tobytes(),
    "golden/rgb/output.bin": np.arange(12, dtype="<f2").tobytes(),
    "LICENSES/Apache-2.0.txt": b"a licence",
}


@pytest.fixture(scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", autouse=True)
def _own_cache(_cache: Path) -> Iterator[None]:
    """What measures here waits neither for the user nor for the tests of another process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(_cache))
        yield


def _manifest(folder: Path) -> Manifest:
    contract = TensorSpec(
        name="x", shape=[1, 3, 2, 2], layout="NCHW", dtype="float32", value_range=(-1, 1), colour_space="RGB"
    )

    def entry(entry_id: str, entry_point: str) -> Entry:
        names = [name for name in FILES if name.startswith(f"models/{entry_id}/")]
        files = [record_file(folder, name) for name in names]
        component = Component(name="main", entry_point=entry_point, files=files, inputs=[contract], outputs=[contract])
        target, precision = entry_id.split("-")
        return Entry(
            id=entry_id,
            target=target,
            precision=precision,
            runtime=target,
            runtime_version="1",
            golden="rgb",
            components=[component],
        )

    def tensor(name: str, dtype: Any, file: str) -> GoldenTensor:
        return GoldenTensor(name=name, dtype=dtype, shape=[1, 3, 2, 2], file=record_file(folder, file))

    return Manifest(
        name="tiny",
        role="student",
        trained=False,
        entries=[entry("onnx-fp32", "model.onnx"), entry("coreml-fp16", "model.mlpackage")],
        golden=[
            GoldenSet(
                id="rgb",
                inputs=[tensor("x", "float32", "golden/rgb/input.bin")],
                outputs=[tensor("y", "float16", "golden/rgb/output.bin")],
            )
        ],
        licenses=[record_file(folder, "LICENSES/Apache-2.0.txt")],
    )


@pytest.fixture
def files() -> dict[str, bytes]:
    """What the tiny bundle holds beside its manifest."""
    return dict(FILES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The tiny bundle, unpacked."""
    root = tmp_path / "unpacked"
    for name, data in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    write_manifest(root, _manifest(root))
    return root


@pytest.fixture
def pgb(folder: Path, tmp_path: Path) -> Path:
    """The tiny bundle, packed."""
    pack_folder(folder, tmp_path / "tiny.pgb")
    return tmp_path / "tiny.pgb"


ZipOf = Callable[..., Path]


@pytest.fixture
def zip_of(tmp_path: Path) -> ZipOf:
    """Write a ZIP of (name or ZipInfo, bytes) pairs, whatever they are."""

    def write(members: Sequence[tuple[str | zipfile.ZipInfo, bytes]], name: str = "made.pgb", **options: Any) -> Path:
        with zipfile.ZipFile(tmp_path / name, "w", **options) as archive:
            for member, data in members:
                archive.writestr(member, data)
        return tmp_path / name

    return write


@pytest.fixture
def members(folder: Path) -> list[tuple[str, bytes]]:
    """Name and bytes of all the tiny bundle's files, manifest.json first."""
    return [(name, (folder / name).read_bytes()) for name in ("manifest.json", *FILES)]
