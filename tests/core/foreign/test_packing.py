"""Models that pocketgan did not make become bundles that verify and are measured like its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pocketgan.bench.check import verify_bundle
from pocketgan.bench.devices.local import LocalDevice
from pocketgan.bench.jobs import JobOptions
from pocketgan.bench.report import summaries, write_report
from pocketgan.bench.schema.job import Job
from pocketgan.bench.session import measure
from pocketgan.bundle.check import check
from pocketgan.bundle.manifest import Manifest, Origin
from pocketgan.bundle.packing import pack_folder, record_file, relabel, unpack, write_manifest
from pocketgan.bundle.reader import open_bundle
from pocketgan.cli import app
from pocketgan.errors import BundleError, ParityError
from pocketgan.foreign.packing import Kind, pack_foreign

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

MOSAIC = Origin(kind="onnx", file="mosaic.onnx", sha256="1234abcd" + 56 * "0")


def _model(path: Path, shape: list[object], operator: str = "Relu", outputs: int = 1, dtype: int = TensorProto.FLOAT):
    """`y` = operator(`x`), of any shape."""
    names = [f"y{index}" for index in range(outputs)]
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], [name]) for name in names],
        "tiny",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info(name, dtype, shape) for name in names],
    )
    opset = [helper.make_opsetid("", 17)]
    path.write_bytes(helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString())
    return path


def _proto(graph):
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _convolution(location: str):
    """1x1, its weights (3, 3, 1, 1) in another file."""
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 3, 1, 1], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value=location)
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in "xy"]
    return _proto(helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "g", info[:1], info[1:], [weight]))


def test_an_onnx_model_verifies_and_is_measured(tmp_path):
    file = _model(tmp_path / "style-net.onnx", ["batch", 3, 24, 16], outputs=2)
    out = tmp_path / "style.pgb"
    done = CliRunner().invoke(app, ["bundle", "pack", "--onnx", str(file), "--out", str(out), "--range", "0,255"])
    assert done.exit_code == 0, done.output
    assert check(out) == []
    assert verify_bundle(out, LocalDevice()) == []
    with open_bundle(out) as bundle:
        assert (bundle.manifest.name, bundle.manifest.role) == ("style-net", "foreign")
        (entry,) = bundle.manifest.entries
        component = entry.components[0]
        assert (entry.id, entry.runtime, component.entry_point) == (
            "onnx-fp32", "onnxruntime", "models/onnx-fp32/style-net.onnx",
        )  # fmt: skip
        (spec,) = component.inputs
        assert (spec.name, spec.shape, spec.layout, spec.value_range) == ("x", [1, 3, 24, 16], "NCHW", (0, 255))
        assert [output.name for output in component.outputs] == ["y0", "y1"]
        result = LocalDevice().run(bundle, Job(bundle=bundle.digest, entry=entry.id, iterations=3, rounds=1))
        assert len(result.frames) == 3
        assert result.errors == []


@pytest.mark.parametrize("location", ["m.onnx.data", "weights.bin", "parts/one/weights.bin"])
def test_the_weights_that_a_model_names_come_along(location, tmp_path):
    (tmp_path / location).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / location).write_bytes(np.full(9, 0.5, "<f4").tobytes())
    (tmp_path / "other.bin").write_bytes(b"is not named")
    (tmp_path / "m.onnx").write_bytes(_convolution(location).SerializeToString())
    out = tmp_path / "m.pgb"
    pack_foreign("onnx", tmp_path / "m.onnx", out, name="m", precision="fp32")
    assert check(out) == []
    assert verify_bundle(out, LocalDevice()) == []
    with open_bundle(out) as bundle:
        files = {file.path for file in bundle.manifest.entries[0].components[0].files}
    assert files == {"models/onnx-fp32/m.onnx", f"models/onnx-fp32/{location}"}


def test_a_bundle_whose_model_names_other_files_is_neither_packed_nor_opened(tmp_path):
    (tmp_path / "w.bin").write_bytes(bytes(36))
    (tmp_path / "m.onnx").write_bytes(_convolution("w.bin").SerializeToString())
    pack_foreign("onnx", tmp_path / "m.onnx", tmp_path / "m.pgb", name="m", precision="fp32")
    unpack(tmp_path / "m.pgb", tmp_path / "folder")
    model = tmp_path / "folder/models/onnx-fp32/m.onnx"
    model.write_bytes(_convolution("../../golden/golden/input0.bin").SerializeToString())
    manifest = open_bundle(tmp_path / "m.pgb").manifest.model_dump(mode="json")
    (files,) = [component["files"] for component in manifest["entries"][0]["components"]]
    (record,) = [one for one in files if one["path"].endswith("m.onnx")]
    record.update(record_file(tmp_path / "folder", "models/onnx-fp32/m.onnx").model_dump())
    write_manifest(tmp_path / "folder", Manifest.model_validate(manifest))
    with pytest.raises(BundleError, match="outside of its folder"):
        pack_folder(tmp_path / "folder", tmp_path / "hostile.pgb")
    assert ["outside of its folder" in problem for problem in check(tmp_path / "folder")] == [True]
    (problem,) = verify_bundle(tmp_path / "folder", LocalDevice())
    assert "outside of its folder" in problem


def _two_inputs(path: Path) -> Path:
    """y = style * photo, both open, the photo last and channels last."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["style", "photo"], ["y"])], "two",
        [
            helper.make_tensor_value_info("style", TensorProto.FLOAT, ["n", 3]),
            helper.make_tensor_value_info("photo", TensorProto.FLOAT, ["n", "h", "w", 3]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "h", "w", 3])],
    )  # fmt: skip
    path.write_bytes(_proto(graph).SerializeToString())
    return path


