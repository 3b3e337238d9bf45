"""UGC's supernet: one network whose first channels and first blocks are every smaller one (UGC, stage 1).

A sub-network is an ordinary generator of a plain spec. In the supernet its weights are slices of the largest's, through
which gradients flow back; extracted, it has copies of them, so that both compute the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pocketgan.errors import ModelError
from pocketgan.training.generators import GeneratorSpec, Layer, build, layers, skeleton
from pocketgan.training.supernet_space import Configuration, Space


class Supernet:
    """The largest network of a space, and every smaller one in it.

    Args:
        network: built from `space.whole`, or trained; it is used as it is, not copied.
    Raises:
        ModelError: the network is not the largest of the space.
    """

    def __init__(self, space: Space, network: nn.Module) -> None:
        self.space = space
        self.network = network
        expected = {name: tensor.shape for name, tensor in skeleton(space.whole).state_dict().items()}
        if {name: tensor.shape for name, tensor in network.state_dict().items()} != expected:
            raise ModelError(f"these weights are of another supernet, not the largest network of {space}")

    def draw(self, configuration: Configuration, images: Tensor) -> Tensor:
        """What a sub-network makes of (n, c, h, w) inputs, in the network's mode; gradients reach the shared weights.

        Statistics of norms that it gathers on the way are dropped: the largest network's stay its own.

        Raises:
            ModelError: the configuration is of another supernet.
        """
        spec = self.space.spec(configuration)
        shell = _shell(spec).train(self.network.training)
        tensors = dict(self.network.named_parameters())
        buffers = {name: buffer.clone() for name, buffer in self.network.named_buffers()}
        return functional_call(shell, sliced(self.space.whole, spec, {**tensors, **buffers}), (images,))

    def extract(self, configuration: Configuration) -> tuple[nn.Module, GeneratorSpec]:
        """A sub-network of its own with the weights that it inherits, in eval mode, and its spec.

        Where its norms keep statistics they are those of the largest network, which fit no other: see `recalibrate`.

        Raises:
            ModelError: the configuration is of another supernet.
        """
        spec = self.space.spec(configuration)
        module = build(spec)
        module.load_state_dict(sliced(self.space.whole, spec, self.network.state_dict()))
        return module.eval(), spec


def sliced(whole: GeneratorSpec, part: GeneratorSpec, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """By the names of a sub-network's tensors, the first channels of the whole network's that are its own.

    They are views where the channels lie side by side; of maps that are concatenated, copies.
    """
    parts = {}
    for full, row in _matched(whole, part):
        for kind in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            name = f"{row.name}.{kind}"
            if name in tensors:
                parts[name] = _slice(tensors[name], kind, full, row, whole, part)
    return parts


@lru_cache(maxsize=8)
def _rows(spec: _Hashed) -> dict[str, Layer]:
    return {row.name: row for row in layers(spec.spec)}


class _Hashed:
    """A spec by its digest, to remember what is made of it."""

    def __init__(self, spec: GeneratorSpec) -> None:
        self.spec, self.digest = spec, spec.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hashed) and other.digest == self.digest


def _matched(whole: GeneratorSpec, part: GeneratorSpec) -> Iterable[tuple[Layer, Layer]]:
    """The layers of a sub-network, each with the whole network's that it is cut from."""
    full = _rows(_Hashed(whole))
    return ((full[row.name], row) for row in layers(part))


def _slice(tensor: Tensor, kind: str, full: Layer, row: Layer, whole: GeneratorSpec, part: GeneratorSpec) -> Tensor:
    if tensor.dim() == 0:
        return tensor
    if kind != "weight" or row.kind == "norm":
        return tensor[: row.outputs]
    outputs, inputs = (1, 0) if row.kind == "transposed" else (0, 1)
    tensor = tensor.narrow(outputs, 0, row.outputs)
    if len(full.reads) < 2:
        return tensor.narrow(inputs, 0, row.inputs)
    starts = [0]
    for name in full.reads:
        starts.append(starts[-1] + whole.widths[name])
    pieces = zip(starts, (part.widths[name] for name in full.reads), strict=False)
    return torch.cat([tensor.narrow(inputs, start, width) for start, width in pieces], inputs)


def _shell(spec: GeneratorSpec) -> nn.Module:
    """A network without memory for its weights, which `functional_call` gives it."""
    return _remembered_shell(_Hashed(spec))


@lru_cache(maxsize=4)
def _remembered_shell(spec: _Hashed) -> nn.Module:
    return skeleton(spec.spec)


@torch.no_grad()
def recalibrate(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Statistics of batch norms anew: means over the given inputs, as the network meets them.

    Every batch counts alike. Norms without statistics (instance norm) need none, and the module keeps its mode.

    Args:
        batches: (n, c, h, w) inputs.
    Raises:
        ModelError: there is no batch.
    """
    norms = [norm for norm in module.modules() if isinstance(norm, nn.BatchNorm2d)]
    if not norms:
        return
    modes, momenta = [one.training for one in module.modules()], [norm.momentum for norm in norms]
    device = next(module.parameters()).device
    seen = 0
    try:
        module.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the batches
            norm.train()
        for images in batches:
            module(images.to(device))
            seen += 1
    finally:
        for one, training in zip(module.modules(), modes, strict=True):
            one.training = training
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    if not seen:
        raise ModelError("norms are recalibrated over images; there is none")
