"""Weights and statistics that a trained network might have, without training one."""

import torch
from torch import nn


def seeded(module: nn.Module) -> nn.Module:
    """The module with numbers drawn anew, the same every time."""
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5, generator=random)
            elif tensor.is_floating_point() and not name.endswith(("_u", "_v")):
                tensor.normal_(0.1 if name.endswith("weight") and tensor.dim() == 1 else 0, 0.2, generator=random)
    return module
