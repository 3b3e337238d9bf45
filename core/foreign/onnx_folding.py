"""Shapes of everything in an ONNX graph, those included whose sizes the graph computes as it runs.

onnx' own inference stops where a size is reckoned with (pads of PyTorch's older exporter, resizing by a tensor's size).
What is reckoned from constants and known shapes is computed here, and the inference goes on behind it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

# Sizes are few numbers; weights are left alone.
_MOST_NUMBERS = 4096
# Each pass finds shapes behind those of the last one; a graph has at the most as many as it has layers.
_MOST_PASSES = 200
# What sizes are reckoned with. Nothing of it makes much out of little, but for two whose outputs are looked at first.
_RECKONING = frozenset(
    {
        *("Abs", "Add", "And", "Cast", "Ceil", "Concat", "Constant", "ConstantOfShape", "Div", "Equal", "Expand"),
        *("Floor", "Gather", "Greater", "Identity", "Less", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or"),
        *("ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum", "Reshape", "Round", "ScatterND", "Shape", "Size"),
        *("Slice", "Sqrt", "Squeeze", "Sub", "Transpose", "Unsqueeze", "Where"),
    }
)
# The input that says the shape of the output.
_SHAPED_BY = {"ConstantOfShape": 0, "Expand": 1}


def with_shapes(model: Any) -> Any:
    """The graph of a model with a `value_info` of every tensor whose shape can be told; weights are not read."""
    from onnx.shape_inference import infer_shapes

    inferred = infer_shapes(model, data_prop=True)
    for _ in range(_MOST_PASSES):
        if not _fold(inferred):
            break
        inferred = infer_shapes(inferred, data_prop=True)
    return inferred.graph


def known_shapes(graph: Any) -> dict[str, tuple[int, ...]]:
    """Of every tensor whose shape is whole, by name."""
    known: dict[str, tuple[int, ...]] = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(one.HasField("dim_value") for one in tensor.shape.dim):
            known[value.name] = tuple(one.dim_value for one in tensor.shape.dim)
    return known


def _fold(model: Any) -> int:
    """Put constants in the place of nodes that give nothing else, and return how many."""
    from onnx import TensorProto, numpy_helper

    graph, known = model.graph, known_shapes(model.graph)
    opsets = {one.domain: one.version for one in model.opset_import}
    constants = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in graph.initializer
        if tensor.data_location != TensorProto.EXTERNAL and math.prod(tensor.dims) <= _MOST_NUMBERS
    }
    kept, folded = [], {}
    for node in graph.node:
        made = _computed(node, constants, known, opsets)
        if made is None:
            kept.append(node)
        else:
            constants[node.output[0]] = folded[node.output[0]] = made
    del graph.node[:]
    graph.node.extend(kept)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in folded.items())
    return len(folded)


def _computed(
    node: Any, constants: dict[str, np.ndarray], known: dict[str, tuple[int, ...]], opsets: dict[str, int]
) -> np.ndarray | None:
    """The one output of a node that depends on constants and shapes alone; None of others."""
    if len(node.output) != 1 or node.op_type not in _RECKONING or node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type == "Shape" and node.input[0] in known:
        ends = {one.name: one.i for one in node.attribute}
        return np.asarray(known[node.input[0]], np.int64)[ends.get("start") : ends.get("end")]
    if not all(name in constants for name in node.input if name):
        return None
    shaped_by = _SHAPED_BY.get(node.op_type)
    if shaped_by is not None and math.prod(constants[node.input[shaped_by]].ravel().tolist()) > _MOST_NUMBERS:
        return None
    from onnx.reference import ReferenceEvaluator

    try:
        (made,) = ReferenceEvaluator(node, opsets=opsets).run(
            None, {name: constants[name] for name in node.input if name}
        )
    except Exception:  # an operator that the evaluator lacks, or refuses
        return None
    return made if isinstance(made, np.ndarray) and made.size <= _MOST_NUMBERS else None
