"""Reading and editing a traced graph: its arguments, its tensors, and new nodes that know their shapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg


def calls(module: GraphModule, *targets: object) -> Iterator[Node]:
    """The nodes that call one of these operators, in their order; the graph may be edited meanwhile."""
    return (node for node in list(module.graph.nodes) if node.op == "call_function" and node.target in targets)


def argument(node: Node, index: int, default: object = None) -> Any:
    """An argument of a call, its default where the call leaves it out."""
    return node.args[index] if len(node.args) > index else default


def arguments_of(node: Node) -> tuple[Any, ...]:
    """The arguments of a call as it gives them."""
    return node.args


def set_argument(node: Node, index: int, value: Node) -> None:
    arguments = [*node.args, *[None] * (index + 1 - len(node.args))]
    arguments[index] = value
    node.args = tuple(arguments)


def is_tensor(node: object) -> bool:
    """Whether a node reads one of the module's own tensors."""
    return isinstance(node, Node) and node.op == "get_attr"


def tensor_of(module: GraphModule, node: object) -> Tensor:
    """The value of a node that reads one of the module's own tensors."""
    assert isinstance(node, Node)
    owner, _, name = str(node.target).rpartition(".")
    tensor = getattr(module.get_submodule(owner), name)
    assert isinstance(tensor, Tensor)
    return tensor.detach()


def replace_tensor(module: GraphModule, node: object, tensor: Tensor) -> None:
    """Give the attribute that `node` reads another value, as `stored`; the traced module shares the old one with its
    source, which stays as it is."""
    assert isinstance(node, Node)
    owner, _, name = str(node.target).rpartition(".")
    setattr(module.get_submodule(owner), name, nn.Parameter(stored(tensor), requires_grad=False))


def add_tensor(module: GraphModule, target: str, tensor: Tensor) -> Node:
    """A new parameter of the module, read at the graph's insertion point."""
    owner, _, name = target.rpartition(".")
    module.get_submodule(owner).register_parameter(name, nn.Parameter(stored(tensor), requires_grad=False))
    return module.graph.get_attr(target)


def stored(tensor: Tensor) -> Tensor:
    """Numbers in float32; integers and truth values, which are indices and masks, in their own type."""
    return tensor.float() if tensor.is_floating_point() else tensor


def shape_of(node: object) -> list[int]:
    """The static shape of what a node computes."""
    assert isinstance(node, Node)
    return [int(size) for size in node.meta["val"].shape]


class Writer:
    """Writes nodes in front of `place`, one after the other, each with the shape and origin that others ask for."""

    def __init__(self, module: GraphModule, place: Node) -> None:
        self.module, self.place = module, place

    def call(self, operator: Any, *args: Any) -> Node:
        """A call whose arguments may be nodes."""
        with self.module.graph.inserting_before(self.place):
            node = self.module.graph.call_function(operator, args)
        node.meta["val"] = operator(*map_arg(args, lambda argument: argument.meta["val"]))
        self._keep_origin(node)
        return node

    def tensor(self, tensor: Tensor, name: str = "constant") -> Node:
        """A new tensor of the module; equal names are told apart by numbers."""
        base, index = f"{self.place.name}_{name}", 0
        while hasattr(self.module, f"{base}_{index}"):
            index += 1
        with self.module.graph.inserting_before(self.place):
            node = add_tensor(self.module, f"{base}_{index}", tensor)
        mode = self._mode()
        value = stored(tensor)
        node.meta["val"] = mode.from_tensor(value, static_shapes=True) if mode else value
        return node

    def finish(self, result: Node) -> None:
        """Let `result` take the place of `place`, which goes."""
        self.place.replace_all_uses_with(result)
        self.module.graph.erase_node(self.place)

    def _keep_origin(self, node: Node) -> None:
        """Which of the user's modules a new node stands for; `origins.py` reads it."""
        for key in ("nn_module_stack", "torch_fn"):
            if key in self.place.meta:
                node.meta[key] = self.place.meta[key]

    def _mode(self) -> Any:
        return getattr(self.place.meta["val"], "fake_mode", None)


def drop_unread(module: GraphModule) -> None:
    """Remove tensors that the graph no longer reads, so that they are not exported."""
    read = {node.target for node in module.graph.nodes if node.op == "get_attr"}
    for name in [*dict(module.named_parameters()), *dict(module.named_buffers())]:
        if name not in read:
            owner, _, attribute = name.rpartition(".")
            delattr(module.get_submodule(owner), attribute)


def value_of(module: GraphModule, node: Node) -> Tensor:
    """What a node computes whose every input is one of the module's tensors, in the precision of the inputs."""
    arguments = map_arg(node.args, lambda read: tensor_of(module, read))
    keywords = map_arg(node.kwargs, lambda read: tensor_of(module, read))
    with torch.no_grad():
        value = node.target(*arguments, **keywords)  # type: ignore[operator]
    assert isinstance(value, Tensor)
    return value
