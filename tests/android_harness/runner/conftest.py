"""A bundle that the exporter wrote, and the native runner built for this computer."""

from __future__ import annotations

from pathlib import Path

import pytest
from native_runner import Run, build, library, runner, why_not_buildable


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny generator as onnx-fp32 and as onnx-fp32-image."""
    pytest.importorskip("onnxscript")
    torch = pytest.importorskip("torch")
    from pocketgan import api

    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(4, 3, 3, padding=1), torch.nn.Tanh()
    )
    path = tmp_path_factory.mktemp("exported") / "tiny.pgb"
    api.export(network, "onnx", path, input=(3, 24, 16), io=["tensor", "image"], name="tiny")
    return path


@pytest.fixture(scope="session")
def built() -> Path:
    """Folder of the runner and its checks, built for this computer."""
    if missing := why_not_buildable():
        pytest.skip(missing)
    return build("host", "-DRUNNER_CHECKS=ON")


@pytest.fixture(scope="session")
def run(built: Path) -> Run:
    return runner([str(built / "pocketgan-runner")], library())
