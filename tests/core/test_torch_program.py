"""A `.pt2` file is loaded without trusting it."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from pocketgan.errors import BundleError  # noqa: E402
from pocketgan.torch_program import load_program  # noqa: E402


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt2"
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.InstanceNorm2d(4), torch.nn.Tanh()).eval()
    torch.export.save(torch.export.export(net, (torch.zeros(1, 3, 8, 8),)), path)
    return path


def changed(path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """The archive with `change` applied to every file of it."""
    out = path.with_name("changed.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, change(info.filename, old.read(info)))
    return out


class _Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return (Path.mkdir, (self.folder,))


def test_it_computes_what_torch_computes(saved: Path) -> None:
    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(load_program(saved)(image), torch.export.load(saved).module()(image))


def test_other_functions_than_operators_are_refused(saved: Path) -> None:
    def change(name: str, data: bytes) -> bytes:
        return data.replace(b"torch.ops.aten.tanh.default", b"torch.hub.load")

    with pytest.raises(BundleError, match=r"calls 'torch.hub.load', which is none of ATen's operators"):
        load_program(changed(saved, change))


def test_pickles_are_never_loaded(saved: Path, tmp_path: Path) -> None:
    evil = pickle.dumps(_Evil(tmp_path / "owned"))

    def flag(name: str, data: bytes) -> bytes:
        if not name.endswith("weights_config.json"):
            return evil if "/weights/" in name else data
        config = json.loads(data)
        for weight in config["config"].values():
            weight["use_pickle"] = True
        return json.dumps(config).encode()

    with pytest.raises(BundleError, match="holds a pickle, which is never loaded"):
        load_program(changed(saved, flag))

    def sample(name: str, data: bytes) -> bytes:
        return evil if "sample_inputs" in name else data

    with pytest.raises(BundleError, match="torch cannot load it"):
        load_program(changed(saved, sample))
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("content", [b"no archive", b""])
def test_what_is_no_program_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pt2"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"model\.pt2: is no file of torch\.export"):
        load_program(path)
    with pytest.raises(BundleError, match=r"none\.pt2: is no file of torch\.export"):
        load_program(tmp_path / "none.pt2")


def test_shapes_must_be_fixed(tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    batch = torch.export.Dim("batch", min=2, max=8)
    program = torch.export.export(torch.nn.ReLU(), (torch.zeros(4, 3),), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)
    with pytest.raises(BundleError, match="its shapes are not fixed"):
        load_program(path)
