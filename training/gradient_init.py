"""Where LoRA's branches begin: along the gradient that full fine-tuning would follow, as in LoRA-GA (Wang et al. 2024).

Drawn at random, a branch of rank 1 first has to find its direction. Here A begins as the leading right singular vectors
of the gradient of the base's weight; B stays 0, so that a fresh branch still changes nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pocketgan.training.data.order import share_of_step
from pocketgan.training.data.samples import Samples
from pocketgan.training.data.samples import batch as stack
from pocketgan.training.lora import Adapted
from pocketgan.training.losses import l1_loss


def begin_along_gradient(adapted: Adapted, data: Samples, images: int, batch_size: int, seed: int) -> None:
    """Point every A along the gradient of the L1 distance to the targets; lengths stay as drawn.

    Branches whose gradient is 0 or not finite stay as they are.

    Args:
        adapted: fresh, on the device that is to compute.
        data: pairs of the concept.
        images: how many of them are looked at, in whole batches; all where there are fewer.
        batch_size, seed: those of the training, whose first steps these batches are.
    """
    steps = math.ceil(min(images, len(data)) / batch_size)
    device = adapted.concept_tokens.device
    with adapted.base_weights() as weights:
        for step in range(steps):
            batch = stack(share_of_step(data, step, batch_size=batch_size, seed=seed, rank=0, world=1))
            l1_loss(adapted(batch["input"].to(device)), batch["target"].to(device)).backward()
        directions = {path: _directions(weight.grad) for path, weight in weights.items()}
    adapted.zero_grad()
    adapted.point(directions)


def _directions(gradient: Tensor | None) -> Tensor | None:
    """(n, inputs of a pixel of the output): right singular vectors, the strongest first."""
    if gradient is None or not gradient.isfinite().all() or not gradient.any():
        return None
    return torch.linalg.svd(gradient.flatten(1), full_matrices=False).Vh
