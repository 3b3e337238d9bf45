"""What cannot be exported ends in one line that names the operator and the module of the user's model."""

import re

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("coremltools")
pytest.importorskip("executorch")
pytest.importorskip("onnxscript")

from torch import nn  # noqa: E402

from pocketgan.errors import ExportError, ModelError  # noqa: E402
from pocketgan.export.entry import export  # noqa: E402
from pocketgan.export.unsupported import place_of  # noqa: E402
from pocketgan.training.generators import NAMES, build, spec_by_name  # noqa: E402

pytestmark = pytest.mark.slow  # importing the exporters takes 15 s

EXAMPLE = (torch.zeros(1, 3, 16, 16),)


@torch.library.custom_op("pocketgan_test::twice", mutates_args=())
def _twice(x: torch.Tensor) -> torch.Tensor:
    return x * 2


@_twice.register_fake
def _(x):
    return torch.empty_like(x)


class Branch(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x
        return -x


class Loop(nn.Module):
    def forward(self, x):
        while x.abs().max() > 1:
            x = x / 2
        return x


class Crop(nn.Module):
    def forward(self, x):
        rows = int((x > 0).sum())
        return x[:, :, : rows % 7 + 1]


class Numpy(nn.Module):
    def forward(self, x):
        return torch.from_numpy(x.numpy() * 2)


class Svd(nn.Module):
    def forward(self, x):
        return torch.linalg.svd(x, full_matrices=False)[0]


class Spectrum(nn.Module):
    def forward(self, x):
        return torch.fft.rfft2(x).abs()


class Warp(nn.Module):
    def forward(self, x):
        return nn.functional.grid_sample(x, x[:, :2].permute(0, 2, 3, 1), align_corners=False)


class Distinct(nn.Module):
    def forward(self, x):
        return x * torch.unique(x).numel()


class Custom(nn.Module):
    def forward(self, x):
        return _twice(x)


class Network(nn.Module):
    """A layer at `body.1`, between convolutions."""

    def __init__(self, layer):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 3, 1), layer)
        self.tail = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.tail(self.body(x))


class TwoImages(nn.Module):
    def forward(self, image, mask):
        return image * mask


class TwoOutputs(nn.Module):
    def forward(self, x):
        return x, x * 2


def _refusal(module, target, folder, example=EXAMPLE):
    with pytest.raises(ExportError) as caught:
        export(module.eval(), target, folder=folder, example=example)
    message = str(caught.value)
    assert "\n" not in message
    assert "site-packages" not in message
    return message


@pytest.mark.parametrize(
    ("layer", "line"),
    [(Branch, "if x.sum() > 0:"), (Loop, "while x.abs().max() > 1:"), (Crop, "rows = int((x > 0).sum())")],
)
def test_control_flow_by_values_names_the_module_and_the_line(layer, line, tmp_path):
    message = _refusal(Network(layer()), "onnx", tmp_path)
    assert f"body.1 ({layer.__name__}) decides by the values of a tensor" in message
    assert re.search(rf"test_unsupported\.py line \d+: {re.escape(line)}", message)
    assert "torch.where" in message


def test_paths_are_those_of_the_users_own_sequence(tmp_path):
    message = _refusal(nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sequential(nn.ReLU(), Branch())), "coreml", tmp_path)
    assert " 1.1 (Branch) decides by the values" in message
    assert message.startswith("Sequential cannot be traced")


def test_what_tracing_does_not_take_names_the_module(tmp_path):
    assert "in body.1 (Numpy), test_unsupported.py line" in _refusal(Network(Numpy()), "onnx", tmp_path)


@pytest.mark.parametrize(
    ("layer", "target", "expected"),
    [
        (Svd, "onnx", "torch.onnx does not know _linalg_svd"),
        (Svd, "executorch-xnnpack", "ExecuTorch's runtime has no kernel for _linalg_svd"),
        (Svd, "coreml", "coremltools does not know linalg_svd"),
        (Spectrum, "coreml", "coremltools does not know fft_rfft2"),
        (Distinct, "executorch-xnnpack", "no kernel for _unique2"),
        (Distinct, "coreml", "the shape of what _unique2 gives depends on values"),
        (Custom, "onnx", "torch.onnx does not know pocketgan_test::twice"),
        (Custom, "executorch-xnnpack", "ExecuTorch does not know pocketgan_test::twice"),
        (Custom, "coreml", "coremltools does not know pocketgan_test::twice"),
    ],
)
def test_an_unsupported_operator_is_named_with_its_module(layer, target, expected, tmp_path):
    message = _refusal(Network(layer()), target, tmp_path)
    assert expected in message
    assert message.endswith(f"in body.1 ({layer.__name__})")


def test_an_operation_that_the_evaluator_does_not_know_is_named_with_its_module():
    error = ExportError("Core ML's operation 'resample' (grid_sampler_cast_fp16) is not known to this evaluator")
    assert place_of(error, Network(Warp()).eval(), EXAMPLE) == ", in body.1 (Warp)"
    assert place_of(ExportError("no calibration"), Network(Warp()).eval(), EXAMPLE) == ""


@pytest.mark.parametrize(("layer", "target"), [(Spectrum, "onnx"), (Warp, "onnx"), (Warp, "executorch-xnnpack")])
def test_what_a_target_can_do_slowly_is_not_refused(layer, target, tmp_path):
    parity = export(Network(layer()).eval(), target, folder=tmp_path, example=EXAMPLE).entry.parity
    assert parity is not None
    assert parity.passed


def test_a_shape_that_a_layer_cannot_take_names_the_layer(tmp_path):
    message = _refusal(Network(nn.Conv2d(5, 3, 3)), "onnx", tmp_path)
    assert "does not take an input of 1x3x16x16" in message
    assert "expected input[1, 3, 16, 16] to have 5 channels" in message
    assert "in body.1 (Conv2d)" in message


@pytest.mark.parametrize("name", NAMES)
def test_every_family_refuses_a_size_in_one_line_that_says_which_it_takes(name):
    with pytest.raises(ModelError, match=r"\d") as caught:
        build(spec_by_name(name, ngf=4, height=50, width=51))
    assert "\n" not in str(caught.value)


def test_two_inputs_and_two_outputs_are_said_plainly(tmp_path):
    assert _refusal(TwoImages(), "onnx", tmp_path / "inputs").endswith(
        "it takes 2 inputs (image, mask); generators are exported with one image"
    )
    assert "TwoOutputs gives tuple; one image" in _refusal(TwoOutputs(), "onnx", tmp_path / "outputs")
