"""Says in one line what of a traced model a target cannot express, and where in the model it is."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from pocketgan.export.origins import chain, failing_node, operator, origin
from pocketgan.export.tracing import one_line, trace

if TYPE_CHECKING:
    from torch.export import ExportedProgram

# What ExecuTorch's runtime answers for a program with an operator that it has no kernel for.
_MISSING_KERNEL = "0x:14"
_LIBRARIES = {"onnx": "torch.onnx", "coreml": "coremltools"}


def converter_failure(
    error: BaseException, target: str, file: Path | None, module: nn.Module, example: tuple[Tensor, ...]
) -> str:
    """Why a target's libraries do not take a canonical module: the operator and its place where the error tells.

    Args:
        file: the target's file, where it was written and did not run.
    """
    if file is not None and _MISSING_KERNEL not in str(error):
        return one_line(error)
    program = trace(module, example)
    if file is not None:
        for name in _without_kernel(file):
            return f"ExecuTorch's runtime has no kernel for {_plain(name)}{_at(_called(_expanded(program), [name]))}"
        return one_line(error)
    node = _called(program.graph.nodes, re.findall(r"[\w.]+::\w+", str(error))) or failing_node(error)
    if node is None:
        return one_line(error)
    traced = next((other for other in program.graph.nodes if other.name == node.name), node)
    name = operator(traced) if isinstance(traced, Node) else str(traced.name)
    library = _LIBRARIES.get(target, "ExecuTorch")
    first = list(chain(error))[-1]
    if depends_on_values(traced):
        return f"the shape of what {name} gives depends on values, and phones need fixed shapes{_at(traced)}"
    if isinstance(first, NotImplementedError) or "Missing out variants" in str(error) or "Dispatch" in _kinds(error):
        return f"{library} does not know {name}{_at(traced)}"
    return f"{library} cannot convert {name}{_at(traced)}: {one_line(first)}"


def place_of(error: BaseException, module: nn.Module, example: tuple[Tensor, ...]) -> str:
    """`, in blocks.0 (Block)` for an error about Core ML's operation `(name_cast_fp16)` of a canonical module; empty
    for others."""
    operation = re.search(r"Core ML's operation .*\((\w+)\)", str(error))
    if operation is None:
        return ""
    nodes = [node for node in trace(module, example).graph.nodes if operation[1].startswith(node.name)]
    return _at(max(nodes, key=lambda node: len(node.name), default=None))


def _at(node: Any) -> str:
    place = str(origin(node)) if node is not None else ""
    return f", in {place}" if place else ""


def _plain(name: str) -> str:
    return name.removeprefix("aten::").partition(".")[0]


def depends_on_values(node: object) -> bool:
    """Whether the shape of what a node computes is known only when it runs."""
    value = node.meta.get("val") if isinstance(node, Node) else None
    parts = value if isinstance(value, tuple | list) else (value,)
    sizes = [size for part in parts if isinstance(part, Tensor) for size in part.shape]
    return any(isinstance(size, torch.SymInt) for size in sizes)


def _kinds(error: BaseException) -> str:
    return " ".join(type(cause).__name__ for cause in chain(error))


def _expanded(program: ExportedProgram) -> Iterator[Node]:
    """The nodes of a program, then those that they decompose into."""
    yield from program.graph.nodes
    yield from program.run_decompositions().graph.nodes


def _called(nodes: Iterable[Node], names: Iterable[str]) -> Node | None:
    """The first node that calls one of the operators, an ExecuTorch copy of a view being that view."""
    operators = {_base(name) for name in names}
    for node in nodes:
        schema = getattr(node.target, "_schema", None)
        if schema is not None and _base(schema.name) in operators:
            return node
    return None


def _base(name: str) -> str:
    return name.partition(".")[0].removesuffix("_copy")


def has_kernel(name: str) -> bool:
    """Whether this host's ExecuTorch, the kernels of which phones have too, can run aten::name, or any overload."""
    return name in _kernels() or any(kernel.partition(".")[0] == name for kernel in _kernels())


@functools.cache
def _kernels() -> frozenset[str]:
    """Operators of ExecuTorch's runtime, such as aten::sort.values_stable."""
    from executorch.extension.pybindings.portable_lib import _get_operator_names

    return frozenset(_get_operator_names())


def _without_kernel(file: Path) -> list[str]:
    """Operators of a .pte file that ExecuTorch's runtime cannot run."""
    from executorch.exir._serialize._program import deserialize_pte_binary

    program = deserialize_pte_binary(file.read_bytes()).program
    called = [f"{one.name}.{one.overload}" if one.overload else one.name for one in program.execution_plan[0].operators]
    return [name for name in called if name not in _kernels()]
