"""The evolution: what it may give, what it asks, and that it finds what is there to find. The judges here are sums."""

import time
from dataclasses import replace

import numpy as np
import pytest

from pocketgan.errors import BudgetError
from pocketgan.training.cost import cost_function
from pocketgan.training.evolve import EvolutionOptions, Region, evolve, limit
from pocketgan.training.generators import spec_by_name
from pocketgan.training.supernet_space import Space

SPACE = Space(spec_by_name("resnet6", ngf=8, norm="batch", height=32, width=32), widths=(2, 4, 6, 8), inserted=3)
MACS = cost_function("macs")


def region(budget=4e6, **more):
    return Region(SPACE, MACS, budget, **more)


def narrow_is_good(them):
    return [sum(one.widths.values()) for one in them]


def wide_is_good(them):
    return [-value for value in narrow_is_good(them)]


def macs(one):
    return MACS(SPACE.spec(one))


def milliseconds_in_blocks_of_four(spec):
    """Of a runtime that takes as long for 5 channels as for 8, and a while for every layer."""
    rounded = {name: -(-width // 4) * 4 for name, width in spec.widths.items()}
    return MACS(replace(spec, widths=rounded)) / 1e6 + 0.05 * len(spec.widths)


def test_a_limit_on_time_leaves_what_spends_its_budget_as_fast_as_the_runtime_can():
    limited = region()
    found = limited.limit = limit(limited, milliseconds_in_blocks_of_four)
    rng = np.random.default_rng(0)
    others = [region(filled=True).random(rng) for _ in range(200)]
    rate = found.ms / 4e6
    assert rate < min(milliseconds_in_blocks_of_four(SPACE.spec(one)) / macs(one) for one in others)
    assert rate == pytest.approx(milliseconds_in_blocks_of_four(SPACE.spec(found.fastest)) / macs(found.fastest))

    judged = []

    def judge(them):
        judged.extend(them)
        return wide_is_good(them)

    evolve(limited, judge, 60, EvolutionOptions(population=15))
    assert len(judged) == 60
    assert max(milliseconds_in_blocks_of_four(SPACE.spec(one)) for one in judged) <= found.ms
    assert max(map(macs, judged)) <= 4e6
    assert min(map(macs, judged)) >= 0.9 * 4e6
    assert found.fastest in judged


@pytest.mark.parametrize("budget", [1.2e6, 2e6, 5e6, 2e7])
@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_that_costs_more_than_the_budget_is_judged_or_given(budget, seed):
    judged = []

    def judge(them):
        judged.extend(them)
        return wide_is_good(them)

    found = evolve(region(budget), judge, 60, EvolutionOptions(population=15, seed=seed))
    assert max(map(macs, judged)) <= budget
    assert found.best.cost == macs(found.best.configuration) <= budget


def test_the_same_seed_gives_the_same_search_and_another_one_another():
    def search(seed, name=""):
        found = evolve(region(), wide_is_good, 60, EvolutionOptions(population=15, seed=seed), name)
        return [one.configuration for one in found.ranked]

    assert search(1) == search(1)
    assert search(1) != search(2)
    assert search(1) != search(1, "wide")


def test_no_network_is_judged_twice_and_no_more_than_may_be():
    judged = []

    def judge(them):
        judged.extend(SPACE.spec(one).digest for one in them)
        return wide_is_good(them)

    found = evolve(region(), judge, 47, EvolutionOptions(population=10, patience=100))
    assert len(judged) == len(set(judged)) == found.evaluations == 47


def test_a_search_in_which_nothing_gets_better_ends():
    rounds = []

    def judge(them):
        rounds.append(len(them))
        return [1.0] * len(them)

    found = evolve(region(), judge, 500, EvolutionOptions(population=10, elites=0.2, patience=3))
    assert rounds == [10, 8, 8, 8]
    assert found.generations == (1.0, 1.0, 1.0, 1.0)


def test_children_of_two_parents_have_genes_of_the_best_alone():
    rounds = []

    def judge(them):
        rounds.append(them)
        return narrow_is_good(them)

    evolve(region(1e9), judge, 24, EvolutionOptions(population=12, elites=0.25, crossover=1.0))
    elites = sorted(rounds[0], key=lambda one: (*narrow_is_good([one]), macs(one)))[:3]
    for child in rounds[1]:
        for name in SPACE.base.widths:
            assert child.widths[name] in {one.widths[name] for one in elites}
        for place, depth in child.depths.items():
            assert depth in {one.depths[place] for one in elites}


def test_however_many_stay_there_is_a_child():
    rounds = []

    def judge(them):
        rounds.append(len(them))
        return wide_is_good(them)

    evolve(region(), judge, 8, EvolutionOptions(population=5, elites=1.0))
    assert rounds == [5, 1, 1, 1]


def test_of_equally_good_networks_the_cheapest_is_given():
    found = evolve(region(), lambda them: [1.0] * len(them), 30, EvolutionOptions(population=30))
    assert found.best.cost == min(one.cost for one in found.ranked)


def test_it_finds_what_a_random_draw_does_not():
    """Good is: one layer at full width, all others narrow; one random network in 8 million is that."""

    def judge(them):
        return [sum(one.widths.values()) - 3 * one.widths["down2"] + sum(one.depths.values()) for one in them]

    options = EvolutionOptions(population=40, patience=20)
    found = evolve(region(1e8), judge, 500, options)
    drawn = min(judge([region(1e8).random(np.random.default_rng(seed)) for seed in range(500)]))
    best = judge([SPACE.smallest])[0] - 2 * 6
    assert found.best.judged < drawn - 10
    assert found.best.judged <= best + 10
    assert found.best.configuration.widths["down2"] == 8


def test_an_even_network_has_one_share_then_the_first_layers_a_step_wider():
    even = region(2.5e6).even()
    assert set(even.depths.values()) == {0}
    plain = [even.widths[name] for name in SPACE.base.widths]
    assert len(set(plain)) <= 2
    assert max(plain) - min(plain) in (0, 2)
    assert macs(even) <= 2.5e6
    wider = region(1e9).even()
    assert {wider.widths[name] for name in SPACE.base.widths} == {8}


@pytest.mark.parametrize("depth", [0, 2])
def test_teachers_have_their_depth_and_fill_their_budget(depth):
    budget = 8e6
    drawn = region(budget, depth=depth, filled=True).random(np.random.default_rng(3))
    assert set(drawn.depths.values()) == {depth}
    assert 0.9 * budget < macs(drawn) <= budget


def test_blocks_that_are_not_there_make_no_other_network():
    one = region(1e9, depth=0).random(np.random.default_rng(0))
    assert one == SPACE.canonical(one) == SPACE.configuration(SPACE.spec(one))


@pytest.mark.parametrize(("budget", "why"), [(1e5, "cannot be reached"), (1e9, "is not below the largest")])
def test_a_budget_outside_the_space_is_told_with_the_smallest_and_the_largest(budget, why):
    deepest = SPACE.spec(region(depth=2).largest)
    least, most = MACS(SPACE.spec(SPACE.smallest)) / 1e6, MACS(deepest) / 1e6
    with pytest.raises(BudgetError, match=why) as error:
        region(budget).check()
    assert f"cost {least:.4g}M (the smallest) to {most:.4g}M (the largest that is searched)" in str(error.value)
    region(4e6).check()


@pytest.mark.parametrize("generator", ["unet256", "gaugan"])
def test_a_second_is_enough_for_a_hundred_costs(generator):
    space = Space(spec_by_name(generator))
    of = Region(space, cost_function("macs_by_output"), 1e18)
    rng = np.random.default_rng(0)
    drawn = [space.random(rng) for _ in range(100)]
    started = time.perf_counter()
    for one in drawn:
        of.cost(one)
    assert of.costs == 100
    assert time.perf_counter() - started < 1
