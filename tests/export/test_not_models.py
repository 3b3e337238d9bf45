"""What is said of things that are no model: what they are, and the command that takes them."""

import sys

import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")

from pocketgan.cli import main
from pocketgan.export.not_models import advice

FILES = ("net.pth", "net.onnx", "net.pte", "net.pgb", "net.tflite", "odd name.pt", "own.py", "deep/own.py", "net.dat")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    for name in FILES:
        (tmp_path / name).write_bytes(b"something of another kind")
    (tmp_path / "net.mlpackage").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("net.pth", "pocketgan import-checkpoint net.pth --family"),
        ("net.pth", "give package.module:function"),
        ("odd name.pt", "import-checkpoint 'odd name.pt'"),
        ("net.onnx", "pocketgan bundle pack --onnx net.onnx --out net.pgb"),
        ("net.pte", "pocketgan bundle pack --pte net.pte --out net.pgb"),
        ("net.mlpackage", "pocketgan bundle pack --mlpackage net.mlpackage --out net.pgb"),
        ("net.pgb", "is a bundle"),
        ("net.tflite", "TensorFlow Lite, which pocketgan does not read"),
        ("gone.pth", "there is no file gone.pth"),
        ("own.py:fn", "own:fn"),
        ("deep/own.py:fn", "deep.own:fn"),
        ("own.py", "name the function in it, from the working folder: own:FUNCTION"),
        ("own", "own:FUNCTION"),
    ],
)
def test_each_is_pointed_to_what_takes_it(folder, text, expected):
    assert expected in advice(text)


def test_a_path_from_elsewhere_is_told_from_its_folder(folder, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert "give own:fn" in advice(f"{folder}/own.py:fn")


@pytest.mark.parametrize("text", ["resnet9", "own:fn", "package.module:function", "model.safetensors", "nothing"])
def test_models_and_unknown_names_get_no_advice(folder, text):
    assert advice(text) is None


@pytest.mark.parametrize(
    ("command", "texts"),
    [
        (["cost"], ["net.pth", "own.py:fn"]),  # it counts ONNX files
        (["export", "--target", "onnx", "--out", "x"], ["net.pth", "net.onnx", "own.py:fn"]),
        (["search", "--budget", "1G", "--out", "x"], ["net.pth", "net.onnx", "own.py:fn"]),
    ],
)
def test_every_command_that_takes_a_model_says_it_in_one_line(folder, command, texts, monkeypatch, capsys):
    for text in texts:
        monkeypatch.setattr(sys, "argv", ["pocketgan", command[0], text, *command[1:]])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 2
        assert capsys.readouterr().err == f"pocketgan: {advice(text)}\n"
