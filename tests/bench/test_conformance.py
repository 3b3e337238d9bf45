"""The vectors that every language's harness runs, run by Python's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pocketgan.bench.runners.protocol import WarmupPlan
from pocketgan.bench.runners.timing import frames_of_rounds, turns, until_warm

FOLDER = Path(__file__).resolve().parents[2] / "bench" / "schema" / "conformance"


def cases(name: str) -> list[dict[str, Any]]:
    return list(json.loads((FOLDER / f"{name}.json").read_text("utf-8"))["cases"])


class ScriptedClock:
    """Moved by the frames of a script alone; the last frame goes on."""

    def __init__(self, frames_ns: list[int]) -> None:
        self._frames_ns = frames_ns
        self._number = 0
        self.now_ns = 1_000

    def frame(self) -> int:
        time_ns = self._frames_ns[min(self._number, len(self._frames_ns) - 1)]
        self._number += 1
        self.now_ns += time_ns
        return time_ns


@pytest.mark.parametrize("case", cases("warmup"), ids=lambda case: case["name"])
def test_warm_up_ends_where_the_vector_says(case: dict[str, Any]) -> None:
    clock = ScriptedClock(case["frames_ns"])
    warmed = until_warm(WarmupPlan(**case["warmup"]), clock.frame, lambda: clock.now_ns)
    assert warmed == (case["iterations"], case["duration_ns"], case["steady"])


def test_models_take_turns_in_the_order_of_the_vectors() -> None:
    for case in cases("turns"):
        assert turns(case["models"], case["rounds"]) == case["turns"], case


def test_the_turns_of_the_vectors_are_fair() -> None:
    """Over two rounds for each model, each stands equally often at each place."""
    for case in cases("turns"):
        models, orders = case["models"], case["turns"]
        assert [sorted(order) for order in orders] == [list(range(models))] * case["rounds"]
        if len(orders) == 2 * models:
            for place in range(models):
                assert sorted(order[place] for order in orders) == sorted([*range(models)] * 2)


def test_iterations_are_split_into_rounds_as_the_vectors_say() -> None:
    for case in cases("rounds"):
        assert frames_of_rounds(case["iterations"], case["rounds"]) == case["frames"], case