def test_open_inputs_are_named(tmp_path):
    file, out = _two_inputs(tmp_path / "m.onnx"), tmp_path / "m.pgb"
    shapes = ["--input", "photo=3x8x12", "--input", "style=1x3"]
    done = CliRunner().invoke(app, ["bundle", "pack", "--onnx", str(file), "--out", str(out), *shapes])
    assert done.exit_code == 0, done.exception
    with open_bundle(out) as bundle:
        specs = bundle.manifest.entries[0].components[0].inputs
    assert {spec.name: spec.shape for spec in specs} == {"style": [1, 3], "photo": [1, 8, 12, 3]}


@pytest.mark.parametrize("shape", ["3x24x40", "1x3x24x40"])
def test_a_shape_is_channels_height_and_width(shape, tmp_path):
    file, out = _model(tmp_path / "m.onnx", ["batch", 3, "h", None]), tmp_path / "m.pgb"
    done = CliRunner().invoke(app, ["bundle", "pack", "--onnx", str(file), "--out", str(out), "--input", shape])
    assert done.exit_code == 0, done.exception
    with open_bundle(out) as bundle:
        assert bundle.manifest.entries[0].components[0].inputs[0].shape == [1, 3, 24, 40]


def test_golden_outputs_come_from_the_reference_where_it_can(tmp_path):
    out = tmp_path / "m.pgb"
    pack_foreign("onnx", _model(tmp_path / "m.onnx", [1, 3, 8, 8]), out, name="m", precision="fp32")
    with open_bundle(out) as bundle:
        reference = bundle.manifest.golden[0].reference
        inputs, outputs = bundle.golden("golden")
    assert reference is not None
    assert reference.startswith("onnx ")
    np.testing.assert_array_equal(outputs["y0"], np.maximum(inputs["x"], 0))


@pytest.fixture
def without_reference(tmp_path, monkeypatch):
    """A bundle whose golden outputs nothing but its own runtime could compute."""
    monkeypatch.setattr("pocketgan.foreign.packing.reference_outputs", lambda *_: None)
    out = tmp_path / "m.pgb"
    pack_foreign("onnx", _model(tmp_path / "m.onnx", [1, 3, 8, 8]), out, name="m", precision="fp32")
    return out


def test_agreement_with_itself_is_never_called_ok(without_reference):
    done = CliRunner().invoke(app, ["verify", str(without_reference)])
    assert done.exit_code == 0
    assert "onnx-fp32: no independent reference" in done.stdout
    assert "ok" not in done.stdout.split()
    shown = CliRunner().invoke(app, ["bundle", "inspect", str(without_reference)])
    assert "no independent reference" in shown.stdout


