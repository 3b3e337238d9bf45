"""Hardware-aware search: the paper's ranking, with widths and branches that the device executes well.

The paper's threshold leaves widths such as 11 or 27 in all branches; a runtime computes channels in blocks and idles in
the rest. Here several candidates prune by the same ranking of |gamma|, but round widths to multiples, and let only the
strongest branches of every block live, which then grow wider. Each candidate fills the budget. Of those that keep most
of the |gamma| that the paper's rule keeps, the one that does the most work per millisecond wins, as a latency model of
the runtime predicts it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pocketgan.training import generators
from pocketgan.training.generators import GeneratorSpec
from pocketgan.training.search import (
    Ranking,
    SearchResult,
    check_budget,
    check_prunable,
    least_widths,
    scale_pool,
)

if TYPE_CHECKING:
    from torch import nn

Cost = Callable[[GeneratorSpec], float]

MULTIPLES = (1, 4, 8, 16)
# Branches of a block that live; None: as many as the ranking leaves.
BRANCHES = (None, 3, 2, 1)
# A candidate keeps at least this part of the |gamma| that the paper's rule keeps within the same budget: one branch a
# block is the fastest, but keeps about half of it, two keep two thirds or more.
KEPT_SCALE = 0.65
# A candidate is filled up to this part of the budget where single widths fit.
CLOSE = 0.97


@dataclass(frozen=True)
class Device:
    """What the search knows of the device.

    Attributes:
        latency: predicted milliseconds of a spec.
        work: what is to be done in as little time as possible: the budget's own cost where that is no time.
    """

    latency: Cost
    work: Cost

    def rate(self, spec: GeneratorSpec) -> float:
        """Work per millisecond."""
        return self.work(spec) / max(self.latency(spec), 1e-9)


def search_multiples(
    teacher: nn.Module,
    spec: GeneratorSpec,
    cost: Cost,
    budget: float,
    multiple: int,
    least_width: int = 16,
    unit: str = "",
) -> SearchResult:
    """The paper's search with widths rounded to multiples of `multiple`, filled up to the budget.

    The least width is rounded up to the multiple. Other arguments and errors are those of `search.search`.
    """
    search = _Search(teacher, spec, cost, budget, least_width=least_width, unit=unit, multiple=multiple)
    return search.best([_Rule(multiple)], None)


def search_for_device(
    teacher: nn.Module,
    spec: GeneratorSpec,
    cost: Cost,
    budget: float,
    device: Device,
    least_width: int = 16,
    unit: str = "",
) -> SearchResult:
    """The candidate that does the most work per predicted millisecond within the budget.

    Other arguments and errors are those of `search.search`.
    """
    search = _Search(teacher, spec, cost, budget, least_width=least_width, unit=unit)
    counts = BRANCHES if search.has_branches else (None,)
    return search.best([_Rule(multiple, count) for multiple in MULTIPLES for count in counts], device)


@dataclass(frozen=True)
class _Rule:
    """One candidate: widths are multiples of `multiple`, and at most `branches` of a block live."""

    multiple: int
    branches: int | None = None

    def __str__(self) -> str:
        limit = "" if self.branches is None else f", {self.branches} branches a block at most"
        return f"multiples of {self.multiple}{limit}"


@dataclass(frozen=True)
class _Candidate:
    """A candidate and the threshold that gave it."""

    spec: GeneratorSpec
    threshold: float
    rule: _Rule


class _Search:
    """What all candidates of one search share. `multiple`: the one of a candidate that the budget must reach."""

    def __init__(
        self,
        teacher: nn.Module,
        spec: GeneratorSpec,
        cost: Cost,
        budget: float,
        *,
        least_width: int,
        unit: str,
        multiple: int = 1,
    ) -> None:
        check_prunable(spec)
        self._started = time.perf_counter()
        self._spec, self._budget, self._given_cost = spec, budget, cost
        self._evaluations = 0
        check_budget(spec, self._cost, budget, least_width, unit, multiple)
        self._pool = scale_pool(teacher, spec)
        self._descending = {name: np.sort(values)[::-1] for name, values in self._pool.items()}
        self._least_width = least_width
        self._blocks = list(_blocks(spec, [name for name, least in self._least(1).items() if not least]))

    @property
    def has_branches(self) -> bool:
        """Whether blocks have branches that may vanish."""
        return bool(self._blocks)

    def best(self, rules: Sequence[_Rule], device: Device | None) -> SearchResult:
        """Of the candidates that keep enough and come close to the budget the one with the highest rate, the first of
        equals.

        Without a device there is one rule, and its candidate is the result. The paper's own rule is always among the
        others, keeps enough, and comes as close as the teacher's widths allow; rules with few branches may not, and
        those whose least widths, rounded up to their multiple, cost more than the budget have no candidate.
        """
        candidates = [candidate for rule in rules if (candidate := self._candidate(rule)) is not None]
        own = candidates[0].spec
        enough, close = KEPT_SCALE * self._kept_scale(own), min(CLOSE * self._budget, self._cost(own))
        fit = [row for row in candidates if self._kept_scale(row.spec) >= enough and self._cost(row.spec) >= close]
        chosen = fit[0] if device is None else max(fit, key=lambda row: device.rate(row.spec))
        cost, seconds = self._cost(chosen.spec), time.perf_counter() - self._started
        return SearchResult(
            chosen.spec,
            cost,
            chosen.threshold,
            evaluations=self._evaluations,
            seconds=seconds,
            rule=str(chosen.rule),
        )

    def _cost(self, spec: GeneratorSpec) -> float:
        self._evaluations += 1
        return self._given_cost(spec)

    def _kept_scale(self, spec: GeneratorSpec) -> float:
        return sum(float(values[: spec.widths[name]].sum()) for name, values in self._descending.items())

    def _least(self, multiple: int) -> dict[str, int]:
        """What is left at least of every width that is searched, in whole multiples where the teacher is as wide."""
        least = least_widths(self._spec, self._least_width, multiple)
        return {name: least[name] for name in self._pool}

    def _candidate(self, rule: _Rule) -> _Candidate | None:
        """The widest network of a rule that one threshold gives within the budget, filled up; None where its smallest
        costs more."""
        alive, least = self._alive(rule.branches), self._least(rule.multiple)
        smallest = generators.narrowed(self._spec, least)
        if self._cost(smallest) > self._budget:
            return None
        ranking = Ranking({name: self._pool[name] for name in alive}, {name: least[name] for name in alive})
        over, within, widest = 0, ranking.size, smallest
        while within - over > 1:
            middle = (over + within) // 2
            candidate = self._rounded(ranking.widths(middle), rule.multiple, alive, least)
            if self._cost(candidate) <= self._budget:
                within, widest = middle, candidate
            else:
                over = middle
        return _Candidate(self._filled(widest, rule.multiple, alive), ranking.threshold(within), rule)

    def _alive(self, count: int | None) -> list[str]:
        """Names that a candidate may give a width: of every block its `count` strongest branches, the first of them
        one that looks at a pixel's neighbours."""
        gone: set[str] = set()
        for branches, spatial in self._blocks:
            first = self._by_strength(spatial)[:1]
            others = self._by_strength([name for name in branches if name not in first])
            gone.update([*first, *others][count:] if count is not None else ())
        return [name for name in self._pool if name not in gone]

    def _by_strength(self, names: Sequence[str]) -> list[str]:
        """Branches by the sum of their larger half of scales, the largest first."""
        return sorted(names, key=lambda name: -float(self._descending[name][: -(-len(self._pool[name]) // 2)].sum()))

    def _rounded(
        self, widths: Mapping[str, int], multiple: int, alive: Sequence[str], least: Mapping[str, int]
    ) -> GeneratorSpec:
        """Widths at the nearest multiple; a block left without a branch that looks at a pixel's neighbours keeps its
        strongest one."""
        rounded = dict.fromkeys(self._pool, 0) | {
            name: max(self._nearest(name, widths[name], multiple), least[name]) for name in alive
        }
        if multiple > 1:
            for _, spatial in self._blocks:
                if not any(rounded[name] for name in spatial):
                    first = self._by_strength([name for name in spatial if name in alive])[0]
                    rounded[first] = min(multiple, self._spec.widths[first])
        return generators.narrowed(self._spec, rounded)

    def _nearest(self, name: str, width: int, multiple: int) -> int:
        """The nearest multiple, but none above the teacher's width."""
        nearest = (2 * width + multiple) // (2 * multiple) * multiple
        return min(nearest, self._spec.widths[name] // multiple * multiple)

    def _filled(self, spec: GeneratorSpec, multiple: int, alive: Sequence[str]) -> GeneratorSpec:
        """Grow single widths, those first whose next channel has the largest scale, until the network is close to the
        budget; by smaller steps where multiples do not fit."""
        step, spent = multiple, self._cost(spec)
        while spent < CLOSE * self._budget and step:
            growing = [name for name in alive if spec.widths[name] + step <= self._spec.widths[name]]
            growing.sort(key=lambda name: -float(self._descending[name][spec.widths[name]]))
            for name in growing:
                candidate = generators.narrowed(spec, {name: spec.widths[name] + step})
                cost = self._cost(candidate)
                if spent < cost <= self._budget:
                    spec, spent = candidate, cost
                    break
            else:
                step //= 2
        return spec


def _blocks(spec: GeneratorSpec, names: Sequence[str]) -> Iterator[tuple[list[str], list[str]]]:
    """The branches of each block (`block3.plain1` and so on), and those of them that look at a pixel's neighbours."""
    blocks: dict[str, list[str]] = {}
    for name in names:
        blocks.setdefault(name.rpartition(".")[0], []).append(name)
    kernels = _kernels(spec)
    for branches in blocks.values():
        spatial = [name for name in branches if _kernels(spec.with_widths({name: 0})) < kernels]
        if spatial:
            yield branches, spatial


def _kernels(spec: GeneratorSpec) -> int:
    """How many layers look at a pixel's neighbours."""
    return sum(layer.kernel > 1 for layer in generators.layers(spec))
