"""Lower precisions: float16, 8-bit integers calibrated on real images, and compressed weights for Core ML."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from pocketgan.errors import ExportError
from pocketgan.export.layers import layers_of, owners
from pocketgan.export.targets.target import INPUT, Form, must_have_calibration

_ACTIVATIONS = (torch.ops.aten.relu.default, torch.ops.aten.relu_.default)
# Input channels that have a scale in common, in Core ML's int4.
_BLOCK = 32


class Half(nn.Module):
    """A network that computes in float16, between float32 inputs and outputs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).half()

    def forward(self, image: Tensor) -> Tensor:
        output: Tensor = self.network(image.half())
        return output.float()


def must_be_calibrated(form: Form) -> np.ndarray:
    """The calibration images (n, 1, c, h, w).

    Raises:
        ExportError: there are none.
    """
    must_have_calibration(form.precision, form.calibration is not None)
    assert form.calibration is not None
    return form.calibration


def nodes_in_float(model: Any, layers: Mapping[str, str]) -> list[str]:
    """Names of the nodes of an ONNX model, fresh from torch's exporter, that belong to layers that stay in float32.

    Raises:
        ExportError: a layer is not found in the model.
    """
    if "fp32" not in layers.values():
        return []
    nodes = model.graph.node
    # torch's exporter notes from which node of its graph each came, and that one names its parameters.
    notes = [" ".join(prop.value for prop in node.metadata_props if prop.key.endswith("fx_node")) for node in nodes]
    places: dict[int, int] = {}
    for number, name in enumerate(layers):
        pattern = re.compile(rf"%{_traced_name(name)}\b")
        indices = [
            index
            for index, (node, note) in enumerate(zip(nodes, notes, strict=True))
            if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul") and pattern.search(note)
        ]
        if not indices:
            raise ExportError(f"mixed precision does not find the layer of {name} in the ONNX model")
        places[indices[0]] = number
    makers = {output: index for index, node in enumerate(nodes) for output in node.output}
    read = [(index, [makers[name] for name in node.input if name in makers]) for index, node in enumerate(nodes)]
    precisions = list(layers.values())
    return [nodes[index].name for index, owner in owners(read, places).items() if precisions[owner] == "fp32"]


