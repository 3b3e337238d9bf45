"""One-step search (CAT, section 3.2): one threshold over all norm scales prunes a teacher to a budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pocketgan.errors import BudgetError, ModelError
from pocketgan.training import generators
from pocketgan.training.generators import GeneratorSpec

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class SearchResult:
    """The student that a search found.

    Attributes:
        spec: the pruned architecture.
        cost: its cost in the budget's unit, never above the budget.
        threshold: scales at most as large as this were pruned (weighted ones where the search weighs them).
        evaluations: how often the cost function was asked.
        seconds: wall time of the search.
        rule: what the search weighed beside the scales; empty for the paper's rule.
    """

    spec: GeneratorSpec
    cost: float
    threshold: float
    evaluations: int
    seconds: float
    rule: str = ""


def search(
    teacher: nn.Module,
    spec: GeneratorSpec,
    cost: Callable[[GeneratorSpec], float],
    budget: float,
    least_width: int = 16,
    unit: str = "",
) -> SearchResult:
    """Prune `teacher` to the widest network within `budget` that one threshold on its norm scales gives.

    Args:
        teacher: a network whose norms have scales.
        spec: its architecture.
        cost: any cost of a spec; the search only knows that it is a number.
        budget: largest cost allowed, in the unit of `cost`.
        least_width: channels that every norm outside the blocks keeps (c_lb of the paper), the largest of its scales.
        unit: of the cost, for messages.
    Raises:
        BudgetError: the budget is above the teacher's cost or below the smallest that can be reached.
        ModelError: the network has no scales to prune by.
    """
    check_prunable(spec)
    started = time.perf_counter()
    ranking = Ranking(scale_pool(teacher, spec), least_widths(spec, least_width))
    evaluations = 0

    def evaluate(pruned: int) -> tuple[float, GeneratorSpec]:
        nonlocal evaluations
        evaluations += 1
        candidate = generators.narrowed(spec, ranking.widths(pruned))
        return cost(candidate), candidate

    widest_cost, widest = check_budget(spec, cost, budget, least_width, unit)
    evaluations += 2
    # `over` is known to exceed the budget and `within` to keep it, also where the cost is not monotone.
    over, within = 0, ranking.size
    while within - over > 1:
        middle = (over + within) // 2
        middle_cost, candidate = evaluate(middle)
        if middle_cost <= budget:
            within, widest_cost, widest = middle, middle_cost, candidate
        else:
            over = middle
    return SearchResult(widest, widest_cost, ranking.threshold(within), evaluations, time.perf_counter() - started)


def check_prunable(spec: GeneratorSpec) -> None:
    """Raises ModelError where the spec's norms have no scales to prune by."""
    if not generators.prunable(spec):
        raise ModelError(
            f"this network cannot be pruned: its norms ({spec.norm}) have no scales; "
            "use norm 'instance-affine' or 'batch'"
        )


def scale_pool(teacher: nn.Module, spec: GeneratorSpec) -> dict[str, np.ndarray]:
    """|gamma| by the name of the width that it decides about."""
    return {name: np.abs(s.detach().cpu().numpy()) for name, s in generators.scales(teacher, spec).items()}


def least_widths(spec: GeneratorSpec, least_width: int, multiple: int = 1) -> dict[str, int]:
    """What a search leaves at least of every width that it decides about; 0 where a branch may vanish.

    Widths that follow another keep `least_width` too, so that it keeps a multiple.

    Args:
        multiple: that widths shall be of; the least width is rounded up to it, where the spec is as wide.
    """
    gone, units = set(generators.vanishing(spec)), generators.units(spec)
    least = -(-least_width // multiple) * multiple
    return {
        name: 0 if name in gone else min(least * units.get(name, 1), spec.widths[name])
        for name in generators.prunable(spec)
    }


def check_budget(
    spec: GeneratorSpec,
    cost: Callable[[GeneratorSpec], float],
    budget: float,
    least_width: int,
    unit: str = "",
    multiple: int = 1,
) -> tuple[float, GeneratorSpec]:
    """The smallest network that a search can reach, and its cost.

    Args:
        multiple: as in `least_widths`.
    Raises:
        BudgetError: the budget is not between that cost and the spec's own.
    """
    whole = cost(spec)
    if budget >= whole:
        raise BudgetError(
            f"the budget {_short(budget)}{unit} is not below the teacher's own cost {_short(whole)}{unit}: nothing to "
            "prune; lower the budget"
        )
    smallest = generators.narrowed(spec, least_widths(spec, least_width, multiple))
    least_cost = cost(smallest)
    if least_cost > budget:
        least = f"{least_width} channels" + (f", in multiples of {multiple}," if multiple > 1 else "")
        raise BudgetError(
            f"the budget {_short(budget)}{unit} cannot be reached: with at least {least} outside the "
            f"blocks the smallest cost is {_short(least_cost)}{unit}; raise the budget or lower the least width"
        )
    return least_cost, smallest


class Ranking:
    """All scales of a network from the least to the most important; ties by layer, then channel.

    Args:
        pool: absolute scales by layer name.
        least: channels that a layer keeps at least; 0 where it is not named.
    Raises:
        BudgetError: a scale is not a finite number.
    """

    def __init__(self, pool: Mapping[str, np.ndarray], least: Mapping[str, int]) -> None:
        self._names = list(pool)
        values = np.concatenate([pool[name] for name in self._names])
        if not np.isfinite(values).all():
            raise BudgetError("a norm scale of the teacher is not a finite number: its training diverged")
        layer = np.repeat(np.arange(len(self._names)), [len(pool[name]) for name in self._names])
        order = np.argsort(values, kind="stable")  # stable: equal scales stay in (layer, channel) order
        self._layer, self._values = layer[order], values[order]
        self._least = np.array([least.get(name, 0) for name in self._names])
        self.size = len(values)

    def widths(self, pruned: int) -> dict[str, int]:
        """Widths after the `pruned` least important scales are gone, but for each layer's least."""
        kept = np.bincount(self._layer[pruned:], minlength=len(self._names))
        return {name: int(n) for name, n in zip(self._names, np.maximum(kept, self._least), strict=True)}

    def threshold(self, pruned: int) -> float:
        """The largest scale among the `pruned` least important; 0 where none is pruned."""
        return float(self._values[pruned - 1]) if pruned else 0.0


def _short(value: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("K", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.4g}{unit}"
    return f"{value:.4g}"
