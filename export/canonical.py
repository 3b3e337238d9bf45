"""The form that every target starts from: a deep copy in eval mode that leaves its input alone and whose batch norms
are folded or affine.

Which convolution a batch norm follows is read from the exported graph, not from the order in which modules are
registered, so that a convolution that feeds two layers, or that runs twice, is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import Node

from pocketgan.export.tracing import trace
from pocketgan.training.generators.copying import copied_network

_CONVOLUTIONS = (torch.ops.aten.conv2d.default, torch.ops.aten.conv_transpose2d.input)
_BATCH_NORM = torch.ops.aten.batch_norm.default
_INSTANCE_NORMS: dict[type[nn.Module], type[nn.Module]] = {
    nn.InstanceNorm1d: nn.BatchNorm1d,
    nn.InstanceNorm2d: nn.BatchNorm2d,
    nn.InstanceNorm3d: nn.BatchNorm3d,
}


class _Named(nn.Module):
    """Gives parameters names that start with a letter: ExecuTorch's passes fail on those of a bare nn.Sequential."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.network(*inputs)


class _OnCopies(nn.Module):
    """Hands a network copies of its inputs, which it changes in place."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.network(*[image.clone() for image in inputs])


def canonical(module: nn.Module, example: tuple[Tensor, ...]) -> nn.Module:
    """A copy of `module` on the CPU in float32 and eval mode, without gradients, whose every 2-D batch norm is folded
    into the convolution before it, or else has scale and shift. `module` stays as it is to the last bit.

    Weight and spectral norms are folded into their weights; an instance norm with running statistics, which in eval
    mode is a scale and a shift, becomes the batch norm that it is; a network that changes its input in place gets a
    graph in which nothing is changed, because a file would give the changed input as a second output.

    Args:
        example: inputs whose shapes are those that will be exported; values do not matter.
    Raises:
        ExportError: the module cannot take the example, or its forward cannot be traced.
    """
    copied = copied_network(module).cpu().float().eval().requires_grad_(False)
    for name, norm in list(copied.named_modules()):
        if type(norm) in _INSTANCE_NORMS and norm.running_mean is not None:
            copied = _with_part(copied, name, _as_batch_norm(norm))
    if any(name[0].isdigit() for name, _ in copied.named_children()):
        copied = _Named(copied)
    norms = [norm for norm in copied.modules() if isinstance(norm, nn.BatchNorm2d)]
    for norm in norms:
        _make_affine(norm)
    if norms:
        for pair in list(_foldable(trace(copied, example), copied)):
            _fold(pair)
            copied.set_submodule(pair.norm_name, nn.Identity())
    if _changes_its_input(copied, example):
        return _functional(_OnCopies(copied), example)
    return copied.eval()


def _with_part(module: nn.Module, name: str, part: nn.Module) -> nn.Module:
    """The module with another one in the place of its part of that name, which may be all of it."""
    if not name:
        return part
    module.set_submodule(name, part)
    return module


def _as_batch_norm(norm: nn.Module) -> nn.Module:
    """The batch norm that computes what an instance norm with running statistics computes in eval mode."""
    kind = next(other for one, other in _INSTANCE_NORMS.items() if type(norm) is one)
    made = kind(norm.num_features, eps=norm.eps, affine=norm.affine)
    made.load_state_dict(norm.state_dict())
    return made.eval().requires_grad_(False)


def _changes_its_input(module: nn.Module, example: tuple[Tensor, ...]) -> bool:
    """Found out by torch's own count of the changes of a tensor, which views of it share.

    A module that does not run fails when it is traced, where the reason is told.
    """
    given = [image.clone() for image in example]
    before = [image._version for image in given]
    with torch.no_grad(), suppress(Exception):
        module(*given)
    return [image._version for image in given] != before


def _functional(module: nn.Module, example: tuple[Tensor, ...]) -> nn.Module:
    """The module's graph without operators that change their arguments, and without copies."""
    program = trace(module, example).run_decompositions({})
    for node in program.graph.find_nodes(op="call_function", target=torch.ops.aten.clone.default):
        node.replace_all_uses_with(node.args[0])
        program.graph.erase_node(node)
    graph: nn.Module = program.module(check_guards=False)
    return graph


@dataclass(frozen=True)
class _Pair:
    """A convolution whose only reader is a batch norm, both used once."""

    convolution: nn.Conv2d | nn.ConvTranspose2d
    norm: nn.BatchNorm2d
    norm_name: str


def _foldable(program: ExportedProgram, module: nn.Module) -> Iterator[_Pair]:
    signature = program.graph_signature
    owners = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}

    def owner(argument: object) -> str | None:
        """Name of the module whose tensor `argument` is, if nothing else reads that tensor."""
        if not isinstance(argument, Node) or len(argument.users) != 1 or argument.name not in owners:
            return None
        return owners[argument.name].rpartition(".")[0]

    for node in program.graph.nodes:
        if node.target != _BATCH_NORM:
            continue
        convolution = node.args[0]
        if convolution.target not in _CONVOLUTIONS or len(convolution.users) != 1:
            continue
        names = owner(convolution.args[1]), owner(node.args[3])
        if names[0] is None or names[1] is None:
            continue
        parts = module.get_submodule(names[0]), module.get_submodule(names[1])
        if isinstance(parts[0], nn.Conv2d | nn.ConvTranspose2d) and isinstance(parts[1], nn.BatchNorm2d):
            yield _Pair(parts[0], parts[1], names[1])


def _make_affine(norm: nn.BatchNorm2d) -> None:
    if norm.affine:
        return
    norm.affine = True
    norm.weight = nn.Parameter(torch.ones(norm.num_features), requires_grad=False)
    norm.bias = nn.Parameter(torch.zeros(norm.num_features), requires_grad=False)


def _fold(pair: _Pair) -> None:
    """w' = w * gamma / sqrt(var + eps), b' = (b - mean) * gamma / sqrt(var + eps) + beta, in float64."""
    convolution, norm = pair.convolution, pair.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    bias = torch.zeros(norm.num_features) if convolution.bias is None else convolution.bias
    shifted = (bias.double() - norm.running_mean.double()) * scale + norm.bias.double()
    weight = convolution.weight.double()
    if isinstance(convolution, nn.ConvTranspose2d):  # (in, out / groups, k, k), a group's outputs side by side
        groups = convolution.groups
        grouped = weight.unflatten(0, (groups, -1)) * scale.view(groups, 1, -1, 1, 1)
        weight = grouped.flatten(0, 1)
    else:
        weight = weight * scale.view(-1, 1, 1, 1)
    convolution.weight = nn.Parameter(weight.float(), requires_grad=False)
    convolution.bias = nn.Parameter(shifted.float(), requires_grad=False)
