"""The graph of a model with static shapes, or in one line why its forward gives none."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from pocketgan.errors import ExportError
from pocketgan.export.origins import error_origin, without_wrapper

# What torch.export raises where Python asks for the value of a tensor that tracing does not know.
_BY_VALUE = ("GuardOnDataDependentSymNode", "UserError", "Unsupported", "DataDependentOutputException")

_aten = torch.ops.aten
_POOLS = (
    *(_aten.max_pool1d.default, _aten.max_pool2d.default, _aten.max_pool3d.default),
    *(_aten.avg_pool1d.default, _aten.avg_pool2d.default, _aten.avg_pool3d.default),
    *(_aten.max_pool1d_with_indices.default, _aten.max_pool2d_with_indices.default),
)


def trace(module: nn.Module, example: tuple[Tensor, ...]) -> ExportedProgram:
    """The module's graph with static shapes.

    Raises:
        ExportError: the module cannot take the example, or its forward cannot be traced.
    """
    try:
        with torch.no_grad():
            program = torch.export.export(module, example)
    except Exception as error:  # torch.export raises whatever the module's own code does
        shapes = ", ".join("x".join(map(str, tensor.shape)) for tensor in example)
        name = type(without_wrapper(module)).__name__
        why = forward_failure(error, module)
        raise ExportError(f"{name} cannot be traced with an input of {shapes}: {why}") from error
    # Slices that take everything become aliases, which Core ML's converter does not know.
    for node in program.graph.find_nodes(op="call_function", target=torch.ops.aten.alias.default):
        if any(reader.op == "output" for reader in node.users):
            continue  # the signature names it
        node.replace_all_uses_with(node.args[0])
        program.graph.erase_node(node)
    _spell_out(program)
    program.graph_module.recompile()
    return program


def _spell_out(program: ExportedProgram) -> None:
    """Write what targets' libraries read otherwise, or not at all, where the graph leaves it out: a pool's stride is
    its kernel, one picture's own statistics are an instance norm, stored ones a batch norm."""
    for node in program.graph.nodes:
        arguments = list(node.args)
        if node.target in _POOLS and (len(arguments) < 3 or not arguments[2]):
            arguments[2:3] = [arguments[1]]
        elif node.target is _aten.instance_norm.default and not arguments[5]:
            source, weight, bias, mean, variance, _, momentum, eps, cudnn = arguments
            node.target = _aten.batch_norm.default
            arguments = [source, weight, bias, mean, variance, False, momentum, eps, cudnn]
        elif node.target is _aten.batch_norm.default and arguments[5] and arguments[0].meta["val"].shape[0] == 1:
            node.target = _aten.instance_norm.default
            arguments[3:6] = [None, None, True]
        node.args = tuple(arguments)


def one_line(error: BaseException) -> str:
    """The first line of an error that says something, for people."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300].rstrip('.')}" if lines else type(error).__name__


def forward_failure(error: BaseException, module: nn.Module) -> str:
    """Why `module`, as the user wrote it, did not run or could not be traced."""
    place = error_origin(error, module)
    if type(error).__name__ in _BY_VALUE:
        subject = f"{place.path} ({place.kind})" if place.path else "it"
        code = f" ({place.code})" if place.code else ""
        return f"{subject} decides by the values of a tensor{code}; decide by shapes, or use torch.where"
    inputs = _inputs_of(module)
    if isinstance(error, TypeError) and place.path == "" and len(inputs) != 1:
        return f"it takes {len(inputs)} inputs ({', '.join(inputs)}); generators are exported with one image"
    inside = f", in {place}" if str(place) else ""
    return f"{one_line(error)}{inside}"


def _inputs_of(module: nn.Module) -> list[str]:
    """What forward must be given."""
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return ["image"]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [one.name for one in parameters if one.kind in kinds and one.default is inspect.Parameter.empty]
