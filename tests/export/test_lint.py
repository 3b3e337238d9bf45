"""Lint: what leaves the accelerator, from the real partitioners and tables, and where it is in the model."""

import json
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("coremltools")
pytest.importorskip("executorch")
pytest.importorskip("onnxscript")

from torch import nn  # noqa: E402

from pocketgan import cli, console  # noqa: E402
from pocketgan.cli.lint import _page  # noqa: E402
from pocketgan.errors import ExportError  # noqa: E402
from pocketgan.export.entry import export  # noqa: E402
from pocketgan.export.lint import lint  # noqa: E402
from pocketgan.export.lint.coreml import KNOWN_FALLS  # noqa: E402
from pocketgan.export.lint.executorch import READERS  # noqa: E402

pytestmark = pytest.mark.slow  # importing the exporters takes 15 s

EXAMPLE = (torch.zeros(1, 3, 32, 32),)

OWN = """
from torch import fft, nn
from torch.nn import functional

class Warp(nn.Module):
    def forward(self, x):
        return functional.grid_sample(x, x[:, :2].permute(0, 2, 3, 1), align_corners=False)

class Spectrum(nn.Module):
    def forward(self, x):
        return fft.rfft2(x).abs()

def warping():
    return nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, 3, 3), Warp())

def spectral():
    return nn.Sequential(nn.Conv2d(3, 3, 1), Spectrum())
"""


class Warp(nn.Module):
    def forward(self, x):
        return nn.functional.grid_sample(x, x[:, :2].permute(0, 2, 3, 1), align_corners=False)


class Sort(nn.Module):
    def forward(self, x):
        return x.sort(-1)[0]


