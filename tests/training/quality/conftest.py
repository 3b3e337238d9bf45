"""Small networks and folders that the quality metrics are tested on."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")


class Tiny(torch.nn.Module):
    """Features of resized pictures: one convolution, averaged."""

    def __init__(self, features: int = 8) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.net = torch.nn.Sequential(torch.nn.Conv2d(3, features, 7, stride=8), torch.nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x).mean([2, 3])


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing can be downloaded, and nothing that was downloaded earlier is seen."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture
def extractor(tmp_path: Path) -> Path:
    """A TorchScript file that takes what Inception takes and returns 8 features."""
    path = tmp_path / "tiny.pt"
    torch.jit.script(Tiny()).save(str(path))
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., Path]:
    """Write a folder of `count` random pictures with soft structure, in several sizes and formats."""

    def write(name: str, count: int, seed: int = 0, size: tuple[int, int] | None = None) -> Path:
        folder = tmp_path / name
        random = np.random.default_rng(seed)
        for index in range(count):
            small = random.integers(0, 256, (6, 5, 3), np.uint8)
            target = size or (40 + 7 * (index % 3), 330 if index % 4 == 0 else 48)
            image = Image.fromarray(small).resize((target[1], target[0]), Image.Resampling.BILINEAR)
            folder.mkdir(exist_ok=True)
            image.save(folder / f"{index:03}.{'jpg' if index % 5 == 4 else 'png'}")
        return folder

    return write
