"""Which ranks the five parts deserve: each is doubled or halved, and kept where pictures get better for their price.

E2GAN finds its ranks so (section 3.3); what is tried at once and what is kept is not printed. Here, in every round,
each part alone is doubled and halved within the budget, and the next round starts from the best of these neighbours.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pocketgan.errors import BudgetError, ModelError
from pocketgan.files import write_atomic
from pocketgan.training.adapter import MOST_RANK, PARTS, Ranks

_VERSION = 1


@dataclass(frozen=True)
class RankSearch:
    """What a search found.

    Attributes:
        ranks: the best that it came to.
        judge: of these; lower is better.
        parameters: that these train.
        path: the ranks that rounds started from, the first being the given ones and the last `ranks`.
        evaluations: what every evaluated ranks were judged, in the order of evaluation.
    """

    ranks: Ranks
    judge: float
    parameters: int
    path: tuple[Ranks, ...]
    evaluations: dict[Ranks, float]


def search_ranks(
    start: Ranks,
    parameters: Callable[[Ranks], int],
    budget: int,
    evaluate: Callable[[Ranks], float],
    state: Path | None = None,
    identity: str = "",
) -> RankSearch:
    """Double or halve ranks until no neighbour within the budget is better.

    A neighbour is better where its judge is lower, or equal at fewer parameters. Of several, one with no more
    parameters than before goes first, the lowest judge of these; else the one whose judge falls most for each added
    parameter; of equal ones the first part, doubled before halved. In every round the judge falls, or the parameters do
    at an equal judge, so that a search ends.

    Args:
        parameters: that ranks train (`adapter.trained_parameters`).
        budget: the most of them.
        evaluate: trains briefly and judges on images kept for choosing, such as LPIPS; lower is better. It is asked
            once for the same ranks, and never for ranks above the budget.
        state: file in which every evaluation is kept as soon as it is done; a search that was killed goes on from it.
        identity: of what `evaluate` depends on (base, data, steps): a file of another search is refused.
    Raises:
        BudgetError: the given ranks are above the budget.
        ModelError: a judge is not a finite number, or the state is damaged or another search's.
        StorageError: the state cannot be written.
    """
    if parameters(start) > budget:
        raise BudgetError(
            f"the ranks that the search starts from train {parameters(start):,} parameters, above the budget of "
            f"{budget:,}; start from smaller ones, or raise the budget"
        )
    judged = {} if state is None else _read(state, identity)
    evaluations: dict[Ranks, float] = {}

    def judge(ranks: Ranks) -> float:
        if ranks not in judged:
            judged[ranks] = value = float(evaluate(ranks))
            if not math.isfinite(value):
                raise ModelError(f"the judge of the ranks {ranks} is {value}, no finite number")
            if state is not None:
                _write(state, identity, judged)
        return evaluations.setdefault(ranks, judged[ranks])

    path = [start]
    while True:
        here, price = judge(path[-1]), parameters(path[-1])
        better = []
        for ranks in _neighbours(path[-1]):
            added = parameters(ranks) - price
            if price + added <= budget:
                fall = here - judge(ranks)
                if fall > 0 or (fall == 0 and added < 0):
                    better.append(((added <= 0, fall if added <= 0 else fall / added), ranks))
        if not better:
            return RankSearch(path[-1], here, price, tuple(path), evaluations)
        path.append(max(better, key=lambda entry: entry[0])[1])


def _neighbours(ranks: Ranks) -> Iterator[Ranks]:
    for part in PARTS:
        rank = getattr(ranks, part)
        if 2 * rank <= MOST_RANK:
            yield replace(ranks, **{part: 2 * rank})
        if rank > 1:
            yield replace(ranks, **{part: rank // 2})


def _write(state: Path, identity: str, judged: dict[Ranks, float]) -> None:
    rows = [{"ranks": ranks.to_json(), "judge": value} for ranks, value in judged.items()]
    whole = {"version": _VERSION, "identity": identity, "evaluations": rows}
    write_atomic(state, json.dumps(whole, indent=1), keeps="the evaluations before it are intact")


def _read(state: Path, identity: str) -> dict[Ranks, float]:
    if not state.exists():
        return {}
    try:
        whole: Any = json.loads(state.read_text())
        version, told = whole["version"], whole["identity"]
        judged = {Ranks.from_json(row["ranks"]): float(row["judge"]) for row in whole["evaluations"]}
        if version != _VERSION or not all(map(math.isfinite, judged.values())):
            raise ValueError(f"version {version!r}")
    except (OSError, ValueError, TypeError, KeyError, ModelError) as error:
        raise ModelError(f"{state} is no state of a rank search ({error}); remove it to start again") from error
    if told != identity:
        raise ModelError(
            f"{state} is of another rank search ({told!r}, not {identity!r}); remove it or name another file"
        )
    return judged
