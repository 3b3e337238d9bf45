"""Tiny real bundles: one convolution in ONNX, golden outputs computed with numpy."""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from adb_device import SimulatedPhone
from adb_server import HOW_TO_GET_ADB, SOURCES, adb_server, program

from pocketgan.bench.devices.adb import Adb
from pocketgan.bundle.manifest import Component, Entry, GoldenSet, GoldenTensor, Manifest, Parity, TensorSpec
from pocketgan.bundle.packing import pack_folder, record_file, write_manifest
from pocketgan.cli import main

MakeBundle = Callable[..., Path]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks of tests do not meet those of the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def convolution_weights(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.normal(0, 0.2, (3, 3, 3, 3)).astype("f4"), generator.normal(0, 0.1, 3).astype("f4")


def convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """3x3 convolution with zero padding 1 of (1, c, h, w)."""
    _, _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    taps = [(i, j) for i in range(3) for j in range(3)]
    total = sum(
        np.einsum("oc,chw->ohw", weight[:, :, i, j], padded[0, :, i : i + height, j : j + width]) for i, j in taps
    )
    return np.asarray(total + bias[:, None, None], dtype="f4")[None]


def onnx_convolution(size: int, layers: int, seed: int = 0) -> bytes:
    """`layers` convolutions 3 -> 3 one after the other, input `x`, output `y`, (1, 3, size, size)."""
    from onnx import TensorProto, helper, numpy_helper

    weight, bias = convolution_weights(seed)
    nodes = [
        helper.make_node(
            "Conv",
            ["x" if i == 0 else f"h{i}", "w", "b"],
            ["y" if i == layers - 1 else f"h{i + 1}"],
            kernel_shape=[3, 3],
            pads=[1, 1, 1, 1],
        )
        for i in range(layers)
    ]
    shape = [1, 3, size, size]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """Packs a bundle of one entry, `<target>-fp32`, whose golden output is off by `wrong_by`."""

    def make(
        name: str = "tiny",
        size: int = 16,
        layers: int = 1,
        image: bool = True,
        wrong_by: float = 0.0,
        model: bytes | None = None,
        runtime: str = "onnxruntime",
        target: str = "onnx",
        parity: Parity | None = None,
        golden: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Path:
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=tmp_path))
        entry_id = f"{target}-fp32"
        if golden is None:
            x = np.random.default_rng(1).uniform(-1, 1, (1, 3, size, size)).astype("f4")
            y = x
            for _ in range(layers):
                y = convolve(y, *convolution_weights())
        else:
            x, y = golden
        content = {
            f"models/{entry_id}/model.bin": onnx_convolution(size, layers) if model is None else model,
            "golden/rgb/x.bin": x.astype("<f4").tobytes(),
            "golden/rgb/y.bin": (y + wrong_by).astype("<f4").tobytes(),
        }
        for path, data in content.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)

        def spec(tensor: str) -> TensorSpec:
            return TensorSpec(
                name=tensor,
                shape=[1, 3, size, size],
                layout="NCHW" if image else None,
                dtype="float32",
                value_range=(-1, 1) if image else None,
                colour_space="RGB" if image else None,
            )

        def values(tensor: str) -> GoldenTensor:
            file = record_file(folder, f"golden/rgb/{tensor}.bin")
            return GoldenTensor(name=tensor, dtype="float32", shape=[1, 3, size, size], file=file)

        component = Component(
            name="generator",
            entry_point="model.bin",
            files=[record_file(folder, f"models/{entry_id}/model.bin")],
            inputs=[spec("x")],
            outputs=[spec("y")],
        )
        manifest = Manifest(
            name=name,
            role="student",
            trained=False,
            entries=[
                Entry(
                    id=entry_id,
                    target=target,
                    precision="fp32",
                    runtime=runtime,
                    runtime_version="1",
                    golden="rgb",
                    parity=parity,
                    components=[component],
                )
            ],
            golden=[GoldenSet(id="rgb", inputs=[values("x")], outputs=[values("y")])],
        )
        write_manifest(folder, manifest)
        out = tmp_path / f"{name}.pgb"
        pack_folder(folder, out)
        return out

    return make


@pytest.fixture
def environment() -> dict[str, str]:
    """For a pocketgan in a subprocess: as here, but no progress bar."""
    return {**os.environ, "TERM": "dumb"}


@pytest.fixture
def pocketgan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line, in the test's folder and in this process."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = ["pocketgan", *map(str, arguments)]
        out, errors = io.StringIO(), io.StringIO()
        with monkeypatch.context() as patch, redirect_stdout(out), redirect_stderr(errors):
            patch.chdir(tmp_path)
            patch.setattr(sys, "argv", command)
            patch.setenv("TERM", "dumb")
            with pytest.raises(SystemExit) as end:
                main()
        return subprocess.CompletedProcess(command, int(end.value.code or 0), out.getvalue(), errors.getvalue())

    return run


@pytest.fixture(scope="module", params=SOURCES)
def adb(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adb]:
    """A real adb with a server of its own."""
    path = program(request.param)
    if path is None:
        pytest.skip(f"no adb ({request.param}): {HOW_TO_GET_ADB}")
    with adb_server(path, tmp_path_factory.mktemp("home")) as server:
        yield server


@pytest.fixture(scope="module")
def newest_adb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adb]:
    """As `adb`, one alone."""
    path = next(filter(None, map(program, reversed(SOURCES))), None)
    if path is None:
        pytest.skip(f"no adb: {HOW_TO_GET_ADB}")
    with adb_server(path, tmp_path_factory.mktemp("home")) as server:
        yield server


@pytest.fixture
def no_adb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This computer as it is without adb."""
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "adbutils" else real(name))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ANDROID_HOME", raising=False)
    monkeypatch.delenv("ANDROID_SDK_ROOT", raising=False)


@pytest.fixture
def simulated(adb: Adb, tmp_path: Path) -> Iterator[SimulatedPhone]:
    """A simulated phone that the real adb is connected to."""
    with SimulatedPhone(tmp_path / "phone", {"getprop": ""}) as phone:
        adb.connect(phone.serial)
        yield phone
        adb.ask("disconnect", phone.serial)
