"""Every precision of every target: near the source, small, and refused in one line where it cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("coremltools")
pytest.importorskip("executorch")
onnx = pytest.importorskip("onnx")

from pocketgan.errors import ExportError, ParityError  # noqa: E402
from pocketgan.export.entry import export  # noqa: E402
from pocketgan.export.golden import natural_images  # noqa: E402
from pocketgan.export.mil import Program  # noqa: E402
from pocketgan.export.targets import TARGETS  # noqa: E402

pytestmark = pytest.mark.slow  # importing the exporters takes 15 s

CALIBRATION = natural_images(3, 32, 32, count=8)
CHECKED = [
    (name, precision) for name, target in TARGETS.items() if target.checked_by for precision in target.precisions
]
FORMS = [(name, precision) for name, precision in CHECKED if precision != "mixed"]
MIXED = [name for name, precision in CHECKED if precision == "mixed"]
# test_targets exports every target's default twice.
AGAIN = [("onnx", "int8"), ("executorch-xnnpack", "int8"), ("coreml", "6bit"), ("coreml", "int8"), ("coreai", "fp32")]


@pytest.fixture
def network(settle):
    """Enough weights that their precision shows in the size of the file."""
    nn = torch.nn
    return settle(
        nn.Sequential(
            nn.Conv2d(3, 64, 3, padding=1),
            nn.InstanceNorm2d(64),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.InstanceNorm2d(64),
            nn.ReLU(),
            nn.ConvTranspose2d(64, 16, 3, padding=1),
            nn.Conv2d(16, 3, 1),
            nn.Tanh(),
        )
    )


def _files(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# Measured on this network, with a margin of 3 dB; the sizes of weights in files.
LEAST_DB = {"fp32": 100, "fp16": 50, "int8": 17, "w8a8": 17, "8bit": 30, "6bit": 20, "4bit": 8, "int4": 8}
MOST_BYTES = {
    "fp32": 1.3,
    "fp16": 0.7,
    "int8": 0.45,
    "w8a8": 0.45,
    "8bit": 0.4,
    "6bit": 0.35,
    "4bit": 0.3,
    "int4": 0.3,
}


@pytest.mark.parametrize(("target", "precision"), FORMS)
def test_each_precision_computes_the_source_and_is_small(target, precision, network, example, tmp_path):
    if target == "coreai":
        pytest.importorskip("coreai_torch")
    entry = export(network, target, precision, folder=tmp_path / "a", example=example, calibration=CALIBRATION).entry
    assert entry.parity is not None
    assert entry.parity.psnr_db is None or entry.parity.psnr_db > LEAST_DB[precision]
    weights = 4 * sum(parameter.numel() for parameter in network.parameters())
    # ExecuTorch stores the weights of XNNPACK's convolutions in float32 where they are not integers.
    share = 1 if (target, precision) == ("executorch-xnnpack", "fp16") else MOST_BYTES[precision]
    assert entry.bytes < share * weights + 20_000
    if (target, precision) in AGAIN:
        export(network, target, precision, folder=tmp_path / "b", example=example, calibration=CALIBRATION)
        assert _files(tmp_path / "a") == _files(tmp_path / "b")


def test_onnx_int8_holds_signed_weights_per_channel_and_unsigned_activations(network, example, tmp_path):
    export(network, "onnx", "int8", folder=tmp_path, example=example, calibration=CALIBRATION)
    model = onnx.load(tmp_path / "models/onnx-int8/model.onnx")
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    makers = {output: node for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        if node.op_type != "Conv":
            continue
        activation, weight = makers[node.input[0]], makers[node.input[1]]
        assert activation.op_type == weight.op_type == "DequantizeLinear"
        assert tensors[weight.input[0]].data_type == onnx.TensorProto.INT8
        assert len(onnx.numpy_helper.to_array(tensors[weight.input[1]])) == tensors[weight.input[0]].dims[0]
        assert tensors[activation.input[2]].data_type == onnx.TensorProto.UINT8


@pytest.mark.parametrize(
    ("precision", "ios", "version"), [("8bit", None, 7), ("fp16", 17, 8), ("w8a8", None, 8), ("int4", None, 9)]
)
def test_core_ml_is_written_for_the_ios_that_is_asked_for_or_needed(
    precision, ios, version, network, example, tmp_path
):
    entry = export(
        network, "coreml", precision, folder=tmp_path, example=example, ios=ios, calibration=CALIBRATION
    ).entry
    assert Program.read(tmp_path / entry.components[0].entry_point).version == version
    assert entry.minimum_os == f"iOS {version + 9}"


@pytest.mark.parametrize(
    ("target", "precision", "options", "expected"),
    [
        ("coreml", "int4", {"ios": 17}, "Core ML's int4 needs iOS 18; iOS 17 is older"),
        ("coreml", "w8a8", {"ios": 16}, "Core ML's w8a8 needs iOS 17; iOS 16 is older"),
        ("coreml", "w8a8", {}, "w8a8 activations are calibrated on real inputs: --calibration names a folder"),
        ("coreml", "fp16", {"ios": 15}, "exported for iOS 16, 17, 18, not for iOS 15"),
        ("onnx", "int8", {}, "--calibration names a folder"),
        ("executorch-xnnpack", "int8", {}, "--calibration names a folder"),
        ("onnx", "4bit", {}, "target onnx has no precision '4bit'; it has fp32, fp16, int8, mixed"),
    ],
)
def test_what_a_precision_lacks_is_one_line_and_nothing_is_written(
    target, precision, options, expected, network, example, tmp_path
):
    with pytest.raises(ExportError, match=expected) as caught:
        export(network, target, precision, folder=tmp_path, example=example, **options)
    assert "\n" not in str(caught.value)
    assert not _files(tmp_path)


def test_int4_that_fits_no_layer_is_refused(settle, tmp_path):
    module = settle(torch.nn.Sequential(torch.nn.Conv2d(3, 100, 3), torch.nn.Conv2d(100, 100, 3)))
    with pytest.raises(ExportError, match=r"no layer of the network can have int4 weights.* multiple of 32"):
        export(module, "coreml", "int4", folder=tmp_path, example=(torch.zeros(1, 3, 16, 16),))
    assert not _files(tmp_path)


class _Shared(torch.nn.Module):
    """Convolutions, one of them transposed in groups, that a norm reads and something else."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = torch.nn.Conv2d(3, 32, 3, padding=1), torch.nn.BatchNorm2d(32)
        self.grown = torch.nn.ConvTranspose2d(32, 32, 2, stride=2, groups=8)
        self.other, self.last = torch.nn.BatchNorm2d(32), torch.nn.Conv2d(32, 3, 1)

    def forward(self, x):
        x = self.first(x)
        x = self.grown(self.norm(x).relu() + x)
        return self.last(self.other(x) * 0.5 + x).tanh()


