"""The files that an ONNX model names are its own, or it is not opened."""

from __future__ import annotations

import hashlib
import json
import random

import kotlin_harness
import numpy as np
import pytest

from pocketgan.bundle.check import check
from pocketgan.bundle.damage import DamageError
from pocketgan.bundle.onnx_data import must_name_listed_files, named_files

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402


def _tensor(location="w.bin", **entries):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def _graph(*nodes, initializers=()):
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3, 4]) for name in "xy"]
    return helper.make_graph(nodes, "g", values[:1], values[1:], list(initializers))


def _add(graph_of=None):
    return helper.make_node("Add", ["x", "w"], ["y"])


def _written(folder, graph, functions=()):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9, functions=functions)
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def _hidden(kind):
    """The same external tensor in each place that a model can hold one."""
    tensor = _tensor()
    if kind == "initializer":
        return _graph(_add(), initializers=[tensor])
    constant = helper.make_node("Constant", [], ["w"], value=tensor)
    if kind == "attribute":
        return _graph(constant, _add())
    if kind == "attributes":
        node = helper.make_node("Odd", ["x"], ["y"], domain="odd")
        node.attribute.append(helper.make_attribute("many", [tensor]))
        return _graph(node)
    if kind == "subgraph":
        body = helper.make_graph(
            [constant], "body", [], [helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 4])]
        )
        return _graph(helper.make_node("If", ["x"], ["y"], then_branch=body, else_branch=body))
    sparse = onnx.SparseTensorProto(values=tensor, dims=[12])
    graph = _graph(_add())
    graph.sparse_initializer.append(sparse)
    return graph


@pytest.mark.parametrize("kind", ["initializer", "attribute", "attributes", "subgraph", "sparse"])
def test_a_tensor_is_found_wherever_it_is(kind, tmp_path):
    model = _written(tmp_path, _hidden(kind))
    with pytest.raises(DamageError, match=r"names 'w\.bin', which is no file in its folder"):
        named_files(model)
    (tmp_path / "w.bin").write_bytes(bytes(48))
    assert named_files(model) == ["w.bin"]


def test_a_tensor_in_a_function_is_found(tmp_path):
    constant = helper.make_node("Constant", [], ["w"], value=_tensor("../secret"))
    function = helper.make_function("own", "F", [], ["w"], [constant], [helper.make_opsetid("", 17)])
    with pytest.raises(DamageError, match="outside of its folder"):
        named_files(_written(tmp_path, _graph(_add()), [function]))


OUTSIDE = pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({"location": "../w.bin"}, "outside of its folder"),
        ({"location": "sub/../../w.bin"}, "outside of its folder"),
        ({"location": "/etc/passwd"}, "no path in its folder"),
        ({"location": "C:\\w.bin"}, "no path in its folder"),
        ({"location": "*/_ORT_MEM_ADDR_/*", "offset": 1234}, "no file in its folder"),
        ({"location": "link.bin"}, "outside of its folder"),
        ({"location": "sub"}, "no file in its folder"),
        ({"location": ""}, "does not say in which"),
        ({"offset": 1}, "names bytes 1 to 49 of 'w.bin', which has 48"),
        ({"length": 49}, "names bytes 0 to 49"),
        ({"offset": -1}, "offset or length is '-1'"),
        ({"length": "1e9"}, "offset or length is '1e9'"),
    ],
)


@OUTSIDE
def test_what_does_not_lie_inside_is_refused(entries, expected, tmp_path):
    folder = tmp_path / "m"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "w.bin").write_bytes(bytes(48))
    (folder / "w.bin").write_bytes(bytes(48))
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")
    with pytest.raises(DamageError, match=expected):
        named_files(_written(folder, _graph(_add(), initializers=[_tensor(**entries)])))


def test_an_offset_to_the_end_is_inside(tmp_path):
    (tmp_path / "w.bin").write_bytes(bytes(100))
    graph = _graph(_add(), initializers=[_tensor(offset=52, length=48)])
    assert named_files(_written(tmp_path, graph)) == ["w.bin"]


