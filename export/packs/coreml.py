"""A pack's entry for Core ML (iOS 18): one package with a function a concept, which share the base's weights.

Core ML computes W + B A once and stores what comes of it, so each function keeps W and computes B A x beside W x.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from pocketgan.errors import ExportError
from pocketgan.export.packs.low_rank import factorise
from pocketgan.export.rewrites.graph import (
    Writer,
    argument,
    arguments_of,
    calls,
    drop_unread,
    is_tensor,
    replace_tensor,
    tensor_of,
)
from pocketgan.export.targets.coreml import MODEL, PACKAGE, normalise

# The oldest system whose packages hold several functions.
LEAST_IOS = 18
# The default concept's, which readers of earlier minors call.
DEFAULT_FUNCTION = "main"
_aten = torch.ops.aten
# Operators with a weight, and the weight's axis of outputs.
_OUTPUTS: dict[Any, int] = {_aten.conv2d.default: 0, _aten.conv_transpose2d.input: 1, _aten.linear.default: 0}


def function_names(concepts: Sequence[str], default: str) -> dict[str, str]:
    """By concept the name of its function, which takes letters, digits and '_' alone."""
    return {
        name: DEFAULT_FUNCTION if name == default else f"concept_{index}_{re.sub('[^A-Za-z0-9]', '_', name)}"
        for index, name in enumerate(concepts)
    }


def with_branches(base: nn.Module, concept: nn.Module) -> GraphModule:
    """The base's graph with what the concept's differs by: branches of low rank, and whole constants such as its text.

    Both are what the same rewrites made of networks of one form; neither is changed.

    Raises:
        ExportError: their graphs differ.
    """
    if not isinstance(base, GraphModule) or not isinstance(concept, GraphModule):
        raise ExportError("the graphs of a base and its concepts were not rewritten: no weights can be shared")
    module = copy.deepcopy(base)
    nodes = {node.name: node for node in concept.graph.nodes}
    if list(nodes) != [node.name for node in module.graph.nodes]:
        raise ExportError("the graph of a concept is another one than the base's: no weights can be shared")
    for node in calls(module, *_OUTPUTS):
        own = nodes[node.name]
        if is_tensor(arguments_of(node)[1]):
            new = tensor_of(concept, arguments_of(own)[1])
            if not torch.equal(new, tensor_of(module, arguments_of(node)[1])):
                _add_branch(module, node, new)
    for node in list(module.graph.nodes):
        if node.op == "get_attr" and not _of_branched(node) and node.name in nodes:
            new = tensor_of(concept, nodes[node.name])
            if not torch.equal(new, tensor_of(module, node)):
                replace_tensor(module, node, new)
    module.graph.eliminate_dead_code()
    drop_unread(module)
    module.recompile()
    return module


def _of_branched(node: Node) -> bool:
    """Whether a constant is the weight of an operator that has a branch where it must differ."""
    return any(user.target in _OUTPUTS and user.args[1] is node for user in node.users)


def _add_branch(module: GraphModule, node: Node, new: Tensor) -> None:
    old, axis = tensor_of(module, arguments_of(node)[1]), _OUTPUTS[node.target]
    difference = new.double().numpy() - old.double().numpy()
    size = float(max(new.abs().max(), old.abs().max()))
    found = factorise(difference, size, np.dtype(np.float32), axis)
    if found is None:
        replace_tensor(module, arguments_of(node)[1], new)
        return
    moved = list(old.shape)
    rank, outputs = found.a.shape[0], moved.pop(axis)
    a = torch.from_numpy(np.moveaxis(found.a.reshape(rank, *moved), 0, axis)).contiguous()
    b = torch.from_numpy(found.b)
    writer = Writer(module, node.next)
    if node.target is _aten.linear.default:
        inner = writer.call(node.target, node.args[0], writer.tensor(a, "a"))
        branch = writer.call(node.target, inner, writer.tensor(b, "b"))
    else:
        settings = [argument(node, index) for index in range(3, len(node.args))]
        inner = writer.call(node.target, node.args[0], writer.tensor(a, "a"), None, *settings)
        branch = writer.call(_aten.conv2d.default, inner, writer.tensor(b.reshape(outputs, rank, 1, 1), "b"))
    whole = writer.call(_aten.add.Tensor, node, branch)
    node.replace_all_uses_with(whole, delete_user_cb=lambda user: user is not whole)


def write_functions(packages: dict[str, Path], folder: Path) -> Path:
    """One package of several, by the names of their functions, of which the default is one.

    Raises:
        ExportError: coremltools cannot join them.
    """
    from coremltools.models.utils import MultiFunctionDescriptor, save_multifunction

    from pocketgan.export.packages import kept_packages

    described: Any = MultiFunctionDescriptor()
    for function, package in packages.items():
        described.add_function(str(package), src_function_name="main", target_function_name=function)
    described.default_function_name = DEFAULT_FUNCTION
    with kept_packages():
        save_multifunction(described, str(folder / PACKAGE))
    normalise(folder / PACKAGE)
    assert (folder / PACKAGE / MODEL).is_file()
    return folder / PACKAGE
