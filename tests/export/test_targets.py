"""Every target: computes the source, changes nothing, writes the same bytes again, and no trace of this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("coremltools")
pytest.importorskip("executorch")
onnx = pytest.importorskip("onnx")

from pocketgan.cli import models_export  # noqa: E402
from pocketgan.errors import ExportError  # noqa: E402
from pocketgan.export.entry import export  # noqa: E402
from pocketgan.export.targets import TARGETS, coreml, find_target  # noqa: E402
from pocketgan.recipe.sections import ExportStage  # noqa: E402
from pocketgan.training.generators import build, spec_by_name  # noqa: E402

pytestmark = pytest.mark.slow  # importing the exporters takes 15 s


def _files(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# Qualcomm's needs an SDK that no test machine has: test_qualcomm.py.
@pytest.mark.parametrize("target", [name for name in TARGETS if name != "executorch-qualcomm"])
def test_export_is_faithful_repeatable_and_leaves_the_source_alone(target, network, example, exported, tmp_path):
    if target == "coreai":
        pytest.importorskip("coreai_torch", reason="needs the extra coreai")
    _, earlier = exported(target)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    artifact = export(network, target, folder=tmp_path, example=example, bound=True)
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)

    files = _files(tmp_path)
    assert files == _files(earlier)
    component = artifact.entry.components[0]
    assert sorted(files) == sorted(record.path for record in component.files)
    assert (tmp_path / component.entry_point).exists()
    for data in files.values():
        for trace in (str(Path(__file__).parents[2]), "site-packages", str(tmp_path), "stack_trace", "+cu", "+cpu"):
            assert trace.encode() not in data


def test_every_note_of_a_core_ml_package_loses_the_build_of_torch(tmp_path):
    from coremltools.proto import Model_pb2

    model = Model_pb2.Model()
    notes = model.description.metadata.userDefined
    for number in range(100):
        notes[f"note {number}"] = "torch==2.13.0+cu130"
    path = tmp_path / coreml.MODEL
    path.parent.mkdir(parents=True)
    path.write_bytes(model.SerializeToString())
    (tmp_path / coreml.PACKAGE_MANIFEST).write_text(
        json.dumps({"itemInfoEntries": {"a": {"path": Path(coreml.MODEL).parent.name}}, "rootModelIdentifier": "a"})
    )
    coreml.normalise(tmp_path)
    model = Model_pb2.Model.FromString(path.read_bytes())
    assert set(model.description.metadata.userDefined.values()) == {"torch==2.13.0"}


@pytest.mark.parametrize("target", ["onnx", "executorch-xnnpack"])
def test_float32_files_reach_100_db(target, exported):
    parity = exported(target)[0].parity
    assert parity is not None
    assert parity.floor_db == 100
    assert parity.passed


def test_onnx_convolutions_spell_out_their_attributes(exported):
    model = onnx.load(exported("onnx")[1] / "models/onnx-fp32/model.onnx")
    onnx.checker.check_model(model, full_check=True)
    convolutions = [node for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    assert len(convolutions) == 4
    for node in convolutions:
        assert {"dilations", "group", "kernel_shape"} <= {attribute.name for attribute in node.attribute}
    assert [tensor.name for tensor in model.graph.input] == ["image"]
    assert [tensor.name for tensor in model.graph.output] == ["output"]
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


def test_large_onnx_keeps_its_weights_in_a_second_file(network, example, tmp_path, monkeypatch):
    monkeypatch.setattr("pocketgan.export.targets.onnx.LARGEST_SINGLE_FILE_BYTES", 1000)
    entry = export(network, "onnx", folder=tmp_path, example=example, bound=True).entry
    names = [Path(record.path).name for record in entry.components[0].files]
    assert names == ["model.onnx", "model.onnx.data"]


def test_executorch_says_what_its_delegate_takes(network, example, exported, tmp_path):
    whole = exported("executorch-xnnpack")[0].delegation
    assert (whole.delegated_fraction, whole.subgraphs) == (1, 1)
    plain = export(network, "executorch-xnnpack", folder=tmp_path, example=example, rewrites=()).entry.delegation
    assert 0 < plain.delegated_fraction < 1
    assert plain.subgraphs > 1
    # XNNPACK takes no reflection padding, which becomes an index.
    assert any("index" in name for name in plain.fallen)


def test_executorch_takes_a_batch_norm_that_cannot_be_folded(settle, tmp_path):
    module = settle(
        torch.nn.Sequential(torch.nn.ReLU(), torch.nn.BatchNorm2d(3, affine=False), torch.nn.Conv2d(3, 3, 1))
    )
    export(module, "executorch-xnnpack", folder=tmp_path, example=(torch.zeros(1, 3, 8, 8),), bound=True)


@pytest.mark.parametrize("norm", [torch.nn.InstanceNorm2d(8), torch.nn.GroupNorm(2, 8)])
def test_a_norm_of_large_means_costs_xnnpack_no_digits(norm, liven, tmp_path):
    images = torch.rand(2, 3, 128, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1
    module = liven(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 1), norm, torch.nn.Conv2d(8, 3, 1)), images)
    module[0].bias.data += 30
    entry = export(module, "executorch-xnnpack", folder=tmp_path, example=(images[:1],)).entry
    assert (entry.delegation.delegated_fraction, entry.delegation.subgraphs) == (1, 1)
    # With plain sums over the picture: 95 and 100 dB.
    assert entry.parity.psnr_db > 105


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_xnnpack_takes_winograd_and_phases_whole(precision, liven, tmp_path):
    images = torch.rand(8, 3, 8, 12, generator=torch.Generator().manual_seed(1)) * 2 - 1
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 96, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(96, 96, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.ConvTranspose2d(96, 8, 4, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.ConvTranspose2d(8, 3, 3, stride=3),
        torch.nn.Tanh(),
    )
    calibration = images.numpy() if precision == "int8" else None
    options = {"folder": tmp_path, "example": (images[:1],), "calibration": calibration}
    entry = export(liven(module, images), "executorch-xnnpack", precision, **options).entry
    assert (entry.delegation.delegated_fraction, entry.delegation.subgraphs) == (1, 1)
    assert entry.parity.psnr_db > (100 if precision == "fp32" else 25)
    weights = 4 * sum(parameter.numel() for parameter in module.parameters())
    assert (entry.bytes > 1.5 * weights) == (precision == "fp32")  # 16 weights for 9


def test_coreml_package_computes_in_float16_and_talks_float32(network, exported):
    from coremltools.proto import FeatureTypes_pb2, Model_pb2

    entry, folder = exported("coreml")
    package = folder / entry.components[0].entry_point
    model = Model_pb2.Model()
    model.ParseFromString((package / "Data/com.apple.CoreML/model.mlmodel").read_bytes())
    assert model.specificationVersion == 7  # iOS 16
    assert entry.minimum_os == "iOS 16"
    for feature, name in ((model.description.input[0], "image"), (model.description.output[0], "output")):
        assert feature.name == name
        assert feature.type.multiArrayType.dataType == FeatureTypes_pb2.ArrayFeatureType.FLOAT32
    weights = (package / "Data/com.apple.CoreML/weights/weight.bin").stat().st_size
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert weights < 3 * parameters + 4096  # two bytes each, and alignment
    items = json.loads((package / "Manifest.json").read_text())
    assert items["rootModelIdentifier"] in items["itemInfoEntries"]


class _TakesAll(torch.nn.Module):
    """Slices that take everything, as the SPADE generators' at full size: Core ML's converter knows no aliases."""

    def forward(self, x):
        return x[:, :, ::1, ::1] * x[:, :, ::2, ::2].mean()


def test_coreml_takes_a_slice_of_everything(tmp_path):
    export(_TakesAll(), "coreml", folder=tmp_path, example=(torch.zeros(1, 3, 8, 8),))


def test_coreml_is_evaluated_on_any_host(exported):
    parity = exported("coreml")[0].parity
    assert parity is not None
    assert parity.floor_db == 60
    assert parity.passed


def test_help_and_recipes_name_every_target_and_precision():
    """Both read the table, of which `tests/core/test_targets.py` says that it lists the exporters."""
    stage = ExportStage.model_fields
    assert set(get_args(get_args(stage["targets"].annotation)[0])) == set(TARGETS)
    optional = get_args(stage["precisions"].annotation)[0]
    every = {precision for target in TARGETS.values() for precision in target.precisions}
    assert set(get_args(get_args(optional)[0])) == every
    said = {name: option.help for name, option in _options(models_export.export).items()}
    assert {word.strip(" .") for word in said["target"].partition(":")[2].split(",")} == set(TARGETS)
    assert every <= {word.partition(" (")[0].strip() for word in said["precision"].partition(":")[2].split(",")}


def _options(command):
    hints = get_type_hints(command, vars(models_export) | {"Entry": None, "Role": None}, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}


def test_a_conversion_that_fails_changes_no_later_one(network, example, exported, tmp_path):
    """Core ML's converter counts what it names, and a failure leaves its counts behind."""

    class Unknown(torch.nn.Sequential):
        def forward(self, x):
            return torch.fft.rfft2(super().forward(x)).real

    _, earlier = exported("coreml")
    with pytest.raises(ExportError, match="fft_rfft2"):
        export(Unknown(network), "coreml", folder=tmp_path / "none", example=example)
    export(network, "coreml", folder=tmp_path / "later", example=example)
    assert _files(tmp_path / "later") == _files(earlier)