def test_norms_stay_where_something_else_reads_their_convolution(liven, tmp_path):
    module = liven(_Shared(), torch.from_numpy(CALIBRATION))
    example = (torch.zeros(1, 3, 32, 32),)
    entry = export(
        module, "executorch-xnnpack", "int8", folder=tmp_path, example=example, calibration=CALIBRATION
    ).entry
    assert entry.parity is not None
    assert entry.parity.psnr_db > 30


@pytest.mark.parametrize("target", MIXED)
def test_mixed_precision_is_the_smallest_file_above_the_floor(target, network, example, tmp_path):
    entry = export(network, target, "mixed", folder=tmp_path, example=example, calibration=CALIBRATION, floor=30).entry
    assert entry.parity is not None
    assert entry.parity.psnr_db > 30
    tried = [(trial.bytes, trial.psnr_db or np.inf) for trial in entry.trade_off]
    assert entry.bytes == min(size for size, psnr in tried if psnr >= 30)
    assert any(psnr < 30 for _, psnr in tried)  # and the next smaller one was tried
    assert all(sum(trial.layers.values()) == 4 for trial in entry.trade_off)
    assert entry.bytes < 4 * sum(parameter.numel() for parameter in network.parameters())


def test_mixed_precision_is_the_highest_where_integers_save_nothing(settle, tmp_path):
    """A layer of nine weights, and what quantising it takes."""
    module, example = (
        settle(torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), torch.nn.Tanh())),
        (torch.zeros(1, 3, 32, 32),),
    )
    entry = export(module, "onnx", "mixed", folder=tmp_path, example=example, calibration=CALIBRATION, floor=20).entry
    chosen = next(trial for trial in entry.trade_off if trial.bytes == entry.bytes)
    assert chosen.layers == {"fp32": 1}
    assert len(entry.trade_off) == 2


def test_mixed_precision_says_what_it_cannot_reach(network, example, tmp_path):
    with pytest.raises(ParityError, match="the highest precision reaches"):
        export(network, "coreml", "mixed", folder=tmp_path, example=example, floor=120)


class _Halves(torch.nn.Module):
    """Slices of a convolution whose ranges are far apart, each multiplied and added, as SPADE modulates."""

    def __init__(self):
        super().__init__()
        self.both, self.last = torch.nn.Conv2d(3, 8, 1), torch.nn.Conv2d(4, 3, 1)

    def forward(self, x):
        scale, shift = self.both(x).chunk(2, 1)
        return self.last(shift * scale + shift).tanh()


@pytest.mark.slow
def test_slices_are_quantised_as_what_they_read(liven, tmp_path):
    module = liven(_Halves(), torch.from_numpy(CALIBRATION))
    with torch.no_grad():
        module.both.weight[:4] *= 4
    example = (torch.zeros(1, 3, 32, 32),)
    entry = export(
        module, "executorch-xnnpack", "int8", folder=tmp_path, example=example, calibration=CALIBRATION
    ).entry
    assert entry.parity is not None
    assert entry.parity.psnr_db > 20
