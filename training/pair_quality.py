"""How near pictures come to their targets, on pairs that are kept for choosing: what ranks and parts are judged by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from pocketgan.errors import ModelError
from pocketgan.training.base_and_pairs import BaseAndPairs
from pocketgan.training.data.paired import Pair
from pocketgan.training.evaluator import Evaluator, Judges
from pocketgan.training.quality.perceptual import LEAST_SIDE, Perceptual

PairMetric = Literal["lpips", "l1"]


class PairQuality:
    """Measures a generator, (n, 3, h, w) -> (n, 3, h, w) in [-1, 1] and in eval mode, on some pairs.

    Args:
        given: whose pictures they are.
        pairs: the pairs.
        metric: lpips, by the AlexNet backbone; l1 where nobody has its weights.
        weights: the backbone's file; torchvision's download where None.
        device: where the generator is.
    Raises:
        MissingExtraError: what LPIPS needs is not installed.
        ModelError: its weights are not to be had, or the pictures are too small for it.
    """

    def __init__(
        self,
        given: BaseAndPairs,
        pairs: Sequence[Pair],
        metric: PairMetric,
        weights: Path | None,
        device: torch.device,
    ) -> None:
        self.metric = metric
        judges = Judges(perceptual=_perceptual(given.size, weights, device)) if metric == "lpips" else Judges()
        self._weights = None if judges.perceptual is None else judges.perceptual.weights.sha256
        self._evaluator = Evaluator(given.images(pairs), tuple(dict.fromkeys((metric, "l1"))), judges, device)

    def told(self) -> dict[str, Any]:
        """What its numbers depend on beside the pictures, as JSON."""
        return {"metric": self.metric, "lpips_weights": self._weights}

    def __call__(self, generate: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """The mean of `metric`, and beside LPIPS that of L1; the lower, the nearer."""
        return self._evaluator(generate)


def _perceptual(size: tuple[int, int], weights: Path | None, device: torch.device) -> Perceptual:
    if min(size) < LEAST_SIDE:
        raise ModelError(
            f"LPIPS needs pictures of {LEAST_SIDE} pixels a side at least, not {size[0]}x{size[1]}; take --metric l1"
        )
    try:
        return Perceptual("alex", weights, device)
    except ModelError as error:
        raise ModelError(f"{error}; or judge by the mean absolute difference: --metric l1") from error