def _fall(reading, layer):
    return next(fall for fall in reading.falls if fall.layer == layer)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A package of the user's, in the working folder."""
    (tmp_path / "own_lint.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("own_lint", None)


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command line; gives exit code, standard output and standard error."""

    def call(*arguments, columns=80):
        monkeypatch.setattr(sys, "argv", ["pocketgan", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    yield call
    console.use_json(False)


def test_xnnpack_is_told_as_the_export_finds_it(tmp_path):
    module = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, 3, 3), Warp(), nn.Conv2d(3, 3, 1))
    _, reading = lint(module, "executorch-xnnpack", EXAMPLE)["XNNPACK"]
    found = export(module, "executorch-xnnpack", folder=tmp_path, example=EXAMPLE).entry.delegation
    assert found is not None
    assert (reading.fraction, reading.subgraphs) == (found.delegated_fraction, found.subgraphs)
    assert reading.subgraphs == 2
    assert sum(sum(fall.operators.values()) for fall in reading.falls) == sum(found.fallen.values())


def test_plain_falls_name_layers_places_and_reasons():
    module = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4), nn.ReflectionPad2d(2))
    plain, exported = lint(module, "executorch-xnnpack", EXAMPLE)["XNNPACK"]
    pad = _fall(plain, "ReflectionPad2d")
    assert (pad.count, pad.where) == (2, ["0", "3"])
    assert "XNNPACK takes no" in pad.why
    assert "index" in pad.why
    assert "int64" in pad.why
    assert "zeros" in pad.change
    assert _fall(plain, "InstanceNorm2d").where == ["2"]
    assert not exported.falls


def test_what_no_rewrite_helps_is_left_in_both_forms():
    module = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, 3, 3), Warp(), Sort())
    plain, exported = lint(module, "executorch-xnnpack", EXAMPLE)["XNNPACK"]
    assert {"ReflectionPad2d", "grid_sample", "sort"} <= {fall.layer for fall in plain.falls}
    assert {fall.layer for fall in exported.falls} == {"grid_sample", "sort"}
    warp = _fall(exported, "grid_sample")
    assert (warp.count, warp.where, warp.operators) == (1, ["2"], {"grid_sampler_2d": 1})
    assert exported.taken == exported.total - 2
    assert warp.why == "XNNPACK takes no grid_sampler_2d"
    # ExecuTorch itself can warp, and cannot sort.
    assert "no kernel" in _fall(exported, "sort").why


@pytest.mark.parametrize(("target", "accelerator"), [("executorch-vulkan", "Vulkan"), ("executorch-coreml", "Core ML")])
def test_other_partitioners_answer_too(target, accelerator):
    module = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, 4, 3), nn.Conv2d(4, 3, 1), Sort()).eval()
    accelerators, read = READERS[target]
    assert accelerators == (accelerator,)
    reading = read(module, EXAMPLE)[accelerator]
    assert 0 < reading.taken <= reading.total
    if accelerator == "Vulkan":  # it takes no index, which reflection becomes
        assert _fall(reading, "ReflectionPad2d").where == ["0"]


def test_the_source_is_not_changed(network, example):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    lint(network, "coreml", example)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_core_ml_names_observed_falls_with_system_and_source():
    module = nn.Sequential(nn.Conv2d(3, 3, 3, padding=2, dilation=2), Warp(), nn.Conv2d(3, 3, 1))
    _, reading = lint(module, "coreml", EXAMPLE)["Neural Engine"]
    assert reading.subgraphs == 2
    warp, dilated = _fall(reading, "grid_sample"), _fall(reading, "Conv2d")
    assert (warp.where, dilated.where) == (["1"], ["0"])
    assert warp.since == "iOS 16"
    assert warp.source.endswith("coremltools/issues/1875")


def test_core_ml_names_sizes_beyond_the_limit():
    module = nn.Sequential(nn.Conv2d(3, 1, 1), nn.Flatten(2), nn.Unflatten(2, (128, 192)))
    _, reading = lint(module, "coreml", (torch.zeros(1, 3, 128, 192),))["Neural Engine"]
    assert [fall.layer for fall in reading.falls] == ["Flatten"]
    assert "16384" in reading.falls[0].why


def test_every_known_fall_has_a_system_and_a_source():
    for fall in KNOWN_FALLS:
        assert fall.since.startswith("iOS ")
        assert "/" in fall.source


def test_onnx_is_read_from_the_tables_of_onnx_runtime():
    layers = [nn.ReflectionPad2d(1), nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4), nn.ZeroPad2d(1)]
    layers += [nn.ConvTranspose2d(4, 3, 3, 2, 1, output_padding=1), nn.Conv2d(3, 3, 1)]
    found = lint(nn.Sequential(*layers), "onnx", EXAMPLE)
    nnapi, core_ml = found["NNAPI"][1], found["Core ML"][1]
    assert _fall(nnapi, "ReflectionPad2d").where == ["0"]
    assert "constant mode" in _fall(nnapi, "ReflectionPad2d").why
    assert _fall(nnapi, "InstanceNorm2d").why == "NNAPI takes no InstanceNormalization"
    assert not any(fall.layer == "ZeroPad2d" for fall in nnapi.falls)
    assert "output_padding" in _fall(core_ml, "ConvTranspose2d").why
    assert not any(fall.layer == "InstanceNorm2d" for fall in core_ml.falls)


def test_a_form_that_a_target_cannot_express_is_told_and_is_no_failure(own, run):
    code, out, _ = run("export", "own_lint:spectral", "--input", "3x16x16", "--target", "coreml", "--lint")
    assert code == 0
    assert "cannot be exported: coremltools does not know fft_rfft2, in 1 (Spectrum)" in " ".join(out.split())


def test_the_page_is_short_and_names_what_is_left(own, run):
    code, out, _ = run("export", "own_lint:warping", "--input", "3x16x16", "--target", "executorch-xnnpack", "--lint")
    assert code == 0
    assert out.splitlines()[0] == "executorch-xnnpack · XNNPACK"
    assert out.splitlines()[1].startswith("  plainly ")
    assert "rewritten ReflectionPad2d (1)" in out
    assert "- grid_sample, once: 2" in out
    assert len(out.splitlines()) == 7
    assert {path.name for path in Path().iterdir()} <= {"own_lint.py", "__pycache__"}


@pytest.mark.parametrize("columns", [80, 120])
def test_the_page_fits_the_terminal(columns):
    module = nn.Sequential(nn.Conv2d(3, 3, 3, padding=2, dilation=2), *[Warp() for _ in range(12)])
    lines = _page("coreml", lint(module, "coreml", EXAMPLE), columns).splitlines()
    assert columns - 20 < max(map(len, lines)) <= columns
    assert any("1, 2, 3 and 9 more" in line for line in lines)


def test_json_is_one_object_by_target_and_accelerator(own, run):
    arguments = ("export", "own_lint:warping", "--input", "3x16x16", "--target", "executorch-xnnpack", "--lint")
    code, out, _ = run(*arguments, "--json")
    assert code == 0
    forms = json.loads(out)["executorch-xnnpack"]["XNNPACK"]
    assert forms["plain"]["delegated_fraction"] < forms["exported"]["delegated_fraction"] < 1
    (fall,) = forms["exported"]["falls"]
    assert (fall["layer"], fall["where"], fall["count"]) == ("grid_sample", ["2"], 1)


def test_without_lint_an_export_needs_a_place(own, run):
    code, out, err = run("export", "own_lint:warping", "--input", "3x16x16", "--target", "onnx")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "--out" in err


def test_a_model_that_cannot_be_traced_is_one_line():
    class Branch(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(ExportError, match=r"1 \(Branch\) decides by the values"):
        lint(nn.Sequential(nn.Conv2d(3, 3, 1), Branch()), "onnx", EXAMPLE)