def test_agreement_with_itself_is_no_parity(without_reference, tmp_path):
    results = tmp_path / "r.jsonl"
    measure([without_reference], LocalDevice(), JobOptions(iterations=3, rounds=1, runs=1), results)
    records = [json.loads(line) for line in results.read_text().splitlines()]
    assert [record["parity"] for record in records if record["record"] == "result"] == [None]
    page = write_report([results], tmp_path / "r.html").read_text()
    assert "no independent reference" in page
    assert "identical" not in page
    assert "no independent reference" in summaries.markdown(summaries.selection_of([results]))


def test_a_given_teacher_is_packed_as_one_and_says_what_it_was(tmp_path):
    file, out = _model(tmp_path / "mosaic.onnx", [1, 3, 8, 8]), tmp_path / "run-teacher.pgb"
    pack_foreign("onnx", file, out, name="run-teacher", precision="fp32", role="teacher", teacher=MOSAIC)
    assert check(out) == []
    assert verify_bundle(out, LocalDevice()) == []
    with open_bundle(out) as bundle:
        manifest = bundle.manifest
    assert (manifest.name, manifest.role, manifest.teacher) == ("run-teacher", "teacher", MOSAIC)
    assert manifest.has_reference(manifest.entries[0])
    shown = CliRunner().invoke(app, ["bundle", "inspect", str(out)])
    assert "teacher    mosaic.onnx, sha256 1234abcd…" in shown.stdout


def test_a_bundle_becomes_a_teacher_by_another_manifest_alone(without_reference, tmp_path):
    """Its signature was of the old one; what its agreement proves does not change."""
    given = Origin(kind="bundle", file="m.pgb", sha256="5" * 64)
    said = relabel(
        without_reference, tmp_path / "teacher", name="run-teacher", role="teacher", teacher=given, quality={"l1": 0.5}
    )
    assert (said.name, said.role, said.teacher, said.quality) == ("run-teacher", "teacher", given, {"l1": 0.5})
    out = tmp_path / "run-teacher.pgb"
    pack_folder(tmp_path / "teacher", out)
    assert check(out) == []
    with open_bundle(out) as bundle, open_bundle(without_reference) as before:
        assert bundle.manifest.entries == before.manifest.entries
        assert bundle.manifest.golden == before.manifest.golden
        assert (bundle.manifest.name, bundle.manifest.teacher) == ("run-teacher", given)
        assert before.manifest.role == "foreign"
    done = CliRunner().invoke(app, ["verify", str(out)])
    assert done.exit_code == 0
    assert "onnx-fp32: no independent reference" in done.stdout


def test_a_runtime_that_computes_something_else_is_found(tmp_path, monkeypatch):
    wrong = ("another", [np.full((1, 3, 8, 8), 0.25, np.float32)])
    monkeypatch.setattr("pocketgan.foreign.packing.reference_outputs", lambda *_: wrong)
    with pytest.raises(ParityError, match="gives another output y0 than another"):
        pack_foreign("onnx", _model(tmp_path / "m.onnx", [1, 3, 8, 8]), tmp_path / "m.pgb", name="m", precision="fp32")


@pytest.mark.parametrize(("shape", "layout"), [([1, 8, 8, 3], "NHWC"), ([1, 5, 8, 8], None), ([4], None)])
def test_only_pictures_have_a_layout(shape, layout, tmp_path):
    out = tmp_path / "m.pgb"
    pack_foreign("onnx", _model(tmp_path / "m.onnx", shape), out, name="m", precision="fp32")
    assert verify_bundle(out, LocalDevice()) == []
    with open_bundle(out) as bundle:
        assert bundle.manifest.entries[0].components[0].inputs[0].layout == layout


