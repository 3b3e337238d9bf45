"""int8 activations and weights as Core ML takes them (iOS 17), by ExecuTorch's quantizer for pt2e.

The quantizer looks for some 400 patterns, each of which it traces anew: three minutes. Here it looks for those that the
network can have, traced without Dynamo: the same annotations in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch

from pocketgan.export.quantize import must_be_calibrated, quantize_pt2e
from pocketgan.export.targets.target import Form
from pocketgan.export.tracing import trace

if TYPE_CHECKING:
    from torch import Tensor, nn

# Annotators of ExecuTorch's registry, and the operators without which they find nothing.
_NEEDED = {
    "conv_act": "conv",
    "conv_bn_act": "batch_norm",
    "conv_bn": "batch_norm",
    "conv": "conv",
    "linear_act": "linear",
    "linear_bn_act": "batch_norm",
    "linear_bn": "batch_norm",
    "linear": "linear",
    "add_act": "add",
    "add": "add",
    "mul_act": "mul",
    "mul": "mul",
    "matmul_act": "matmul",
    "matmul": "matmul",
    "flatten": "flatten",
}
# Activations that are traced under another name.
_TRACED_AS = {"relu6": "hardtanh", "logsigmoid": "log_sigmoid"}


def quantize_activations(module: nn.Module, example: tuple[Tensor, ...], form: Form) -> nn.Module:
    """The module with unsigned 8-bit activations and signed 8-bit weights per channel, ranges from the form's images.

    Raises:
        ExportError: the form has no calibration images.
    """
    from coremltools.optimize.torch.quantization import LinearQuantizerConfig
    from executorch.backends.apple.coreml.quantizer import CoreMLQuantizer

    images = must_be_calibrated(form)
    config = {
        "quantization_scheme": "symmetric",
        "activation_dtype": torch.quint8,
        "weight_dtype": torch.qint8,
        "weight_per_channel": True,
    }
    quantizer = CoreMLQuantizer(LinearQuantizerConfig.from_dict({"global_config": config}))
    with _patterns_of(_operators(module, example)):
        return quantize_pt2e(module, example, quantizer, images)


def _operators(module: nn.Module, example: tuple[Tensor, ...]) -> set[str]:
    """Names of the operators in the module's graph, without the underscore of those that work in place."""
    calls = {str(node.target) for node in trace(module, example).graph.nodes if node.op == "call_function"}
    return {call.split(".")[1].rstrip("_") for call in calls if call.startswith("aten.")}


@contextmanager
def _patterns_of(operators: set[str]) -> Iterator[None]:
    """Within it ExecuTorch's quantizer leaves out what these operators cannot match. It is pinned to one version, so
    its insides are known."""
    from executorch.backends.apple.coreml.quantizer import _coreml_quantizer, _coreml_quantizer_utils

    def activations(every: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(one for one in every if _TRACED_AS.get(one.__name__, one.__name__) in operators)

    def occurs(annotator: str) -> bool:
        operator_name = _NEEDED.get(annotator, annotator)
        return any(operator.startswith(operator_name) for operator in operators)

    registry = _coreml_quantizer._AnnotationPatternRegistry
    kept = {name: annotator for name, annotator in registry.get_annotators().items() if occurs(name)}
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(registry, "get_annotators", return_value=kept))
        for name in ("_supported_activations", "_supported_activations_no_inplace"):
            value = activations(getattr(_coreml_quantizer_utils, name))
            stack.enter_context(mock.patch.object(_coreml_quantizer_utils, name, value))
        stack.enter_context(mock.patch.object(_coreml_quantizer_utils, "_get_aten_graph_module", _traced_pattern))
        yield


def _traced_pattern(pattern: nn.Module, example: tuple[Tensor, ...], is_cuda: bool = False) -> torch.fx.GraphModule:
    """The pattern's graph; `is_cuda` is part of the signature that the quantizer calls."""
    traced = torch.export.export(pattern, example, strict=False).module(check_guards=False)
    assert isinstance(traced, torch.fx.GraphModule)
    traced.graph.eliminate_dead_code()
    traced.recompile()
    return traced
