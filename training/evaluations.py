"""What was measured while a training ran, and which of its states is the best one.

`evaluations.json` holds the values, `best/step_N.safetensors` the networks of the best states. Both are written before
the checkpoint of their step, and what came after a checkpoint is forgotten when a training goes on from it, so that a
killed and resumed training chooses as the one that was not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pocketgan import console
from pocketgan.files import write_atomic

EVALUATIONS = "evaluations.json"
BEST = "best"
HIGHER_IS_BETTER = frozenset(("miou",))


@dataclass(frozen=True)
class Evaluation:
    """The values by metric after a step."""

    step: int
    values: Mapping[str, float]


def best_of(evaluations: Sequence[Evaluation], metric: str) -> Evaluation | None:
    """The best by a metric, the earliest of equals; None where there is none."""
    sign = -1 if metric in HIGHER_IS_BETTER else 1
    return min(evaluations, key=lambda one: (sign * one.values[metric], one.step), default=None)


def read_evaluations(folder: Path) -> list[Evaluation]:
    """Those of a training in that folder, by step; empty where there are none or the file is broken."""
    try:
        return [Evaluation(**one) for one in json.loads((folder / EVALUATIONS).read_text())]
    except (OSError, ValueError, TypeError):
        return []


class Evaluations:
    """The evaluations of a training under way.

    Args:
        folder: of the training.
        every: steps from one to the next; another one follows the last step of all.
        steps: of the whole training.
        best_by: the metric that says which state ships; None where the last one does.
    """

    def __init__(self, folder: Path, *, every: int, steps: int, best_by: str | None) -> None:
        self._folder = folder
        self._every = every
        self._steps = steps
        self._best_by = best_by
        self._all: list[Evaluation] = []

    def go_on(self, start: int, label: str) -> None:
        """Take up what was measured up to step `start`; says where the best state of it is lost.

        An evaluation that was made because a shorter training ended there is forgotten: the longer training alone
        would not have made it.
        """
        known = [one for one in read_evaluations(self._folder) if one.step <= start and self.is_due(one.step)]
        if self._best_by is not None and start >= self._every:
            best = best_of(known, self._best_by)
            if best is None or not self.networks_after(best.step).is_file():
                console.note(
                    f"{label}: the best network of the first {start} steps is gone; the best of the later ones ships"
                )
                known = []
        self._all = known

    def is_due(self, step: int) -> bool:
        """Whether there is an evaluation after that step."""
        return step % self._every == 0 or step == self._steps

    def holds(self, step: int) -> bool:
        return any(one.step == step for one in self._all)

    @property
    def best(self) -> Evaluation | None:
        """The one whose networks ship; None where the last step's do."""
        return None if self._best_by is None else best_of(self._all, self._best_by)

    def networks_after(self, step: int) -> Path:
        """The file of the networks after that step."""
        return self._folder / BEST / f"step_{step:06d}.safetensors"

    def is_best(self, evaluation: Evaluation) -> bool:
        """Whether its networks are to be kept, and written before it is added: a kill leaves no best without them."""
        return self._best_by is not None and best_of([*self._all, evaluation], self._best_by) is evaluation

    def add(self, evaluation: Evaluation) -> None:
        """Write down what was measured.

        Raises:
            StorageError: the disk is full; what was written before is intact.
        """
        self._all.append(evaluation)
        records = [{"step": one.step, "values": one.values} for one in self._all]
        write_atomic(self._folder / EVALUATIONS, json.dumps(records, indent=1))

    def tidy(self) -> None:
        """After a checkpoint: remove networks that no training that goes on from it can ship."""
        regular = [one for one in self._all if one.step % self._every == 0]
        if self._best_by is not None:
            kept = {best.step for some in (self._all, regular) if (best := best_of(some, self._best_by))}
            for path in {*(self._folder / BEST).glob("*")} - {self.networks_after(step) for step in kept}:
                path.unlink()