def test_a_key_that_is_said_twice_is_refused(tmp_path):
    """Readers differ in which one they take."""
    tensor = _tensor()
    tensor.external_data.add(key="location", value="../w.bin")
    (tmp_path / "w.bin").write_bytes(bytes(48))
    with pytest.raises(DamageError, match="says twice"):
        named_files(_written(tmp_path, _graph(_add(), initializers=[tensor])))


def test_models_that_name_files_of_their_own_are_refused(tmp_path):
    node = helper.make_node(
        "EPContext", ["x"], ["y"], domain="com.microsoft", ep_cache_context="../secret", embed_mode=0
    )
    with pytest.raises(DamageError, match="EPContext, which names files of its own"):
        named_files(_written(tmp_path, _graph(node)))


@pytest.mark.parametrize("data", [b"no model", b"\x0b\x0c", b"\x3a\xff\x01", bytes(16)])
def test_what_is_no_model_is_not_opened(data, tmp_path):
    (tmp_path / "m.onnx").write_bytes(data)
    with pytest.raises(DamageError):
        named_files(tmp_path / "m.onnx")


def test_in_a_bundle_only_listed_files_beside_it_count():
    model = helper.make_model(_graph(_add(), initializers=[_tensor("sub/w.bin")])).SerializeToString()
    chunks = [model[at : at + 7] for at in range(0, len(model), 7)]
    must_name_listed_files("models/a/m.onnx", chunks, {"models/a/sub/w.bin": 48})
    for sizes in ({}, {"models/a/w.bin": 48}, {"models/a/sub/w.bin": 47}):
        with pytest.raises(DamageError, match="names"):
            must_name_listed_files("models/a/m.onnx", chunks, sizes)


def test_large_weights_inside_are_passed_over(tmp_path):
    weight = onnx.numpy_helper.from_array(np.ones((3, 4), np.float32), "w")
    weight.raw_data = bytes(10_000_000)
    assert named_files(_written(tmp_path, _graph(_add(), initializers=[weight]))) == []


def _bundled(zip_of, members, model: bytes):
    """The tiny bundle with that model in its ONNX entry."""
    manifest = json.loads(members[0][1])
    entry = manifest["entries"][0]
    record = entry["components"][0]["files"][0]
    record.update(bytes=len(model), sha256=hashlib.sha256(model).hexdigest())
    entry.update(runtime="onnxruntime")
    entry["components"][0].update(entry_point=record["path"])
    files = {**dict(members), "manifest.json": json.dumps(manifest).encode(), record["path"]: model}
    return zip_of(list(files.items()))


def _bytes_of(graph, functions=()):
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9, functions=functions).SerializeToString()


@OUTSIDE
def test_a_bundled_model_that_names_what_is_not_listed_is_refused_in_kotlin_too(zip_of, members, entries, expected):
    path = _bundled(zip_of, members, _bytes_of(_graph(_add(), initializers=[_tensor(**entries)])))
    assert len(check(path)) == 1
    kotlin_harness.must_agree_about_bundle(path)


@pytest.mark.parametrize("kind", ["initializer", "attribute", "attributes", "subgraph", "sparse"])
def test_a_bundled_model_is_looked_through_in_kotlin_too(zip_of, members, kind):
    model = _bytes_of(_hidden(kind))
    path = _bundled(zip_of, members, model)
    assert "names 'w.bin'" in check(path)[0]
    kotlin_harness.must_agree_about_bundle(path)


def test_broken_models_in_a_bundle_are_judged_alike(zip_of, members):
    rng = random.Random(3)
    context = _graph(helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft", ep_cache_context="../x"))
    models = [_bytes_of(_graph(_add(), initializers=[_tensor("model.onnx")])), _bytes_of(context)]
    for number in range(150):
        model = bytearray(models[number % 2])
        for _ in range(rng.choice((0, 1, 2, 6))):
            model[rng.randrange(len(model))] = rng.choice((0, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        kotlin_harness.must_agree_about_bundle(_bundled(zip_of, members, bytes(model)))
