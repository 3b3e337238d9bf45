"""Parameters and multiply-accumulates of an ONNX model, from the shapes in its graph.

Norms, activations, pooling, resizing and moving of data count nothing, as in `pocketgan.training.cost`.
"""

from __future__ import annotations

import importlib.util
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketgan.bundle.manifest import Cost
from pocketgan.errors import ModelError, require
from pocketgan.foreign.onnx_folding import known_shapes, with_shapes

Shape = tuple[int, ...]
# Operators that multiply, with the places of their two operands among the inputs. ONNX Runtime's own fused ones count
# as what they are made of.
_CONVOLUTIONS = {"Conv": (0, 1), "FusedConv": (0, 1), "ConvInteger": (0, 1), "QLinearConv": (0, 3)}
_PRODUCTS = {"MatMul": (0, 1), "FusedMatMul": (0, 1), "MatMulInteger": (0, 1), "QLinearMatMul": (0, 3)}
# Operators of the standard that multiply much and are not counted; all others of the standard count nothing.
_UNCOUNTED = frozenset(
    {
        *("Attention", "DFT", "DeformConv", "Einsum", "GRU", "If", "LSTM", "Loop", "RNN", "STFT", "Scan"),
        *("SequenceMap",),
    }
)
_STANDARD = frozenset({"", "ai.onnx"})
# Places of inputs that are no parameters: scales and zero points, statistics.
_NO_PARAMETERS = {
    "QuantizeLinear": (1, 2),
    "DequantizeLinear": (1, 2),
    "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "ConvInteger": (2, 3),
    "MatMulInteger": (2, 3),
    "BatchNormalization": (3, 4),
    "Resize": (1, 2, 3),
    "Clip": (1, 2),
    "Pad": (1, 2, 3),
}
# Whole numbers of these types are sizes and indices, but for biases of integer convolutions.
_COUNTED_TYPES = frozenset({"FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE", "INT8", "UINT8", "INT4", "UINT4"})
_BIAS = {"QLinearConv": 8, "DequantizeLinear": 0}


@dataclass(frozen=True)
class OnnxCost:
    """Cost of one run.

    Attributes:
        total: as `pocketgan.training.cost` counts.
        uncounted: operators that may multiply and count nothing, with how often they occur: unknown ones, and known
            ones whose shapes the graph does not tell.
    """

    total: Cost
    uncounted: Mapping[str, int]


def onnx_cost(file: Path, shapes: Mapping[str, Shape]) -> OnnxCost:
    """Count a model on disk; its weights are not read.

    Args:
        shapes: of its inputs, by name.
    Raises:
        ModelError: onnx cannot read it.
        MissingExtraError: onnx is not installed.
    """
    require("export", "onnx")
    import onnx
    import onnx.inliner

    try:
        model = onnx.inliner.inline_local_functions(onnx.load(file, load_external_data=False))
        _set_shapes(model, shapes)
        params = _params(model.graph)
        graph = with_shapes(model)
    except Exception as error:  # protobuf's, onnx' and the inliner's own
        reason = " ".join(str(error).split())
        raise ModelError(f"{file} cannot be costed: {type(error).__name__}: {reason[:300]}") from error
    known = known_shapes(graph)
    macs = by_output = 0
    uncounted: Counter[str] = Counter()
    for node in graph.node:
        counted = _macs(node, known)
        if counted is None:
            uncounted[f"{node.domain}.{node.op_type}" if node.domain not in _STANDARD else node.op_type] += 1
        else:
            macs, by_output = macs + counted[0], by_output + counted[1]
    return OnnxCost(Cost(params=params, macs=macs, macs_by_output=by_output), dict(uncounted))


def possible_cost(file: Path, shapes: Mapping[str, Shape]) -> Cost | None:
    """The same where everything could be counted, None elsewhere."""
    if importlib.util.find_spec("onnx") is None:
        return None
    try:
        counted = onnx_cost(file, shapes)
    except ModelError:
        return None
    return None if counted.uncounted else counted.total


def _set_shapes(model: Any, shapes: Mapping[str, Shape]) -> None:
    """Say the inputs' shapes, and forget those of what comes of them: they may be open, or of another size."""
    for value in model.graph.input:
        if value.name in shapes:
            dimensions = value.type.tensor_type.shape
            del dimensions.dim[:]
            for size in shapes[value.name]:
                dimensions.dim.add().dim_value = size
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")


def _macs(node: Any, known: Mapping[str, Shape]) -> tuple[int, int] | None:
    """Executed MACs, and by output; None where the operator, or a shape of it, is not known."""
    kind = node.op_type
    if kind in _CONVOLUTIONS or kind == "ConvTranspose":
        data, weight = _CONVOLUTIONS.get(kind, (0, 1))
        found = _found(known, node.input[data], node.input[weight], node.output[0])
        if found is None:
            return None
        given, kernel, made = found
        # (out, in / groups, k, k), transposed (in, out / groups, k, k): products a pixel either way
        products = made[0] * math.prod(kernel)
        by_output = products * math.prod(made[2:])
        return (products * math.prod(given[2:]) if kind == "ConvTranspose" else by_output), by_output
    if kind in _PRODUCTS or kind == "Gemm":
        first, second = _PRODUCTS.get(kind, (0, 1))
        found = _found(known, node.input[first], node.input[second], node.output[0])
        if found is None or not found[0]:
            return None
        transposed = any(one.name == "transA" and one.i for one in node.attribute)
        inner = found[0][-2 if transposed and len(found[0]) > 1 else -1]
        macs = math.prod(found[2]) * inner
        return macs, macs
    return None if kind in _UNCOUNTED or node.domain not in _STANDARD else (0, 0)


def _found(known: Mapping[str, Shape], *names: str) -> tuple[Shape, ...] | None:
    return tuple(known[name] for name in names) if all(name in known for name in names) else None


def _params(graph: Any) -> int:
    """Numbers that the model has learned, as torch counts them: no statistics, scales, sizes or single constants."""
    from onnx import TensorProto

    used: dict[str, list[tuple[str, int]]] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            used.setdefault(name, []).append((node.op_type, place))
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            constants.update((node.output[0], one.t) for one in node.attribute if one.name == "value")
    fillers = {name for node in graph.node if _fills(node, constants) for name in node.input[1:3]}
    return sum(
        math.prod(tensor.dims)
        for name, tensor in constants.items()
        if tensor.dims and name not in fillers
        if _is_learned(TensorProto.DataType.Name(tensor.data_type), used.get(name, []))
    )


def _is_learned(dtype: str, uses: Sequence[tuple[str, int]]) -> bool:
    uses = [(kind, place) for kind, place in uses if place not in _NO_PARAMETERS.get(kind, ())]
    if dtype == "INT32":
        return any(_BIAS.get(kind) == place for kind, place in uses)
    return bool(uses) and dtype in _COUNTED_TYPES


def _fills(node: Any, constants: Mapping[str, Any]) -> bool:
    """Whether an instance norm has the scales and shifts that ONNX asks for and its network has not: ones and zeros."""
    from onnx import TensorProto, numpy_helper

    if node.op_type != "InstanceNormalization" or not all(name in constants for name in node.input[1:3]):
        return False
    tensors = [constants[name] for name in node.input[1:3]]
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in tensors):
        return False
    scale, shift = (numpy_helper.to_array(tensor) for tensor in tensors)
    return bool((scale == 1).all() and (shift == 0).all())
