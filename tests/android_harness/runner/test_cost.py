"""What the native runner's loop adds to an inference."""

from __future__ import annotations

import subprocess
from pathlib import Path
from statistics import median

import pytest
from native_runner import library, repack, shell_job, write_session

pytestmark = pytest.mark.heavy

BLOCKS, FRAMES = 100, 20


@pytest.fixture
def five_milliseconds(tmp_path: Path) -> Path:
    """A session of a model that takes some 5 ms, whose tensors are no pictures: conversions are no part of the loop."""
    torch = pytest.importorskip("torch")
    from pocketgan import api

    def convolution(inside: int, outside: int) -> object:
        return torch.nn.Conv2d(inside, outside, 3, padding=1)

    layers = [convolution(3, 16), *(convolution(16, 16) for _ in range(8)), convolution(16, 3)]
    api.export(torch.nn.Sequential(*layers), "onnx", tmp_path / "model.pgb", input=(3, 128, 128), name="five")
    folder = write_session(tmp_path / "s", [tmp_path / "model.pgb"], [[shell_job(tmp_path / "model.pgb")]])

    def no_pictures(manifest, place):
        component = manifest["entries"][0]["components"][0]
        for spec in (*component["inputs"], *component["outputs"]):
            spec["colour_space"] = None

    repack(folder, no_pictures)
    return folder


def test_the_loop_adds_less_than_a_hundredth(built, five_milliseconds):
    command = [built / "runner-checks", "loop", library(), five_milliseconds, str(BLOCKS), str(FRAMES)]
    told = subprocess.check_output(command, text=True)
    pairs = [tuple(map(int, line.split())) for line in told.splitlines()]
    bare_ms = median(bare for bare, _ in pairs) / FRAMES / 1e6
    added = median(ours / bare for bare, ours in pairs) - 1
    print(f"\nnative loop: adds {added:+.3%} to {bare_ms:.2f} ms ({BLOCKS} blocks of {FRAMES} frames in turns)")
    assert bare_ms < 15
    assert added < 0.01
