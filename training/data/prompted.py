"""Pictures of several concepts: photos, what each concept makes of them, and which concept is meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import torch
from torch import Tensor

from pocketgan.training.data.paired import Pair, PairedImages
from pocketgan.training.data.samples import Framing


class PromptedImages(PairedImages):
    """As PairedImages, with a fourth channel in `input`: the number of the concept, the same at every pixel.

    So what turns inputs into pictures (evaluations, sample pictures, distances) need not know of concepts, and no
    sample is torn from its concept on the way.

    Args:
        concepts: of each pair, a whole number from 0.
    """

    def __init__(
        self, pairs: Sequence[Pair], concepts: Sequence[int], size: tuple[int, int], **framing: Unpack[Framing]
    ) -> None:
        super().__init__(pairs, "AtoB", size, **framing)
        self.concepts = concepts

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        """`input` (4, height, width) and `target` (3, height, width), cropped and mirrored alike."""
        return self._prompted(index, super().sample(index, random))

    def whole(self, index: int) -> dict[str, Tensor]:
        """The same of the whole image."""
        return self._prompted(index, super().whole(index))

    def view(self, tensor: Tensor) -> np.ndarray:
        """(4, h, w) input -> (h, w, 3) uint8."""
        return super().view(tensor[:3])

    def _prompted(self, index: int, pair: dict[str, Tensor]) -> dict[str, Tensor]:
        photo = pair["input"]
        return {**pair, "input": torch.cat([photo, torch.full_like(photo[:1], self.concepts[index])])}
