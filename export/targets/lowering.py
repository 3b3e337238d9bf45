"""ExecuTorch's lowering without the work that changes nothing: the same bytes in half the time or less.

Lowering is some forty walks over a graph of a thousand nodes. Here a graph that was walked before is returned as it is
by a pass that changes no operator; so is one in which a decomposition finds nothing to decompose; nodes share the
history of the passes that they went through; a forward is written when it is called; operators are listed once; and the
garbage collector waits.
ExecuTorch and torch are pinned to one version each, so their insides are known; a test compares the bytes with those of
a lowering without all this.
"""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch._export.utils
import torch.fx.traceback
from torch import fx
from torch.export import ExportedProgram
from torch.fx.graph import _PyTreeCodeGen

_recompile = fx.GraphModule.recompile


@contextmanager
def fast_lowering() -> Iterator[None]:
    """Within it `to_edge_transform_and_lower` and its relatives leave out what changes nothing."""
    # A node made from another one keeps a deep copy of its history, which grows with every pass; nobody changes one.
    shared = SimpleNamespace(copy=copy.copy, deepcopy=lambda history: history)
    enabled = gc.isenabled()
    gc.disable()
    try:
        with (
            mock.patch.object(torch.fx.traceback, "copy", shared),
            mock.patch.object(fx.GraphModule, "recompile", _recompile_when_called),
            mock.patch.object(torch._export.utils, "_materialize_cpp_cia_ops", _once()),
            _passes_once(),
            _decompositions_once(),
        ):
            yield
    finally:
        if enabled:
            gc.enable()


def _once() -> Callable[[], None]:
    """torch lists the dispatcher's operators anew whenever it decomposes; within one lowering nobody registers any."""
    listed: list[bool] = []
    materialize = torch._export.utils._materialize_cpp_cia_ops

    def materialize_once() -> None:
        if not listed:
            listed.append(True)
            materialize()

    return materialize_once


def _recompile_when_called(module: fx.GraphModule) -> None:
    """Most forwards are replaced by the next pass before anyone calls them: their code is written at the first call."""
    if isinstance(module._graph._codegen, _PyTreeCodeGen):
        module._in_spec = module._graph._codegen.pytree_info.in_spec
        module._out_spec = module._graph._codegen.pytree_info.out_spec
    made = type(module)

    def forward(self: fx.GraphModule, *arguments: Any, **keywords: Any) -> Any:
        _recompile(self)
        return made.forward(self, *arguments, **keywords)

    if not hasattr(made, "_wrapped_call"):
        _recompile(module)  # makes the class callable
    made.forward = forward


@contextmanager
def _passes_once() -> Iterator[None]:
    from executorch.exir.pass_base import ExportPass, PassResult, _ExportPassBase

    original = _ExportPassBase.call
    attributes = vars(_ExportPassBase).keys() | vars(ExportPass).keys()
    hooks = {name for name in attributes if not name.startswith("__")} - {"call", "_abc_impl"}
    propagated: set[str] = set()

    def call(self: Any, graph_module: fx.GraphModule) -> Any:
        # Passes end by walking the graph anew, which gives new nodes their shapes.
        changes_nothing = all(getattr(type(self), hook) is getattr(ExportPass, hook) for hook in hooks)
        if changes_nothing and _text(graph_module.graph) in propagated:
            return PassResult(graph_module, True)
        result = original(self, graph_module)
        propagated.add(_text(result.graph_module.graph))
        return result

    with mock.patch.object(_ExportPassBase, "call", call):
        yield


@contextmanager
def _decompositions_once() -> Iterator[None]:
    original = ExportedProgram.run_decompositions
    decomposed: set[str] = set()

    def run_decompositions(self: ExportedProgram, table: Any = None, **options: Any) -> ExportedProgram:
        if table is not None and _text(self.graph) in decomposed:
            targets = {node.target for node in self.graph.nodes if node.op == "call_function"}
            if not any(target in table for target in targets):
                return self
        program = original(self, table, **options)
        decomposed.add(_text(program.graph))
        return program

    with mock.patch.object(ExportedProgram, "run_decompositions", run_decompositions):
        yield


def _text(graph: fx.Graph) -> str:
    """All that a graph computes, whatever its nodes are called."""
    numbers = {node: number for number, node in enumerate(graph.nodes)}
    return str(
        [
            (node.op, str(node.target), str(fx.map_arg((node.args, node.kwargs), lambda other: f"%{numbers[other]}")))
            for node in graph.nodes
        ]
    )