@pytest.mark.slow
def test_programs_and_packages_of_others_verify(tmp_path):
    torch, ct = pytest.importorskip("torch"), pytest.importorskip("coremltools")
    pytest.importorskip("executorch")
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(torch.nn.Conv2d(3, 3, 3, padding=1).eval(), (torch.zeros(1, 3, 16, 16),))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    (tmp_path / "m.pte").write_bytes(lowered.buffer)
    package = ct.convert(
        program.run_decompositions({}), inputs=[ct.TensorType(name="photo", shape=(1, 3, 16, 16))],
        minimum_deployment_target=ct.target.iOS17, skip_model_load=True,
    )  # fmt: skip
    package.save(str(tmp_path / "m.mlpackage"))
    targets: dict[Kind, str] = {"pte": "executorch-xnnpack", "mlpackage": "coreml"}
    for kind, target in targets.items():
        out = tmp_path / f"{kind}.pgb"
        pack_foreign(kind, tmp_path / f"m.{kind}", out, name="m", precision="fp16")
        assert check(out) == []
        if kind == "pte":  # Core ML's run on an iPhone or a Mac
            assert verify_bundle(out, LocalDevice()) == []
        with open_bundle(out) as bundle:
            (entry,) = bundle.manifest.entries
            assert entry.id == f"{target}-fp16"
            assert entry.minimum_os == ("iOS 17" if kind == "mlpackage" else None)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--onnx", "none.onnx"], "there is no none.onnx"),
        (["--onnx", "text.onnx"], "text.onnx: is no ONNX model"),
        (["--onnx", "open.onnx"], "input x is open (batchx3xhx?): say its shape with --input"),
        (["--onnx", "open.onnx", "--input", "1x4x8x8"], "input x is batchx3xhx?, which 1x4x8x8 does not fit"),
        (["--onnx", "open.onnx", "--input", "3by8"], "--input is a shape such as 3x256x256, or NAME=SHAPE"),
        (["--onnx", "open.onnx", "--range", "1,0"], "--range is black and white"),
        (["--onnx", "nan.onnx"], "gives values that are not finite numbers"),
        (["--onnx", "double.onnx"], "an input of type tensor(double) cannot be packed"),
        (["--onnx", "open.onnx", "--pte", "x.pte"], "pack takes one of"),
        (["--onnx", "open.onnx", "--input", "z=1x3x8x8"], "open.onnx has no input z; it has: x"),
        (["--onnx", "open.onnx", "--input", "3x8x8", "--input", "3x8x8"], "given twice for the first open input"),
        (["--pte", "x.pte", "--input", "3x8x8"], "--input is for ONNX models"),
        (["--onnx", "empty.onnx"], "empty.onnx takes no inputs"),
        (["--onnx", "outside.onnx"], "names '../w.bin', which lies outside of its folder"),
        ([], "pack takes one of"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(arguments, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text.onnx").write_text("no model")
    _model(Path("open.onnx"), ["batch", 3, "h", None])
    _model(Path("nan.onnx"), [1, 3, 8, 8], "Log")
    _model(Path("double.onnx"), [1, 3, 8, 8], dtype=TensorProto.DOUBLE)
    Path("x.pte").write_text("any")
    constant = helper.make_node("Constant", [], ["y"], value=numpy_helper.from_array(np.ones(3, np.float32)))
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])
    Path("empty.onnx").write_bytes(_proto(helper.make_graph([constant], "g", [], [output])).SerializeToString())
    (tmp_path.parent / "w.bin").write_bytes(bytes(36))
    outside = _convolution("../w.bin")
    Path("outside.onnx").write_bytes(outside.SerializeToString())
    done = CliRunner().invoke(app, ["bundle", "pack", *arguments, "--out", "x.pgb"])
    assert isinstance(done.exception, BundleError)
    assert expected in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not Path("x.pgb").exists()


def test_an_open_shape_is_taken_from_the_user(tmp_path):
    file = _model(tmp_path / "m.onnx", ["batch", 3, "h", None])
    out = tmp_path / "m.pgb"
    pack_foreign("onnx", file, out, name="m", precision="fp32", input_shape=(1, 3, 40, 24))
    assert verify_bundle(out, LocalDevice()) == []


def test_inspect_says_that_it_is_foreign(tmp_path):
    pack_foreign("onnx", _model(tmp_path / "m.onnx", [1, 3, 8, 8]), tmp_path / "m.pgb", name="m", precision="int8")
    done = CliRunner().invoke(app, ["bundle", "inspect", str(tmp_path / "m.pgb"), "--json"])
    assert json.loads(done.stdout)["manifest"]["role"] == "foreign"
