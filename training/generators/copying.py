"""Copies of networks that `copy.deepcopy` alone refuses."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm


def copied_network(module: nn.Module) -> nn.Module:
    """A deep copy with plain weights: `torch.nn.utils.weight_norm` and `spectral_norm`, which compute a layer's weight
    anew before each call, are folded into it. `module` stays as it is.

    Tensors that hang on a graph of gradients, such as that weight, are copied without it: deepcopy takes none
    (pytorch issues 28594, 102981).
    """
    copied = copy.deepcopy(module, _detached(module))
    for layer in copied.modules():
        for hook in list(layer._forward_pre_hooks.values()):
            if isinstance(hook, WeightNorm):
                remove_weight_norm(layer, hook.name)
            elif isinstance(hook, SpectralNorm):
                remove_spectral_norm(layer, hook.name)
    return copied


def _detached(module: nn.Module) -> dict[int, Any]:
    """deepcopy's memory of what it has copied: by the id of each tensor that it would refuse, the copy of it."""
    attributes = [value for layer in module.modules() for value in (*vars(layer).values(), *layer._buffers.values())]
    tensors = [value for value in attributes if isinstance(value, Tensor) and not value.is_leaf]
    return {id(tensor): tensor.detach().clone() for tensor in tensors}