def test_unknown_target_and_precision_name_what_there_is():
    with pytest.raises(ExportError, match="onnx, executorch-xnnpack, coreml"):
        find_target("tflite")
    with pytest.raises(ExportError, match="'int4'; it has fp32, fp16, int8, mixed"):
        find_target("onnx", "int4")


class _Unexportable(torch.nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_module_that_cannot_be_traced_is_one_line(tmp_path):
    with pytest.raises(ExportError, match="_Unexportable cannot be traced") as caught:
        export(_Unexportable(), "onnx", folder=tmp_path, example=(torch.zeros(1, 3, 8, 8),))
    assert "\n" not in str(caught.value)


def test_libraries_say_nothing(network, example, tmp_path, capsys):
    export(network, "onnx", folder=tmp_path, example=example)
    said = capsys.readouterr()
    assert said.out == said.err == ""


@pytest.mark.parametrize("name", ["e2gan", "gaugan", "unet128", "mobile-resnet9", "pix2pixhd-local"])
def test_every_kind_of_generator_exports_to_onnx(name, tmp_path):
    spec = spec_by_name(name, ngf=4)
    side = 128 if name.startswith(("unet", "pix2pixhd")) else 64
    example = (torch.zeros(1, spec.input_channels, side, side),)
    parity = export(build(spec.at(side, side)), "onnx", folder=tmp_path, example=example).entry.parity
    assert parity is not None
    assert parity.passed


@pytest.mark.parametrize(("place", "target"), [("downsample", "onnx"), ("us", "coreml")])
def test_a_transformer_elsewhere_exports(place, target, tmp_path):
    spec = spec_by_name("e2gan", ngf=4, height=32, width=32, transformer_after=place)
    parity = export(build(spec), target, folder=tmp_path, example=(torch.zeros(1, 3, 32, 32),)).entry.parity
    assert parity is not None
    assert parity.passed
