"""Training checkpoints: one `.safetensors` with networks, optimisers, averages and the step; whole or not there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from pocketgan.files import write_atomic

State = dict[str, dict[str, Tensor]]


def save_checkpoint(
    path: Path,
    step: int,
    networks: Mapping[str, nn.Module],
    optimisers: Mapping[str, torch.optim.Optimizer],
    averages: Mapping[str, Mapping[str, Tensor]],
    memories: Mapping[str, Mapping[str, Tensor]] | None = None,
) -> None:
    """Write everything that the next step depends on but the random numbers, which are a function of the step.

    Args:
        memories: what the program remembers, tensors by name with one slice a process along the first dimension.
    Raises:
        StorageError: the disk is full; the checkpoint before it is intact.
    """
    tensors: dict[str, Tensor] = {}
    for name, network in networks.items():
        tensors |= {f"network/{name}/{key}": value for key, value in network.state_dict().items()}
    for name, optimiser in optimisers.items():
        for index, state in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser/{name}/{index}/{key}": torch.as_tensor(value) for key, value in state.items()}
    for name, average in averages.items():
        tensors |= {f"average/{name}/{key}": value for key, value in average.items()}
    for name, memory in (memories or {}).items():
        tensors |= {f"memory/{name}/{key}": value for key, value in memory.items()}
    data = save({key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}, {"step": str(step)})
    write_atomic(path, data, keeps="the checkpoint before it is intact")


def load_checkpoint(
    path: Path,
    networks: Mapping[str, nn.Module],
    optimisers: Mapping[str, torch.optim.Optimizer],
    averages: Mapping[str, dict[str, Tensor]],
    memories: Mapping[str, nn.Module] | None = None,
    rank: int = 0,
) -> int:
    """Restore what `save_checkpoint` wrote, in place; returns the step to go on with, 0 where there is no checkpoint.

    A file that does not fit (another recipe, another version) counts as none.

    Args:
        memories: modules that remember; each takes the slice of this process, `rank`.
    """
    if not path.is_file():
        return 0
    try:
        with safe_open(path, "pt") as file:
            step = int((file.metadata() or {})["step"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, KeyError, ValueError):
        return 0
    try:
        for name, network in networks.items():
            network.load_state_dict(_under(tensors, f"network/{name}/"))
        for name, memory in (memories or {}).items():
            slices = _under(tensors, f"memory/{name}/")
            memory.load_state_dict({key: value[rank % len(value)] for key, value in slices.items()})
    except RuntimeError:
        return 0
    for name, optimiser in optimisers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _under(tensors, f"optimiser/{name}/").items():
            index, _, field = key.partition("/")
            state.setdefault(int(index), {})[field] = value
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        _lay_out_like_parameters(optimiser)
    for name, average in averages.items():
        for key, value in _under(tensors, f"average/{name}/").items():
            average[key].copy_(value)
    return step


def _lay_out_like_parameters(optimiser: torch.optim.Optimizer) -> None:
    """A fused optimiser walks through parameter and state side by side: both must lie in memory alike."""
    for parameter, state in optimiser.state.items():
        for key, value in state.items():
            if value.shape == parameter.shape and value.stride() != parameter.stride():
                state[key] = torch.empty_like(parameter).copy_(value)


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
