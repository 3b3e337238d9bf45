"""Training programs: what one step does. `fit` drives any of them and knows none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

# By name: `input` and `target` of n images, and where the program learns from inputs without targets too (its row in
# `recipe/programs.py` says so), `unlabelled`: (m, c, h, w) of other images, whose number is a setting of its own.
Batch = Mapping[str, "Tensor"]
Phase = tuple[str, dict[str, "Tensor"]]


class Part(NamedTuple):
    """A part of a phase: its gradients are kept, and its optimiser steps with the rest of the phase, which follows.

    What a part has computed is freed before the next one begins.
    """

    optimiser: str
    terms: dict[str, Tensor]


@dataclass(frozen=True)
class Optimiser:
    """Adam on some networks, its rate constant and then linear to 0 over the last `decay` of the steps."""

    networks: tuple[str, ...]
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    decay: float = 0.5

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of the step (counted from 0) out of `steps`."""
        if self.decay <= 0:
            return self.learning_rate
        return self.learning_rate * min(1.0, (steps - step) / (steps * self.decay))


class Program(Protocol):
    """One training program."""

    def networks(self) -> dict[str, nn.Module]:
        """Every network, by name: moved to the device; those that are optimised are written to checkpoints."""

    def memories(self) -> dict[str, nn.Module]:
        """What no optimiser changes and yet goes on from step to step: buffers, moved and written likewise.

        Every process has its own. Random decisions come from torch's generator, which `fit` seeds at every step.
        """

    def optimisers(self) -> dict[str, Optimiser]:
        """What is optimised, by the names that `losses` gives its phases."""

    def losses(self, batch: Batch) -> Iterator[Phase]:
        """The phases of one step, in order: an optimiser's name and the weighted terms whose sum it minimises.

        A phase is computed only after the optimiser of the one before has stepped, so that a generator meets the
        discriminator that has just learnt. One that comes in several pieces yields a `Part` for all but the last.
        """

    def output(self, images: Tensor) -> Tensor:
        """The generator's picture of (n, c, h, w) inputs, for samples."""
