"""UGC's evolutionary search (stage 2): which sub-network of a supernet gives the best pictures within a budget.

It knows costs and a quality as numbers alone; who judges the candidates, and where, is the caller's. UGC does not print
its settings; they are those of GAN Compression (Li et al. 2020) where these fit 500 evaluations: a child has each gene
of one of two parents, or is a parent whose genes are drawn anew with a probability; the best stay. A child above the
budget is repaired there, not drawn again: its widths and depths go down step by step in a random order.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from pocketgan.errors import BudgetError
from pocketgan.training.generators import GeneratorSpec
from pocketgan.training.supernet_space import Configuration, Space

# Draws for every wanted child, after which what is left of a region counts as known.
_TRIES = 20
# Networks that are compared at most to find the fastest, and the generations that may bring none faster: each takes a
# millisecond to predict.
_PREDICTIONS, _PREDICTIONS_PATIENCE = 3000, 15
# Share of the budget that is spent where time is limited, too: a small network is always fast.
_SPENT = 0.9

# Of several candidates at once, in their order: lower is better.
Judge = Callable[[Sequence[Configuration]], Sequence[float]]


@dataclass(frozen=True)
class EvolutionOptions:
    """How a search goes on.

    Attributes:
        population: candidates of a generation, 2 at least.
        mutation: probability of each gene of a mutated child to be drawn anew.
        crossover: share of the children that have two parents; the others are mutated.
        elites: share of a generation that stays, and has the children; one at least, and all but one at most.
        patience: generations without a better candidate, after which the search ends.
        seed: of everything that is drawn.
    """

    population: int = 50
    mutation: float = 0.2
    crossover: float = 0.5
    elites: float = 0.25
    patience: int = 5
    seed: int = 0


@dataclass(frozen=True)
class Limit:
    """The most milliseconds that a candidate may take, and the least that it must cost, whatever the budget counts.

    Attributes:
        latency: milliseconds of a spec.
        ms: the most.
        least: cost.
        fastest: the network whose time for what it costs set them.
    """

    latency: Callable[[GeneratorSpec], float]
    ms: float
    least: float
    fastest: Configuration


class Region:
    """The sub-networks of a space that a search may give.

    Args:
        spent: cost of a spec.
        budget: the most that one may cost.
        depth: extra blocks behind every layer; searched where None.
        filled: whether every candidate is made as large as the budget allows.
        limit: on its time, beside the budget; the smallest is in the region however slow.
    """

    def __init__(
        self,
        space: Space,
        spent: Callable[[GeneratorSpec], float],
        budget: float,
        depth: int | None = None,
        filled: bool = False,
        limit: Limit | None = None,
    ) -> None:
        self.space, self.budget, self.depth, self.filled, self.limit = space, budget, depth, filled, limit
        self.spent = spent
        self._known: dict[object, float] = {}

    def cost(self, one: Configuration) -> float:
        """Of a candidate; computed once."""
        key = genes(one)
        if key not in self._known:
            self._known[key] = self.spent(self.space.spec(one))
        return self._known[key]

    def holds(self, one: Configuration) -> bool:
        """Whether it keeps the budget and the limit."""
        return self.cost(one) <= self.budget and (
            self.limit is None or self.limit.latency(self.space.spec(one)) <= self.limit.ms
        )

    def takes(self, one: Configuration) -> bool:
        """Whether a candidate that fits is one to judge: where time is limited it spends most of the budget."""
        return self.limit is None or self.cost(one) >= self.limit.least

    @property
    def costs(self) -> int:
        """How many costs were computed."""
        return len(self._known)

    @cached_property
    def smallest(self) -> Configuration:
        return self._all(self.space.widths[0], self.space.depths[0])

    @cached_property
    def largest(self) -> Configuration:
        return self._all(self.space.widths[-1], self.space.depths[-1])

    def check(self, unit: str = "") -> None:
        """Raises BudgetError where the budget is not between the costs of the smallest and the largest sub-network.

        Args:
            unit: of the costs, for the message.
        """
        least, most = self.cost(self.smallest), self.cost(self.largest)
        if not least <= self.budget < most:
            why = "cannot be reached" if self.budget < least else "is not below the largest: there is nothing to search"
            raise BudgetError(
                f"the budget {_short(self.budget)}{unit} {why}; the sub-networks of {self.space} cost "
                f"{_short(least)}{unit} (the smallest) to {_short(most)}{unit} (the largest that is searched)"
            )

    def even(self) -> Configuration:
        """The network without a search: one share for all widths, no more blocks than must be, then the first layers a
        step wider while the budget allows."""
        one = self.smallest
        for share in self.space.widths[1:]:
            wider = self._all(share, self.space.depths[0])
            if self.holds(wider):
                one = wider
        for name in one.widths:
            wider = self._stepped(one, [("widths", name)], 1)
            if wider != one and self.holds(wider):
                one = wider
        return self.space.canonical(one)

    def random(self, rng: np.random.Generator) -> Configuration:
        """One within the budget."""
        return self.fitted(self.space.random(rng), rng)

    def fitted(self, one: Configuration, rng: np.random.Generator) -> Configuration:
        """The candidate within the budget, and in a region that is filled as large as that: steps in a random order."""
        if self.depth is not None:
            one = replace(one, depths=dict.fromkeys(one.depths, self.depth))
        one = self._down(self.space.canonical(one), rng)
        return self.space.canonical(self._up(one, rng) if self.filled else one)

    def _down(self, one: Configuration, rng: np.random.Generator) -> Configuration:
        if self.holds(one):
            return one
        steps = self._steps(one, self.smallest, rng)
        # `over` steps are known to be too few, `within` enough, also where the cost is not monotone.
        over, within = 0, len(steps)
        while within - over > 1:
            middle = (over + within) // 2
            if self.holds(self._stepped(one, steps[:middle], -1)):
                within = middle
            else:
                over = middle
        return self._stepped(one, steps[:within], -1)

    def _up(self, one: Configuration, rng: np.random.Generator) -> Configuration:
        for gene in self._steps(one, self.largest, rng):
            larger = self._stepped(one, [gene], 1)
            if self.holds(larger):
                one = larger
        return one

    def _steps(self, one: Configuration, towards: Configuration, rng: np.random.Generator) -> list[tuple[str, str]]:
        """Each gene as often as it must be stepped to get there, in a random order."""
        steps = []
        for kind in ("widths", "depths"):
            choices = self._choices(kind)
            for name, value in getattr(one, kind).items():
                count = abs(choices.index(value) - choices.index(getattr(towards, kind)[name]))
                steps += [(kind, name)] * count
        return [steps[index] for index in rng.permutation(len(steps))]

    def _stepped(self, one: Configuration, steps: Iterable[tuple[str, str]], by: int) -> Configuration:
        """Genes a step up or down for each time that they are named; at the end of their range they stay."""
        values = {"widths": dict(one.widths), "depths": dict(one.depths)}
        for kind, name in steps:
            choices = self._choices(kind)
            index = choices.index(values[kind][name]) + by
            values[kind][name] = choices[min(max(index, 0), len(choices) - 1)]
        return self.space.canonical(replace(one, widths=values["widths"], depths=values["depths"]))

    def _choices(self, kind: str) -> tuple[int, ...]:
        if kind == "widths":
            return self.space.widths
        return self.space.depths if self.depth is None else (self.depth,)

    def _all(self, width: int, depth: int) -> Configuration:
        space = self.space
        depth = depth if self.depth is None else self.depth
        return space.canonical(
            Configuration(space.digest, dict.fromkeys(space.full_widths, width), dict.fromkeys(space.places, depth))
        )


@dataclass(frozen=True)
class Candidate:
    """A sub-network that was judged: lower is better."""

    configuration: Configuration
    cost: float
    judged: float


@dataclass(frozen=True)
class Evolved:
    """What a search found.

    Attributes:
        ranked: all candidates that were judged, the best first; none costs more than the budget.
        generations: by generation, what the best so far was judged.
        evaluations: how many candidates were judged.
    """

    ranked: tuple[Candidate, ...]
    generations: tuple[float, ...]
    evaluations: int

    @property
    def best(self) -> Candidate:
        return self.ranked[0]


def limit(region: Region, latency: Callable[[GeneratorSpec], float], seed: int = 0) -> Limit:
    """The time in which a runtime spends the region's budget at the best rate that one of its networks reaches.

    Args:
        region: of a budget that counts no time, and without a limit.
        latency: milliseconds of a spec, as `latency.prediction` gives them.
    """

    def rate(one: Configuration) -> float:
        return latency(region.space.spec(one)) / region.cost(one)

    options = EvolutionOptions(patience=_PREDICTIONS_PATIENCE, seed=seed)
    best = evolve(region, lambda them: [rate(one) for one in them], _PREDICTIONS, options, "fastest").best
    return Limit(
        latency, best.judged * region.budget, min(_SPENT * region.budget, best.cost), fastest=best.configuration
    )


def evolve(
    region: Region, judge: Judge, evaluations: int, options: EvolutionOptions | None = None, name: str = ""
) -> Evolved:
    """Search a region: the same outcome for the same arguments, if `judge` gives the same.

    The first generation is the network without a search, the fastest where time is limited, and random ones; none that
    the region does not take. The search ends when `evaluations` are spent, when `patience` generations brought nothing
    better, or when nothing new can be drawn.

    Args:
        judge: of the new candidates of a generation together; it is asked once for each sub-network.
        evaluations: the most, 1 at least.
        name: of the search, which draws other numbers than those of other names.
    """
    options = options or EvolutionOptions()
    rng = np.random.default_rng([options.seed, zlib.crc32(name.encode())])
    known: dict[object, Candidate] = {}
    history: list[float] = []
    stale = 0
    parents: list[Candidate] = []
    # At least one parent and one child: where all stayed, nothing new would ever be judged.
    count = min(max(1, round(options.elites * options.population)), options.population - 1)
    while len(known) < evaluations and stale < options.patience:
        wanted = min(options.population - len(parents), evaluations - len(known))
        if parents:
            fresh = _distinct(wanted, known, partial(_child, region, parents, options, rng), region)
        else:
            sure = [region.even(), *([region.limit.fastest] if region.limit else [])]
            first = {genes(one): one for one in sure if region.takes(one)}
            others = _distinct(wanted - len(first), first, lambda: region.random(rng), region)
            fresh = [*first.values(), *others][:wanted]
        if not fresh:
            break
        values = judge(fresh)
        for one, value in zip(fresh, values, strict=True):
            known[genes(one)] = Candidate(one, region.cost(one), float(value))
        best = min(known.values(), key=_rank).judged
        stale = stale + 1 if history and best >= history[-1] else 0
        history.append(best)
        parents = sorted([*parents, *(known[genes(one)] for one in fresh)], key=_rank)[:count]
    return Evolved(tuple(sorted(known.values(), key=_rank)), tuple(history), len(known))


def genes(one: Configuration) -> object:
    """What tells two configurations of a space apart."""
    return tuple(one.widths.values()), tuple(one.depths.values())


def _rank(one: Candidate) -> tuple[float, float, object]:
    """The better judged first, then the cheaper."""
    return one.judged, one.cost, genes(one.configuration)


def _child(
    region: Region, parents: Sequence[Candidate], options: EvolutionOptions, rng: np.random.Generator
) -> Configuration:
    def parent() -> Configuration:
        return parents[int(rng.integers(len(parents)))].configuration

    if rng.random() < options.crossover:
        child = region.space.crossed(parent(), parent(), rng)
    else:
        child = region.space.mutated(parent(), rng, options.mutation)
    return region.fitted(child, rng)


def _distinct(
    count: int, known: Mapping[object, object], draw: Callable[[], Configuration], region: Region
) -> list[Configuration]:
    """As many new ones that the region takes as can be drawn in a fair number of tries."""
    found: dict[object, Configuration] = {}
    for _ in range(_TRIES * max(count, 0)):
        one = draw()
        if genes(one) not in known and region.takes(one):
            found.setdefault(genes(one), one)
        if len(found) == count:
            break
    return [*found.values()]


def _short(value: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("K", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.4g}{unit}"
    return f"{value:.4g}"
