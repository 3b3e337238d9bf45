"""ExecuTorch programs (`.pte`): what its backends share, and XNNPACK, the one for the CPUs of Android and iOS."""

from __future__ import annotations

from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from pocketgan.bundle.manifest import Delegation
from pocketgan.export.targets.target import Exported, Form, Target
from pocketgan.export.tracing import trace
from pocketgan.targets import TARGETS

if TYPE_CHECKING:
    from torch import Tensor, nn

MODEL_FILE = "model.pte"
# Nodes that take a tensor out of a tuple, compute nothing and never reach the runtime.
_BOOKKEEPING = ("getitem", "alloc")
# Rewrites into operators that delegates know, which bring a network into one subgraph.
WHOLE: tuple[str, ...] = (
    "constants",
    "scalars",
    "chunks",
    "attention",
    "reflection-pads",
    "norms",
    "grown-convolutions",
    "nearest-up",
    "nearest-down",
    "fold-norms-of-sums",
)


class ExecuTorch(Target):
    """What the targets of ExecuTorch's backends have in common: one `model.pte`."""

    def minimum_os(self, form: Form) -> str | None:
        """None: it depends on the ExecuTorch that the app brings."""
        return None


class ExecuTorchXnnpack(ExecuTorch):
    """One `model.pte`; what XNNPACK does not take runs on ExecuTorch's portable kernels. int8 and mixed are
    calibrated."""

    facts = TARGETS["executorch-xnnpack"]
    rewrites: tuple[str, ...] = (*WHOLE, "transposed-as-phases", "winograd", "strided-heads-2x2")
    relative_time = 6.0

    def export(self, module: nn.Module, example: tuple[Tensor, ...], form: Form, folder: Path) -> Exported:
        """See Target."""
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

        from pocketgan.export.pixels import in_contract
        from pocketgan.export.quantize import Half
        from pocketgan.export.targets.lowering import fast_lowering

        if form.precision == "fp16":
            module = Half(module)
        elif form.precision in self.facts.calibrated:
            module = _quantised(module, example, form)
        module, example = in_contract(module, example, form.io)

        with fast_lowering():
            return write_program(module, example, XnnpackPartitioner(), folder)


def _quantised(module: nn.Module, example: tuple[Tensor, ...], form: Form) -> nn.Module:
    import torch
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer as xnnpack
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer_utils as annotators

    from pocketgan.export.quantize import must_be_calibrated, quantize_pt2e

    images, layers = must_be_calibrated(form), form.layers or {}
    quantizer = xnnpack.XNNPACKQuantizer().set_global(xnnpack.get_symmetric_quantization_config(is_per_channel=True))

    def keeps_the_scale(operator: Any) -> bool:
        """XNNPACK's slices give what they take; torch's own name for them is missing in the quantizer's list."""
        return operator is torch.ops.aten.slice.Tensor or shares_its_scale(operator)

    def annotate_norms(graph_module: Any, *about: Any, **more: Any) -> list[Any]:
        """As the quantizer, which traces six patterns of a convolution and its norm before it looks: 2 s."""
        if any("batch_norm" in str(node.target) for node in graph_module.graph.nodes):
            found: list[Any] = annotates_norms(graph_module, *about, **more)
            return found
        graph_module.graph.eliminate_dead_code()
        graph_module.recompile()
        return []

    shares_its_scale, annotates_norms = annotators._is_share_obs_or_fq_op, annotators._do_annotate_conv_bn
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(annotators, "_do_annotate_conv_bn", annotate_norms))
        stack.enter_context(mock.patch.object(annotators, "_is_share_obs_or_fq_op", keeps_the_scale))
        if "fp32" in layers.values():
            # Concatenations are quantised whatever the filter says, and slices as what they read: together a file that
            # XNNPACK refuses to load, or fails to run.
            layers_alone = [one for one in quantizer.SUPPORTED_PATTERNS if one.name.startswith(("conv", "linear"))]
            stack.enter_context(mock.patch.object(quantizer, "SUPPORTED_PATTERNS", layers_alone))
            stack.enter_context(mock.patch.object(xnnpack, "propagate_annotation"))
        return quantize_pt2e(module, example, quantizer, images, layers)


def write_program(module: nn.Module, example: tuple[Tensor, ...], partitioner: Any, folder: Path) -> Exported:
    """Lower the module with ExecuTorch's partitioner of one backend, and write `model.pte` to `folder`."""
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    # The validity check verifies the graph after each of some 350 passes: a sixth of the time, and parity is
    # measured anyway.
    edge = to_edge_transform_and_lower(
        trace(module, example),
        partitioner=[partitioner],
        compile_config=EdgeCompileConfig(_check_ir_validity=False),
    )
    delegation = delegation_of(edge.exported_program().graph_module)
    (folder / MODEL_FILE).write_bytes(edge.to_executorch().buffer)
    return Exported(MODEL_FILE, metadata.version("executorch"), delegation)


def delegation_of(graph_module: Any) -> Delegation:
    """Which operator nodes the delegate takes, and which stay outside."""
    from executorch.devtools.backend_debug import get_delegation_info

    info = get_delegation_info(graph_module)
    taken, fallen = 0, {}
    for name, row in sorted(info.delegation_by_operator.items()):
        if name.endswith(_BOOKKEEPING):
            continue
        taken += row.delegated
        if row.non_delegated:
            fallen[name] = row.non_delegated
    total = taken + sum(fallen.values())
    return Delegation(
        delegated_fraction=taken / total if total else 0.0,
        subgraphs=info.num_delegated_subgraphs,
        fallen=fallen,
    )
