"""`pocketgan export` from the shell."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("executorch")

import pocketgan.bench.schema
from pocketgan import api, console
from pocketgan.bundle.check import check
from pocketgan.bundle.manifest import Manifest
from pocketgan.bundle.reader import open_bundle
from pocketgan.cli import main
from pocketgan.outcomes import ExportedBundle

NETWORK = """
from torch import nn
def net():
    return nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1), nn.Tanh())
"""


# Core ML's converter knows no FFT.
SPECTRUM = """
import torch
from torch import nn
class Spectrum(nn.Module):
    def forward(self, image):
        return torch.fft.irfft2(torch.fft.rfft2(image), s=image.shape[-2:])
def net():
    return Spectrum()
"""


@pytest.fixture
def export(tmp_path, monkeypatch, capsys):
    """`pocketgan export` in the test's folder: exit code, standard output and standard error."""

    def run(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["pocketgan", "export", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        console.use_json(False)
        return end.value.code, *capsys.readouterr()

    return run


@pytest.mark.slow
def test_all_targets_in_one_go(export, tmp_path):
    targets = "onnx,executorch-xnnpack,coreml"
    (tmp_path / "net_of_all_targets.py").write_text(NETWORK)
    code, out, said = export(
        "net_of_all_targets:net", "--input", "3x16x16", "--target", targets, "--out", "out", "--json"
    )
    assert code == 0, said
    assert all(line.startswith("export: ") for line in said.splitlines()), said
    payload = json.loads(out)
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
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"net_of_all_targets.py", "out"}


@pytest.mark.slow
def test_an_entry_that_cannot_be_written_is_listed_with_exit_code_1(export, tmp_path):
    (tmp_path / "net_of_spectrum.py").write_text(SPECTRUM)
    command = ("net_of_spectrum:net", "--input", "3x16x16", "--target", "torch,coreml", "--out", "x.pgb")
    code, out, said = export(*command, "--json")
    assert code == 1, said
    payload = json.loads(out)
    assert payload["torch-fp32"]["parity"]["passed"]
    assert list(payload["coreml-fp16"]) == ["error"]
    assert "coreml cannot express" in payload["coreml-fp16"]["error"]
    assert check(tmp_path / "x.pgb") == []
    with open_bundle(tmp_path / "x.pgb") as bundle:
        assert [entry.id for entry in bundle.manifest.entries] == ["torch-fp32"]


def test_mistakes_are_told_before_the_model_is_looked_for(export, tmp_path):
    command = ("no.such:network", "--input", "3x16x16", "--target", "onnx,coreml", "--precision", "int8,w8a8")
    code, _, said = export(*command, "--ios", "16", "--out", "out")
    assert code == 2
    assert [line.partition(": ")[0] for line in said.removeprefix("pocketgan: ").splitlines()] == [
        "onnx-int8",
        "coreml-w8a8",
    ]
    assert "--calibration names a folder" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_pgb_is_packed_directly(export, tmp_path):
    code, out, said = export("resnet9", "--ngf", "2", "--input", "3x16x16", "--target", "onnx", "--out", "x.pgb")
    assert code == 0, said
    assert "onnx-fp32" in out
    assert check(tmp_path / "x.pgb") == []
    assert [path.name for path in tmp_path.iterdir()] == ["x.pgb"]


@pytest.mark.slow
def test_a_function_that_misses_its_floor_ends_with_exit_code_1(export, tmp_path):
    (tmp_path / "below.py").write_text(NETWORK)
    arguments = ("--input", "3x16x16", "--target", "onnx", "--precision", "fp16", "--floor", "200", "--out", "x.pgb")
    code, _, said = export("below:net", *arguments)
    assert code == 1
    assert "below the floor of 200 dB" in said
    assert not (tmp_path / "x.pgb").exists()


def test_a_pack_tells_how_well_each_concept_is_drawn(export, monkeypatch):
    folder = Path(pocketgan.bench.schema.__file__).resolve().parent / "examples"
    manifest = Manifest.model_validate_json((folder / "valid-manifest-concepts.json").read_text())
    asked = {}

    def exported(*_, **options):
        asked.update(options)
        return ExportedBundle(Path("effects.pgb"), manifest, {})

    monkeypatch.setattr(api, "export", exported)
    arguments = (
        "base.safetensors",
        "--target",
        "onnx",
        "--concepts",
        "effects",
        "--default",
        "night",
        "--out",
        "e.pgb",
    )
    code, out, _ = export(*arguments)
    assert (code, asked["concepts"], asked["default"]) == (0, Path("effects"), "night")
    assert re.search(r"night +as the entry\n", out)
    assert re.search(r"ink +118\.2 dB\n", out)
    _, out, _ = export(*arguments, "--json")
    assert json.loads(out)["onnx-fp32"]["concepts"]["ink"] == {
        "psnr_db": 118.2,
        "max_abs_error": 1e-05,
        "ssim": None,
        "passed": True,
    }


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
        (("resnet9", "--target", "onnx", "--concepts", "."), "--concepts takes a base's model file"),
        (("resnet9", "--target", "onnx", "--default", "ink"), "--default names one of the concepts of a pack"),
        (("resnet9", "--target", "coreml", "--concepts", ".", "--ios", "17"), "need iOS 18; iOS 17 is older"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(export, arguments, expected, tmp_path):
    code, _, said = export(*arguments, "--out", "out")
    assert code == 2
    assert expected in said
    assert len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
