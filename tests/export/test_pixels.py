"""Files that take and give pixels compute what the network computes between two conversions."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("coremltools")
pytest.importorskip("executorch")
onnxruntime = pytest.importorskip("onnxruntime")

from pocketgan.bench.check import run_entry, verify_bundle  # noqa: E402
from pocketgan.bench.devices.local import LocalDevice  # noqa: E402
from pocketgan.bundle.check import check  # noqa: E402
from pocketgan.bundle.reader import open_bundle  # noqa: E402
from pocketgan.errors import ExportError  # noqa: E402
from pocketgan.export.bundles import BundleRequest, export_bundle  # noqa: E402
from pocketgan.export.entry import export  # noqa: E402
from pocketgan.export.golden import Golden, natural_images, on_levels, pixels  # noqa: E402
from pocketgan.export.source import from_spec  # noqa: E402
from pocketgan.training.generators import GeneratorSpec, resnet  # noqa: E402

pytestmark = pytest.mark.slow

SPEC = GeneratorSpec("resnet", resnet.widths(2, 1, 2), "instance", blocks=1, height=24, width=16)


FORMS = [
    ("onnx", "fp32"),
    ("executorch-xnnpack", "fp32"),
    ("coreml", "fp16"),
    ("coreai", "fp32"),
    ("executorch-coreml", "fp16"),
    ("executorch-vulkan", "fp16"),
]


@pytest.mark.parametrize(("target", "precision"), FORMS)
def test_pixels_in_pixels_out(target, precision, network, example, tmp_path):
    if target == "coreai":
        pytest.importorskip("coreai_torch", reason="needs the extra coreai")
    entry = export(network, target, precision, folder=tmp_path, example=example, io="image", bound=True).entry
    assert entry.id == f"{target}-{precision}-image"
    assert entry.golden == "nhwc-uint8"
    for spec in (*entry.components[0].inputs, *entry.components[0].outputs):
        assert (spec.shape, spec.layout, spec.dtype) == ([1, 32, 32, 3], "NHWC", "uint8")
        assert spec.value_range == (0, 255)
    if target != "executorch-vulkan":
        assert entry.parity is not None
        assert entry.parity.floor_db == 50
        assert 55 < entry.parity.psnr_db < 60  # 8 bits are 58.9 dB from what was rounded
        assert entry.parity.max_abs_error < 1.5  # levels
    if target.startswith("executorch"):
        assert entry.delegation is not None
        assert entry.delegation.subgraphs == 1
        assert entry.delegation.fallen == {"dim_order_ops__to_dim_order_copy_default": 2}  # bytes to floats and back


def test_every_level_comes_out_as_it_went_in(tmp_path):
    class Same(torch.nn.Module):
        def forward(self, x):
            return x * 1.0

    export(Same(), "onnx", folder=tmp_path, example=(torch.zeros(1, 3, 16, 16),), io="image")
    session = onnxruntime.InferenceSession(str(tmp_path / "models/onnx-fp32-image/model.onnx"))
    levels = np.arange(768, dtype=np.uint8).reshape(1, 16, 16, 3)
    np.testing.assert_array_equal(session.run(None, {"image": levels})[0], levels)


def test_values_beyond_black_and_white_are_cut(tmp_path):
    class Louder(torch.nn.Module):
        def forward(self, x):
            return 3 * x

    parity = export(Louder(), "onnx", folder=tmp_path, example=(torch.zeros(1, 3, 16, 16),), io="image").entry.parity
    assert parity is not None
    assert parity.passed


def test_core_ml_declares_images(network, example, tmp_path):
    from coremltools.proto import FeatureTypes_pb2, Model_pb2

    export(network, "coreml", folder=tmp_path, example=example, io="image")
    package = tmp_path / "models/coreml-fp16-image/model.mlpackage"
    model = Model_pb2.Model.FromString((package / "Data/com.apple.CoreML/model.mlmodel").read_bytes())
    for feature in (model.description.input[0], model.description.output[0]):
        assert feature.type.imageType.colorSpace == FeatureTypes_pb2.ImageFeatureType.RGB
        assert (feature.type.imageType.height, feature.type.imageType.width) == (32, 32)


def test_mixed_precision_finds_its_layers_between_pixels(network, example, tmp_path):
    entry = export(network, "coreml", "mixed", folder=tmp_path, example=example, io="image", floor=35).entry
    assert entry.parity is not None
    assert entry.parity.passed
    assert all(sum(trial.layers.values()) == 4 for trial in entry.trade_off)


def test_one_bundle_holds_both_contracts_and_verifies(tmp_path):
    request = BundleRequest(
        model=from_spec(SPEC),
        folder=tmp_path / "both",
        name="both",
        role="unpruned",
        targets=[("onnx", None)],
        io=("tensor", "image"),
        # Not on the levels of pixels: rounded before the network's outputs are computed.
        golden_inputs=np.linspace(-1, 1, 3 * 24 * 16, dtype=np.float32).reshape(1, 3, 24, 16),
    )
    manifest = export_bundle(request, workers=1)
    assert [entry.id for entry in manifest.entries] == ["onnx-fp32", "onnx-fp32-image"]
    assert {golden.id for golden in manifest.golden} == {"nchw-float32", "nhwc-uint8"}
    assert all(entry.parity is not None and entry.parity.passed for entry in manifest.entries)
    assert check(tmp_path / "both") == []
    assert verify_bundle(tmp_path / "both", LocalDevice()) == []

    picture = pixels(natural_images(3, 24, 16))[0]
    with open_bundle(tmp_path / "both") as bundle:
        tensor, image = (next(run_entry(bundle, entry.id, [picture])) for entry in manifest.entries)
    assert np.abs(tensor.astype(int) - image).max() <= 1


@pytest.mark.parametrize("channels", [(5, 3), (3, 1)])
def test_networks_that_see_no_colours_are_refused(channels, tmp_path):
    module = torch.nn.Conv2d(*channels, 1)
    with pytest.raises(ExportError, match=f"goes from {channels[0]} channels to {channels[1]}"):
        export(module, "onnx", folder=tmp_path, example=(torch.zeros(1, channels[0], 16, 16),), io="image")
    assert not list(tmp_path.rglob("*"))


def test_pixels_are_rounded_and_levels_are_kept():
    images = natural_images(3, 8, 8)
    np.testing.assert_array_equal(on_levels(images), images)
    assert pixels(np.array([-1, 1, 0.999], np.float32).reshape(3, 1, 1)).ravel().tolist() == [0, 255, 255]
    golden = Golden(images[None], images[None]).to("image")
    assert golden.inputs.dtype == np.uint8
    np.testing.assert_allclose(golden.outputs, golden.inputs, atol=1e-4)
