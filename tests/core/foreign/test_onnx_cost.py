"""The cost of finished files: of an ONNX model by its graph, of a bundle by what it says. Expected by arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from pocketgan import api
from pocketgan.errors import PocketganError
from pocketgan.foreign.packing import pack_foreign

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


def model(path, nodes, given, weights, made=None, version=18):
    """An ONNX file from `x` to `y`; `nodes` are (operator, inputs, output, attributes), `weights` arrays by name."""
    graph = helper.make_graph(
        [helper.make_node(operator, inputs, [output], **more) for operator, inputs, output, more in nodes],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, given)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, made)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", version), helper.make_opsetid("com.microsoft", 1)]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())
    return path


def floats(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def counted(path, **more):
    cost = api.cost(path, **more)
    return cost.params, cost.macs, cost.macs_by_output


def test_a_convolution_in_groups(tmp_path):
    """16 outputs of 8 / 4 inputs each, 3x3, at 10x12 pixels."""
    nodes = [("Conv", ["x", "w", "b"], "y", {"group": 4, "pads": [1, 1, 1, 1]})]
    path = model(tmp_path / "m.onnx", nodes, [1, 8, 10, 12], {"w": floats(16, 2, 3, 3), "b": floats(16)})
    products = 16 * 2 * 9
    assert counted(path) == (products + 16, products * 120, products * 120)


def test_a_transposed_convolution_counts_its_input_or_as_papers_do_its_output(tmp_path):
    """4 to 6 channels, 4x4, from 5x7 to 10x14 pixels."""
    nodes = [("ConvTranspose", ["x", "w"], "y", {"strides": [2, 2], "pads": [1, 1, 1, 1]})]
    path = model(tmp_path / "m.onnx", nodes, [1, 4, 5, 7], {"w": floats(4, 6, 4, 4)})
    assert counted(path) == (384, 384 * 35, 384 * 140)


@pytest.mark.parametrize(
    ("node", "given", "weight", "macs"),
    [
        (("MatMul", ["x", "w"], "y", {}), [2, 3, 5], (5, 7), 2 * 3 * 7 * 5),
        (("Gemm", ["x", "w"], "y", {"transB": 1}), [3, 5], (7, 5), 3 * 7 * 5),
        (("Gemm", ["x", "w"], "y", {"transA": 1}), [5, 3], (5, 7), 3 * 7 * 5),
    ],
)
def test_a_product_of_matrices(node, given, weight, macs, tmp_path):
    path = model(tmp_path / "m.onnx", [node], given, {"w": floats(*weight)})
    assert counted(path) == (35, macs, macs)


def test_a_quantised_convolution_counts_as_what_it_was(tmp_path):
    """Neither scales nor zero points nor the steps to bytes and back count."""
    nodes = [
        ("QuantizeLinear", ["x", "s", "z"], "q", {}),
        ("QLinearConv", ["q", "s", "z", "w", "ws", "wz", "s", "z", "b"], "r", {}),
        ("DequantizeLinear", ["r", "s", "z"], "y", {}),
    ]
    weights = {
        "s": np.float32(0.1), "z": np.uint8(0), "w": np.ones((8, 3, 5, 5), np.int8), "b": np.zeros(8, np.int32),
        "ws": floats(8), "wz": np.zeros(8, np.int8),
    }  # fmt: skip
    path = model(tmp_path / "m.onnx", nodes, [1, 3, 12, 12], {name: np.asarray(one) for name, one in weights.items()})
    assert counted(path) == (600 + 8, 600 * 64, 600 * 64)


@pytest.mark.filterwarnings("ignore")  # torch's, of its older exporter, whose pads compute their sizes
def test_an_exported_generator_costs_what_the_generator_costs(tmp_path):
    import torch

    from pocketgan.training.generators import build, spec_by_name

    spec = spec_by_name("resnet9", ngf=2, height=32, width=32)
    network = build(spec).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)  # the exporter leaves out biases that are zero
    path = tmp_path / "m.onnx"
    torch.onnx.export(network, (torch.zeros(1, 3, 32, 32),), path, dynamo=False)
    expected, cost = api.cost("resnet9", ngf=2, input=(3, 32, 32)), api.cost(path)
    assert (cost.params, cost.macs, cost.macs_by_output, cost.input) == (
        expected.params, expected.macs, expected.macs_by_output, (3, 32, 32),
    )  # fmt: skip
    assert cost.macs_by_output > cost.macs


def test_an_open_size_is_said_and_sizes_inside_follow_it(tmp_path):
    """A convolution behind a doubling whose size the graph itself computes; channels last outside."""
    nodes = [
        ("Transpose", ["x"], "a", {"perm": [0, 3, 1, 2]}),
        ("Shape", ["a"], "size", {}),
        ("Mul", ["size", "two"], "doubled", {}),
        ("Resize", ["a", "", "", "doubled"], "b", {}),
        ("Conv", ["b", "w"], "y", {}),
    ]
    weights = {"w": floats(4, 3, 1, 1), "two": np.asarray([1, 1, 2, 2])}
    path = model(tmp_path / "m.onnx", nodes, ["n", "h", "w", 3], weights)
    assert counted(path, input=(3, 8, 16)) == (12, 12 * 16 * 32, 12 * 16 * 32)
    assert api.cost(path, input=(3, 8, 16)).input == (3, 8, 16)
    with pytest.raises(PocketganError, match=r"input x is open \(nxhxwx3\): say its shape with --input 3x256x256"):
        api.cost(path)


def test_what_cannot_be_counted_is_named(tmp_path):
    nodes = [
        ("Conv", ["x", "w"], "a", {}),
        ("Einsum", ["a", "a"], "b", {"equation": "nchw,nchw->nchw"}),
        ("Gelu", ["b"], "y", {"domain": "com.microsoft"}),
    ]
    path = model(tmp_path / "m.onnx", nodes, [1, 3, 8, 8], {"w": floats(3, 3, 1, 1)})
    cost = api.cost(path)
    assert (cost.macs, dict(cost.uncounted)) == (9 * 64, {"Einsum": 1, "com.microsoft.Gelu": 1})
    assert cost.how == "counted from its graph; counts nothing, and may multiply: Einsum (1), com.microsoft.Gelu (1)"


def test_a_packed_model_says_its_cost(tmp_path):
    conv = [("Conv", ["x", "w"], "y", {})]
    path = model(tmp_path / "m.onnx", conv, [1, 3, 8, 8], {"w": floats(3, 3, 1, 1)})
    pack_foreign("onnx", path, tmp_path / "m.pgb", name="m", precision="fp32")
    assert counted(tmp_path / "m.pgb") == (9, 9 * 64, 9 * 64)
    assert api.cost(tmp_path / "m.pgb").input == (3, 8, 8)
    with pytest.raises(PocketganError, match=r"m\.pgb is a bundle, of one size: leave --input out"):
        api.cost(tmp_path / "m.pgb", input=(3, 8, 8))
    unknown = [("Einsum", ["x", "x"], "y", {"equation": "nchw,nchw->nchw"})]
    path = model(tmp_path / "n.onnx", unknown, [1, 3, 8, 8], {})
    pack_foreign("onnx", path, tmp_path / "n.pgb", name="n", precision="fp32")
    with pytest.raises(PocketganError, match=r"n\.pgb says no cost"):
        api.cost(tmp_path / "n.pgb")


@pytest.mark.parametrize("name", ["none.onnx", "none.pgb"])
def test_a_missing_file_is_told(name, tmp_path):
    with pytest.raises(PocketganError, match="there is no file"):
        api.cost(tmp_path / name)
