"""The Python API: docs/api.md as it stands there, and what callers may do wrong."""

import inspect
import re
import subprocess
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from concept_folders import make_concepts, write_texts
from concepts import base_of
from PIL import Image
from torch import nn

from pocketgan import api
from pocketgan.errors import BundleError, ExportError, ModelError, PocketganError
from pocketgan.training.generators.files import save_generator

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
# A network that pocketgan has never seen.
MINE = """
import torch
from torch import nn
from torch.nn import functional


class Glow(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inward = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.outward = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, picture):
        small = functional.silu(self.norm(self.inward(picture)))
        return torch.tanh(picture + functional.interpolate(self.outward(small), scale_factor=2))


def network(width=8):
    torch.manual_seed(1)
    return Glow(width).eval()
"""


@pytest.fixture
def glow(tmp_path, monkeypatch):
    """The module of that network, in a folder of its own with a few photos."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "photos").mkdir()
    for name in ("one", "two"):
        pixels = np.random.default_rng(len(name)).integers(0, 255, (50, 80, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("mine", None)
    yield import_module("mine")
    del sys.modules["mine"]


@pytest.fixture
def concepts(tmp_path):
    """A base, pairs of two concepts, and the features of their texts."""
    base, texts = base_of(), {"red": "make it red", "dark": "make it dark"}
    save_generator(tmp_path / "base.safetensors", base.module, base.spec, base.metadata)
    make_concepts(tmp_path / "pairs", texts)
    write_texts(tmp_path / "texts.safetensors", *texts.values())


@pytest.mark.usefixtures("concepts")
def test_the_page_runs_as_it_stands_there(glow, tmp_path, capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) >= 8
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["bundle"].manifest.entries[0].parity.passed
    assert names["rows"][0].fps > 0
    assert names["page"].is_file()
    assert names["decision"].verdict == "REGRESSION"
    assert names["student"].cost.macs <= 300e6
    assert [stage.name for stage in names["summary"].stages] == ["data", "teacher", "compress", "distill"]
    assert [path.name for path in names["after"]] == ["one.png", "two.png"]
    assert names["whole"].base_sha256 == names["learnt"].base_digest
    assert {one.name: one.state for one in names["effects"].concepts} == {"red": "done", "dark": "done"}
    assert (tmp_path / "student.safetensors").is_file()
    assert "there is no model 'resnet7'" in capsys.readouterr().out


def test_every_function_is_on_the_page():
    assert all(f"api.{name}(" in PAGE.read_text() for name in api.__all__ if name.islower())


def test_exporting_leaves_the_module_as_it_was(glow, tmp_path):
    module = glow.network().train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    api.export(module, "onnx", tmp_path / "x.pgb", input=(3, 32, 32))
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert module.training
    assert sorted(path.name for path in tmp_path.iterdir() if "x" in path.name) == ["x.pgb"]


def test_a_module_and_the_function_that_makes_it_give_the_same_files(glow, tmp_path):
    written = api.export(glow.network(), "onnx", tmp_path / "module", input=(3, 32, 32))
    same = api.export("mine:network", "onnx", tmp_path / "function", input=(3, 32, 32))
    files = [one.manifest.entries[0].components[0].files for one in (written, same)]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda net: api.export(net, "onnx", "x.pgb"), ModelError, r"Glow needs its input's shape: input=\(3, 256"),
        (lambda net: api.export(net, "onxx", "x.pgb", input=(3, 32, 32)), ExportError, "no target 'onxx'"),
        (lambda net: api.export(net, "onnx", "x.pgb", input=(4, 32, 32)), PocketganError, "4x32x32"),
        (lambda net: api.export(net, "onnx", "x.pgb", io="pixels", input=(3, 32, 32)), ExportError, "tensor or image"),
        (lambda net: api.export(net, "onnx", "x.pgb", name="a b", input=(3, 32, 32)), BundleError, "letters, digits"),
        (
            lambda net: api.export(net, "executorch-qualcomm", "x.pgb", input=(3, 32, 32)),
            ExportError,
            r"package.module:function|QNN",
        ),
        (lambda net: api.search(net, "1M", input=(3, 32, 32)), ModelError, "Glow cannot be pruned"),
        (lambda net: api.verify("nowhere.pgb"), BundleError, "no such file"),
        (lambda net: api.apply("nowhere.pgb", "photos", "after"), ModelError, "no model or bundle nowhere.pgb"),
        (lambda net: api.cost(net), ModelError, "Glow needs its input's shape"),
    ],
)
def test_mistakes_are_errors_of_one_line_and_leave_nothing(glow, tmp_path, call, error, message):
    with pytest.raises(error, match=message) as caught:
        call(glow.network())
    assert "\n" not in str(caught.value)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(("x", ".x", "after"))]


def test_a_network_that_breaks_down_in_this_process_is_said_in_one_line(tmp_path):
    class Broken(nn.Module):
        def forward(self, picture):
            raise RuntimeError("no such luck")

    with pytest.raises(PocketganError, match=r"Broken.*no such luck"):
        api.export(Broken(), "onnx", tmp_path / "x.pgb", input=(3, 8, 8))


def test_the_commands_defaults_are_the_apis():
    from pocketgan.bench.jobs import JobOptions
    from pocketgan.cli.measure import bench

    options = {field.name: field.default for field in fields(JobOptions)} | {"seconds": JobOptions.duration_s}
    ours = {name: one.default for name, one in inspect.signature(api.bench).parameters.items()}
    commands = {name: one.default for name, one in inspect.signature(bench).parameters.items()}
    for name in ("mode", "iterations", "rounds", "runs", "seconds", "threads", "cold_repeats", "most_runs"):
        assert ours[name] == commands[name] == options[name], name


def test_importing_it_imports_no_part():
    code = "import sys; before = set(sys.modules); from pocketgan import api; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    foreign = {name for name in done.stdout.split() if name.partition(".")[0] not in sys.stdlib_module_names}
    assert foreign == {
        "pocketgan",
        "pocketgan.api",
        "pocketgan.api_bench",
        "pocketgan.api_concepts",
        "pocketgan.outcomes",
    }