def quantize_onnx(model: Any, path: Path, calibration: np.ndarray, kept: Collection[str] = ()) -> None:
    """Write the ONNX model to `path` with QDQ pairs: unsigned activations per tensor, signed weights per channel.

    Args:
        kept: names of nodes that stay in float32.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.calibrate import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._images: Iterator[np.ndarray] = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self._images, None)
            return None if image is None else {INPUT: image}

    quantize_static(
        model,
        path,
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=[*kept, *_batched_products(model)],
        calibrate_method=CalibrationMethod.MinMax,
    )


def _batched_products(model: Any) -> list[str]:
    """Products with a constant of more than two dimensions, such as a text's keys: ONNX Runtime's integer kernel takes
    none with a scale per channel."""
    dims = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type == "MatMul"]
    return [node.name for node in products if any(dims.get(name, 0) > 2 for name in node.input)]


def quantize_pt2e(
    module: nn.Module,
    example: tuple[Tensor, ...],
    quantizer: Any,
    images: np.ndarray,
    layers: Mapping[str, str] = MappingProxyType({}),
) -> nn.Module:
    """The module with its graph quantised as `quantizer` annotates it, ranges taken from `images`.

    Args:
        layers: precision of layers by the name of their weights. With one in "fp32" nothing is quantised but the others
            and their activations.
    """
    from torchao.quantization.pt2e import quantize_pt2e as pt2e

    from pocketgan.export.tracing import trace

    graph = trace(module, example).module()
    assert isinstance(graph, torch.fx.GraphModule)
    if "fp32" in layers.values():
        quantizer.set_filter_function(_quantised_nodes(graph, layers))
    # It folds norms into convolutions that others read too, and into wrong channels of grouped ones. What can be folded
    # is folded already.
    with mock.patch.object(pt2e, "_fuse_conv_bn_"):
        prepared = pt2e.prepare_pt2e(graph, quantizer)
    with torch.no_grad():
        for image in images:
            prepared(torch.from_numpy(image))
    # Where a norm is left it looks for what training with quantisation leaves, of which nothing is here, and traces a
    # hundred patterns for that: half a minute.
    with mock.patch.object(pt2e, "_fold_conv_bn_qat", lambda graph_module: graph_module):
        converted: nn.Module = pt2e.convert_pt2e(prepared)
    return converted


def _quantised_nodes(graph: torch.fx.GraphModule, layers: Mapping[str, str]) -> Callable[[torch.fx.Node], bool]:
    """Whether a node of the graph is a quantised layer, one of its tensors or the activation behind it; by name, for
    `quantizer` looks at a copy."""
    kept = {layer.node for layer in layers_of(graph) if layers[layer.name] != "fp32"}
    tensors = {node for layer in kept for node in layer.all_input_nodes if node.op == "get_attr"}
    activations = {node for layer in kept for node in layer.users if node.target in _ACTIVATIONS}
    names = {node.name for node in kept | tensors | activations}
    return lambda node: node.name in names


def _traced_name(name: str) -> str:
    """Regular expression of what torch.export calls the tensor of that name, a wrapper around the module or not."""
    return rf"[a-z]+_(network_)?{re.escape(name.replace('.', '_'))}"


def compress_coreml(model: Any, form: Form) -> Any:
    """The ML program with its weights in the form's precision; as it is where the network has it already.

    Raises:
        ExportError: a layer of mixed precision is not found in the program, or the precision fits no layer at all.
    """
    import coremltools.optimize as cto

    precision = form.precision
    if precision == "mixed":
        config = cto.coreml.OptimizationConfig(op_name_configs=_palettes(model, form.layers or {}))
        return cto.coreml.palettize_weights(model, config)
    compressed = _compressed(model, precision)
    if compressed is not model and not _decompresses(compressed):
        raise ExportError(
            f"no layer of the network can have {precision} weights: Core ML compresses those of more than 2,048 "
            f"numbers, to int4 only where the input channels are a multiple of {_BLOCK}"
        )
    return compressed


def _decompresses(model: Any) -> bool:
    """Whether the program holds weights that are not stored as they are used."""
    functions = model.get_spec().mlProgram.functions.values()
    blocks = [block for function in functions for block in function.block_specializations.values()]
    return any(operation.type.startswith("constexpr_") for block in blocks for operation in block.operations)


def _compressed(model: Any, precision: str) -> Any:
    import coremltools.optimize as cto

    configs = {
        "int8": lambda: cto.coreml.OpLinearQuantizerConfig(mode="linear_symmetric"),
        "int4": lambda: cto.coreml.OpLinearQuantizerConfig(
            mode="linear_symmetric", dtype="int4", granularity="per_block", block_size=_BLOCK
        ),
        **{f"{bits}bit": _palette(bits) for bits in (8, 6, 4)},
    }
    if precision not in configs:
        return model
    config = cto.coreml.OptimizationConfig(global_config=configs[precision]())
    compress = cto.coreml.palettize_weights if precision.endswith("bit") else cto.coreml.linear_quantize_weights
    return compress(model, config)


def _palettes(model: Any, layers: Mapping[str, str]) -> dict[str, Any]:
    """What is to be done to the constants that hold the layers' weights, by their names in the program."""
    import coremltools.optimize as cto

    constants = list(cto.coreml.get_weights_metadata(model, weight_threshold=1))
    palettes: dict[str, Any] = {}
    for name, precision in layers.items():
        pattern = re.compile(rf"{_traced_name(name)}(_to_fp16)?")
        constant = next((one for one in constants if pattern.fullmatch(one)), None)
        if constant is None:
            raise ExportError(f"mixed precision does not find the layer of {name} in the Core ML program")
        palettes[constant] = None if precision == "fp16" else _palette(int(precision.removesuffix("bit")))()
    return palettes


def _palette(bits: int) -> Callable[[], Any]:
    import coremltools.optimize as cto

    return lambda: cto.coreml.OpPalettizerConfig(mode="kmeans", nbits=bits)
