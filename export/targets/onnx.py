"""ONNX for ONNX Runtime, on phones and in browsers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from pocketgan.export.targets.target import INPUT, OUTPUT, Exported, Form, Target
from pocketgan.export.tracing import trace
from pocketgan.targets import TARGETS

if TYPE_CHECKING:
    from torch import Tensor, nn

# The lowest that the dynamo exporter writes without converting: reflect Pad has no converter to 17. ONNX Runtime reads
# it since 1.14 (2023).
OPSET = 18
# Protobuf's limit for one message is 2 GiB; above this the weights go into a file beside the model.
LARGEST_SINGLE_FILE_BYTES = 2_000_000_000
_REGISTRIES: dict[int, Any] = {}
MODEL_FILE, WEIGHTS_FILE = "model.onnx", "model.onnx.data"


class Onnx(Target):
    """One `model.onnx`; int8 and mixed are QDQ, calibrated."""

    facts = TARGETS["onnx"]
    rewrites: tuple[str, ...] = ("constants", "grown-convolutions", "fold-norms-of-sums", "strided-heads-2x4")
    relative_time = 1.0

    def minimum_os(self, form: Form) -> str | None:
        """None: it depends on the ONNX Runtime that the app brings."""
        return None

    def export(self, module: nn.Module, example: tuple[Tensor, ...], form: Form, folder: Path) -> Exported:
        """See Target."""
        import onnx
        import onnxruntime

        from pocketgan.export.golden import pixels
        from pocketgan.export.pixels import in_contract
        from pocketgan.export.quantize import Half, must_be_calibrated, nodes_in_float, quantize_onnx

        path = folder / MODEL_FILE
        if form.precision == "fp16":
            module = Half(module)
        module, example = in_contract(module, example, form.io)
        model = converted(module, example)
        if form.precision in self.facts.calibrated:
            images = must_be_calibrated(form)
            kept = nodes_in_float(model, form.layers or {})
            quantize_onnx(model, path, pixels(images) if form.io == "image" else images, kept)
            model = onnx.load(path)
        _strip(model)
        _spell_out_convolutions(model.graph)
        if model.ByteSize() < LARGEST_SINGLE_FILE_BYTES:
            path.write_bytes(model.SerializeToString(deterministic=True))
        else:
            onnx.save_model(model, path, save_as_external_data=True, location=WEIGHTS_FILE)
        return Exported(MODEL_FILE, onnxruntime.__version__)


def converted(module: nn.Module, example: tuple[Tensor, ...]) -> Any:
    """The module's ONNX model."""
    import torch

    with _one_registry():
        program = torch.onnx.export(
            trace(module, example),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def write_component(program: Any, inputs: list[str], outputs: list[str], path: Path) -> None:
    """Write a traced program with any number of inputs, its weights in a file beside it, which may be of any size.

    Args:
        program: an ExportedProgram.
    """
    import onnx
    import torch

    with _one_registry():
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            external_data=True,
            optimize=False,  # would copy the weights
            verbose=False,
        )
    assert exported is not None
    exported.save(str(path), external_data=True)
    model = onnx.load(path, load_external_data=False)
    _strip(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


@contextmanager
def _one_registry() -> Iterator[None]:
    """Within it torch.onnx builds its table of operators once a process: it takes two thirds of a small export, and the
    exporter builds it anew every time. torch is pinned to one version, so its insides are known."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    original = ONNXRegistry.from_torchlib

    def once(opset_version: int) -> Any:
        if opset_version not in _REGISTRIES:
            _REGISTRIES[opset_version] = original(opset_version)
        return _REGISTRIES[opset_version]

    with mock.patch.object(ONNXRegistry, "from_torchlib", staticmethod(once)):
        yield


def _strip(model: Any) -> None:
    """Remove what describes the machine and the source code: stack traces with paths, graph dumps, intermediate shapes
    that every runtime infers again."""
    model.producer_name, model.producer_version, model.doc_string = "pocketgan", "", ""
    graph = model.graph
    for part in (model, graph, *graph.input, *graph.output, *graph.initializer, *graph.node):
        part.doc_string = ""
        del part.metadata_props[:]
    del graph.value_info[:]


def _spell_out_convolutions(graph: Any) -> None:
    """Write the attributes that ONNX lets a model leave out; browser runtimes need them."""
    import onnx

    shapes = {tensor.name: tensor.dims for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type not in ("Conv", "ConvTranspose") or node.input[1] not in shapes:
            continue
        kernel = list(shapes[node.input[1]][2:])
        written = {attribute.name for attribute in node.attribute}
        ones = [1] * len(kernel)
        defaults = {
            "kernel_shape": kernel,
            "dilations": ones,
            "strides": ones,
            "pads": 2 * [0] * len(kernel),
            "group": 1,
        }
        for name, value in defaults.items():
            if name not in written and not (name == "pads" and "auto_pad" in written):
                node.attribute.append(onnx.helper.make_attribute(name, value))
