"""The group of processes that train together, as accelerate sees it, and what they tell each other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from accelerate import Accelerator


def join(precision: str = "fp32", cpu: bool = False) -> Accelerator:
    """This process's accelerator, alone or under `accelerate launch`.

    Processes wait for each other through whole stages, so their patience is a week.

    Args:
        precision: `fp32`, or `bf16` for networks under autocast.
        cpu: on the CPU even where there is a GPU.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import InitProcessGroupKwargs

    # accelerate remembers the first precision of a process and refuses another; teacher and student may differ.
    AcceleratorState._reset_state()

    mixed = {"fp32": "no", "bf16": "bf16"}[precision]
    return Accelerator(
        cpu=cpu, mixed_precision=mixed, kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(days=7))]
    )


@torch.no_grad()
def average_over_processes(tensors: Sequence[Tensor], accelerator: Accelerator) -> None:
    """Put the mean over the processes into each tensor, in one message."""
    if accelerator.num_processes == 1 or not tensors:
        return
    flat = accelerator.reduce(torch.cat([tensor.flatten() for tensor in tensors]), reduction="mean")
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))


@torch.no_grad()
def gathered(module: nn.Module, accelerator: Accelerator) -> dict[str, Tensor]:
    """A module's state in all processes, each in a slice of its own along a new first dimension."""
    return {name: accelerator.gather(value[None]) for name, value in module.state_dict().items()}
