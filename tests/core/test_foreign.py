"""Models that pocketgan did not make become bundles that verify and are measured like its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pocketgan.bench.check import verify_bundle
from pocketgan.bench.devices.local import LocalDevice
from pocketgan.bench.schema.job import Job
from pocketgan.bundle.check import check
from pocketgan.bundle.reader import open_bundle
from pocketgan.cli import app
from pocketgan.errors import BundleError
from pocketgan.foreign import Kind, pack_foreign

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


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


def test_weights_beside_the_model_come_along(tmp_path):
    weight = numpy_helper.from_array(np.full((3, 3, 1, 1), 0.5, np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])], "two files",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 8, 8])], [weight],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    pack_foreign("onnx", tmp_path / "m.onnx", tmp_path / "m.pgb", name="m", precision="fp32")
    assert verify_bundle(tmp_path / "m.pgb", LocalDevice()) == []


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
        (["--onnx", "text.onnx"], "onnx cannot run it here"),
        (["--onnx", "open.onnx"], "input x is open (batchx3xhx?): say its shape with --input"),
        (["--onnx", "open.onnx", "--input", "1x4x8x8"], "input x is batchx3xhx?, which 1x4x8x8 does not fit"),
        (["--onnx", "open.onnx", "--input", "3by8"], "--input is a shape such as 1x3x256x256"),
        (["--onnx", "open.onnx", "--range", "1,0"], "--range is black and white"),
        (["--onnx", "nan.onnx"], "gives values that are not finite numbers"),
        (["--onnx", "double.onnx"], "an input of type tensor(double) cannot be packed"),
        (["--onnx", "open.onnx", "--pte", "x.pte"], "pack takes one of"),
        ([], "pack takes one of"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(arguments, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text.onnx").write_text("no model")
    _model(Path("open.onnx"), ["batch", 3, "h", None])
    _model(Path("nan.onnx"), [1, 3, 8, 8], "Log")
    _model(Path("double.onnx"), [1, 3, 8, 8], dtype=TensorProto.DOUBLE)
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
