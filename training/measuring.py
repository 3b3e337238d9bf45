"""Evaluations within a training: when they are made, what is told of them, and whose networks ship."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pocketgan import console
from pocketgan.errors import ModelError
from pocketgan.training.evaluations import Evaluation, Evaluations
from pocketgan.training.programs import Program
from pocketgan.training.state import TrainingState
from pocketgan.training.tracker import Tracker


@dataclass(frozen=True)
class Measuring:
    """What is measured while a training runs, and which of its states ships.

    Attributes:
        every: steps from one evaluation to the next; another one follows the last step.
        measure: the values by metric of a generator, (1, c, h, w) -> (1, 3, h, w).
        best_by: the metric by which the best state ships; the last one does where None.
    """

    every: int
    measure: Callable[[Callable[[Tensor], Tensor]], Mapping[str, float]]
    best_by: str | None = None


class Watch:
    """The evaluations of a training, in its first process."""

    def __init__(
        self,
        measuring: Measuring,
        program: Program,
        state: TrainingState,
        tracker: Tracker,
        *,
        folder: Path,
        steps: int,
        seed: int,
        label: str,
    ) -> None:
        self._measuring = measuring
        self._program, self._state, self._tracker = program, state, tracker
        self._seed, self._label = seed, label
        self._kept = Evaluations(folder, every=measuring.every, steps=steps, best_by=measuring.best_by)
        self.go_on, self.is_due, self.tidy = self._kept.go_on, self._kept.is_due, self._kept.tidy

    def evaluate(self, done: int) -> None:
        """Measure the networks as they would ship, once after each step, and keep them where they are the best so far.

        Raises:
            PocketganError: what `measure` says, or a full disk.
        """
        if self._kept.holds(done):
            return
        # A generator that draws noise draws the same at every evaluation. The next step seeds for itself.
        torch.manual_seed(self._seed)
        with self._state.evaluation():
            values = dict(self._measuring.measure(self._program.output))
            evaluation = Evaluation(done, values)
            best = self._kept.is_best(evaluation)
            if best:
                self._state.save_networks(self._kept.networks_after(done), done)
        self._kept.add(evaluation)
        self._tracker.evaluation(values, done)
        told = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        console.note(f"{self._label}: step {done}: {told}" + f" (the best {self._measuring.best_by} so far)" * best)

    def ship(self) -> None:
        """Put the networks of the best evaluation in their place, where they are asked for.

        Raises:
            ModelError: their file cannot be read.
        """
        best = self._kept.best
        if best is None:
            return
        path = self._kept.networks_after(best.step)
        if not self._state.load_networks(path):
            raise ModelError(f"{path}, the best network of the training, cannot be read; delete it and run again")
        value = best.values[str(self._measuring.best_by)]
        console.note(f"{self._label}: step {best.step} ships, the best by {self._measuring.best_by} ({value:.4g})")
