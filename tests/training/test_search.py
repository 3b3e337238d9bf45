"""One-step search: never over budget, always ends, deterministic."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketgan.errors import BudgetError, ModelError
from pocketgan.training.cost import cost, cost_function
from pocketgan.training.generators import NAMES, build, narrowed, prunable, scales, spec_by_name, units, vanishing
from pocketgan.training.search import Ranking, search

TEACHER = spec_by_name("incres9", ngf=24, height=64, width=64)
MODULE = build(TEACHER)
FAMILIES = {}


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0.2, 0.99), by=st.sampled_from(["macs", "macs_by_output", "params"]))
def test_search_never_exceeds_its_budget_and_lands_close_below(share, by):
    count = cost_function(by)
    budget = count(TEACHER) * share
    found = search(MODULE, TEACHER, count, budget, least_width=8)
    assert found.cost == count(found.spec) <= budget
    assert found.cost > 0.94 * budget


@settings(max_examples=12, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("name", NAMES)
def test_every_family_is_searched_within_any_budget_that_can_be_reached(name, data):
    spec = spec_by_name(name, ngf=8, norm="batch")
    count = cost_function(data.draw(st.sampled_from(["macs", "macs_by_output", "params"])))
    seed, least_width = data.draw(st.integers(0, 2**32 - 1)), data.draw(st.integers(1, 12))
    gone, unit = set(vanishing(spec)), units(spec)
    least = {n: 0 if n in gone else min(least_width * unit.get(n, 1), spec.widths[n]) for n in prunable(spec)}
    narrowest = narrowed(spec, least).widths
    smallest, whole = count(spec.with_widths(narrowest)), count(spec)
    budget = smallest + (whole - 1 - smallest) * data.draw(st.floats(0, 1))
    module = FAMILIES.setdefault(name, build(spec))
    random = np.random.default_rng(seed)
    with torch.no_grad():
        for scale in scales(module, spec).values():
            scale.copy_(torch.from_numpy(random.exponential(random.uniform(0.1, 2), len(scale))))
    found = search(module, spec, count, budget, least_width)
    assert found.cost == count(found.spec) <= budget
    for n, width in found.spec.widths.items():
        assert narrowest[n] <= width <= spec.widths[n]
    # One more channel of some layer would exceed the budget: what is left over is less than the dearest channel.
    dearest = max(
        count(narrowed(found.spec, {n: width + unit.get(n, 1)})) - found.cost
        for n, width in found.spec.widths.items()
        if n in least and width < spec.widths[n]
    )
    assert found.cost + dearest > budget


@pytest.mark.parametrize(
    ("name", "budget"),
    [
        ("incres-spade", 5.52e9),  # CAT's two students, its table 1
        ("incres-spade", 29.9e9),
        ("gaugan", 30e9),
        ("unet256", 1.2e9),
        ("mobile-resnet9", 4e9),
    ],
)
def test_paper_sized_networks_land_within_3_percent_below_their_budget(name, budget):
    spec = spec_by_name(name, norm="batch")
    found = search(build(spec), spec, cost_function("macs_by_output"), budget)
    assert 0.97 * budget < found.cost <= budget


@pytest.mark.parametrize("budget", [5.52e9, 29.9e9])
def test_the_stream_of_incres_spade_halves_at_every_later_stage(budget):
    spec = spec_by_name("incres-spade")
    found = search(build(spec), spec, cost_function("macs_by_output"), budget).spec.widths
    assert found["fc"] % 16 == 0
    assert [found[f"up{i}"] for i in range(4)] == [found["fc"] // 2 ** (i + 1) for i in range(4)]
    assert found["up3"] >= 16  # the least width
    assert sum(width == 0 for width in found.values()) <= 2  # of 84 branches


def test_the_papers_budget_is_met():
    spec = spec_by_name("incres9")
    found = search(build(spec), spec, cost_function("macs_by_output"), 2.6e9)
    total = cost(found.spec)
    assert 2.55e9 < total.macs_by_output <= 2.6e9  # reference: 2.584 G by output, 2.18 G true, 0.44 M parameters
    assert total.macs == pytest.approx(2.2e9, rel=0.05)
    assert total.params == pytest.approx(0.44e6, rel=0.1)
    assert found.evaluations < 20


def test_the_largest_scales_survive_and_equal_ones_go_by_layer_then_channel():
    ranking = Ranking({"a": np.array([3.0, 1.0]), "b": np.array([1.0, 2.0, 0.5])}, least={})
    assert [ranking.widths(k) for k in range(6)] == [
        {"a": 2, "b": 3},
        {"a": 2, "b": 2},
        {"a": 1, "b": 2},
        {"a": 1, "b": 1},
        {"a": 1, "b": 0},
        {"a": 0, "b": 0},
    ]


def test_layers_outside_the_blocks_keep_their_least_width():
    module = build(TEACHER)
    with torch.no_grad():
        for name, scale in scales(module, TEACHER).items():
            scale.fill_(1e-3 if name in ("stem", "up2") else 1.0)
    found = search(module, TEACHER, cost_function("macs"), cost(TEACHER).macs * 0.5, least_width=12)
    assert found.spec.widths["stem"] == found.spec.widths["up2"] == 12


def test_a_step_shaped_cost_still_ends_within_budget():
    def stairs(spec):
        return sum(spec.widths.values()) // 500 * 500

    assert search(MODULE, TEACHER, stairs, 600, least_width=4).cost <= 600


@pytest.mark.parametrize(
    ("share", "message"), [(1.0, "not below the teacher"), (2.0, "not below"), (0.001, "smallest cost is")]
)
def test_budgets_out_of_reach_say_what_can_be_reached(share, message):
    with pytest.raises(BudgetError, match=message):
        search(MODULE, TEACHER, cost_function("macs"), cost(TEACHER).macs * share)


def test_networks_without_scales_and_with_broken_ones_are_refused():
    plain = spec_by_name("resnet9", ngf=4, height=32, width=32)
    with pytest.raises(ModelError, match="no scales"):
        search(build(plain), plain, cost_function("macs"), 1)
    with pytest.raises(BudgetError, match="not a finite number"):
        Ranking({"a": np.array([1.0, np.nan])}, {})
