"""What ExecuTorch's backends take: their own partitioners are asked, and nothing is lowered."""

from __future__ import annotations

import operator as python
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from typing import Any
from unittest import mock

from torch import Tensor, nn
from torch.fx import Node

from pocketgan.export.lint.reading import Reading, grouped, left
from pocketgan.export.targets import executorch_coreml, executorch_vulkan
from pocketgan.export.targets.target import Form
from pocketgan.export.tracing import trace
from pocketgan.export.unsupported import has_kernel


class _PartitionedError(Exception):
    """Ends a lowering once its partitioner has answered."""


def read(
    accelerator: str, make: Callable[[], AbstractContextManager[Any]], module: nn.Module, example: tuple[Tensor, ...]
) -> dict[str, Reading]:
    """What the partitioner that `make` makes takes of a module.

    Raises:
        Exception: whatever ExecuTorch raises for a module that it cannot lower.
    """
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    from pocketgan.export.targets.lowering import fast_lowering

    answers: list[Any] = []
    reasons: dict[Node, str] = {}
    with make() as partitioner, _reasons(reasons), fast_lowering(), suppress(_PartitionedError):
        partition = partitioner.partition

        def record(program: Any) -> Any:
            answers.append(partition(program))
            raise _PartitionedError

        partitioner.partition = record
        to_edge_transform_and_lower(
            trace(module, example),
            partitioner=[partitioner],
            compile_config=EdgeCompileConfig(_check_ir_validity=False),
        )
    answer = answers[0]
    nodes = [node for node in answer.tagged_exported_program.graph.nodes if node.op == "call_function"]
    nodes = [node for node in nodes if node.target is not python.getitem]
    fallen = [node for node in nodes if "delegation_tag" not in node.meta]
    reading = Reading(
        taken=len(nodes) - len(fallen),
        total=len(nodes),
        subgraphs=len(answer.partition_tags),
        falls=grouped([left(node, _why(node, reasons, partitioner)) for node in fallen], accelerator),
    )
    return {accelerator: reading}


def _why(node: Node, reasons: dict[Node, str], partitioner: Any) -> str:
    """The partitioner's reason, empty where it has no such operator."""
    schema = getattr(node.target, "_schema", None)
    if schema is not None and not has_kernel(schema.name):
        return "ExecuTorch has no kernel for it anywhere, so the file would not run"
    why = reasons.get(node, "")
    if why == "invalid dtype":
        values = [other.meta.get("val") for other in (*node.all_input_nodes, node)]
        types = {str(value.dtype).removeprefix("torch.") for value in values if isinstance(value, Tensor)}
        return f"not for {' with '.join(sorted(types))}"
    if why == "no operator implementation":
        return ""
    operators = getattr(partitioner, "target_partitioner_configs", {})
    if not why and getattr(node.target, "__name__", "").removeprefix("aten.") in operators:
        return "not with a step" if "slice" in node.name else "not with these arguments"
    return why


@contextmanager
def _reasons(reasons: dict[Node, str]) -> Iterator[None]:
    """Within it what partitioners would log of a node that they leave comes into `reasons`."""
    from executorch.exir.backend.utils import WhyNoPartition

    def record(self: Any, node: Node, reason: str) -> None:
        reasons.setdefault(node, reason)

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(WhyNoPartition, "__call__", record))
        vulkan = sys.modules.get("executorch.backends.vulkan.partitioner.vulkan_partitioner")
        if vulkan is not None:
            stack.enter_context(mock.patch.object(vulkan.VulkanSupportedOperators, "log_skip", record))
        yield


@contextmanager
def _xnnpack() -> Iterator[Any]:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    yield XnnpackPartitioner()


@contextmanager
def _coreml() -> Iterator[Any]:
    yield executorch_coreml.partitioner(_FORM)


# The default of both.
_FORM = Form("fp16")
READERS = {
    "executorch-xnnpack": (("XNNPACK",), partial(read, "XNNPACK", _xnnpack)),
    "executorch-vulkan": (("Vulkan",), partial(read, "Vulkan", partial(executorch_vulkan.partitioner, _FORM))),
    "executorch-coreml": (("Core ML",), partial(read, "Core ML", _coreml)),
}
