"""What a training shows of itself: TensorBoard scalars and pictures, and the pictures as PNG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pocketgan.errors import storage_errors
from pocketgan.pictures import write_image


class Tracker:
    """Writes `tensorboard/` and `samples/step_N.png` below `folder`, going on after step `start`.

    Raises:
        StorageError: the folder cannot be written.
    """

    def __init__(self, folder: Path, start: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder = folder / "samples"
        with storage_errors(folder):
            # Events after the checkpoint that a killed run left are hidden.
            self._writer: Any = SummaryWriter(folder / "tensorboard", purge_step=start + 1 if start else None)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Losses of a step, by name."""
        for name, value in values.items():
            self._writer.add_scalar(f"loss/{name}", value, step)

    def evaluation(self, values: Mapping[str, float], step: int) -> None:
        """What was measured after a step, by metric."""
        for name, value in values.items():
            self._writer.add_scalar(f"evaluation/{name}", value, step)

    def picture(self, pixels: np.ndarray, step: int) -> None:
        """An (h, w, 3) uint8 overview of the program's state after a step."""
        write_image(self._folder / f"step_{step:06d}.png", pixels)
        self._writer.add_image("samples", pixels, step, dataformats="HWC")

    def close(self) -> None:
        """Flush what waits."""
        self._writer.close()
