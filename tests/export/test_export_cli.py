"""`pocketgan export` from the shell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("executorch")

from pocketgan.bundle import check
from pocketgan.cli import main

NETWORK = """
from torch import nn
def net():
    return nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1), nn.Tanh())
"""


def _export(folder: Path, *arguments: str, command: tuple[str, ...] = (sys.executable, "-m", "pocketgan")):
    return subprocess.run([*command, "export", *arguments], cwd=folder, capture_output=True, text=True, timeout=180)


@pytest.mark.slow
def test_all_targets_in_one_go(tmp_path):
    targets = "onnx,executorch-xnnpack,coreml"
    script = str(Path(sys.executable).with_name("pocketgan"))
    (tmp_path / "mine.py").write_text(NETWORK)
    arguments = ("mine:net", "--input", "3x16x16", "--target", targets, "--out", "out", "--json")
    done = _export(tmp_path, *arguments, command=(script,))
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("export: ") for line in done.stderr.splitlines()), done.stderr
    payload = json.loads(done.stdout)
    assert set(payload) == {"onnx-fp32", "executorch-xnnpack-fp32", "coreml-fp16"}
    assert payload["onnx-fp32"]["parity"]["psnr_db"] > 100
    assert payload["onnx-fp32"]["parity"]["max_abs_error"] < 1e-4
    assert payload["coreml-fp16"]["parity"]["psnr_db"] > 60
    assert payload["executorch-xnnpack-fp32"]["delegated_fraction"] == 1
    assert payload["executorch-xnnpack-fp32"]["subgraphs"] == 1
    for entry in payload.values():
        assert (tmp_path / entry["path"]).exists()
        assert entry["bytes"] > 0
    assert check(tmp_path / "out") == []
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"mine.py", "out"}


@pytest.mark.slow
def test_a_pgb_is_packed_directly(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["resnet9", "--ngf", "2", "--input", "3x16x16", "--target", "onnx", "--out", "x.pgb"]
    monkeypatch.setattr(sys, "argv", ["pocketgan", "export", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert "onnx-fp32" in capsys.readouterr().out
    assert check(tmp_path / "x.pgb") == []
    assert [path.name for path in tmp_path.iterdir()] == ["x.pgb"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("resnet9", "--target", "tflite"), "there is no target 'tflite'; there are onnx, executorch-xnnpack, coreml"),
        (("resnet9", "--target", "onnx", "--precision", "int3"), "none of the targets has precision 'int3'"),
        (("resnet9", "--target", "onnx,coreml", "--precision", "4bit"), "target onnx has no precision '4bit'"),
        (("resnet9", "--target", "onnx", "--precision", "int8", "--calibration", "no"), "there is no folder no"),
        (("resnet9", "--target", "onnx", "--io", "pixels"), "--io is tensor or image, or both with a comma between"),
        (("resnet9", "--target", "onnx", "--input", "256"), "--input is channels x height x width"),
        (("nothing", "--target", "onnx"), "there is no model 'nothing'"),
        (("resnet9", "--target", "onnx", "--name", "../x"), "--name takes letters"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["pocketgan", "export", *arguments, "--out", "out"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert expected in said
    assert len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
