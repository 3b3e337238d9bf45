"""Rank search: never above its budget, nothing asked twice, the same from any kill."""

import json

import pytest

from pocketgan.errors import BudgetError, ModelError
from pocketgan.training.adapter import Ranks
from pocketgan.training.rank_search import search_ranks

# Parameters of each part for each rank: easy to reckon with.
PRICE = {"downsample": 1, "ds": 2, "tb": 3, "us": 4, "upsample": 5}


def parameters(ranks):
    return sum(PRICE[part] * rank for part, rank in ranks.to_json().items())


class Scripted:
    """A judge that knows the best ranks, and remembers what it was asked."""

    def __init__(self, best, weights=(1, 1, 1, 1, 1)):
        self.best, self.weights, self.asked = best, weights, []

    def __call__(self, ranks):
        self.asked.append(ranks)
        pairs = zip(ranks.to_json().values(), self.best.to_json().values(), self.weights, strict=True)
        return float(sum(weight * abs(a.bit_length() - b.bit_length()) for a, b, weight in pairs))


START = Ranks(1, 4, 1, 8, 8)  # 1 + 8 + 3 + 32 + 40 = 84 parameters


def test_a_search_comes_to_the_best_ranks_that_its_budget_allows():
    found = search_ranks(START, parameters, 1000, Scripted(Ranks(4, 1, 2, 16, 8)))
    assert found.ranks == Ranks(4, 1, 2, 16, 8)
    assert found.judge == 0
    assert found.parameters == 4 + 2 + 6 + 64 + 40
    assert (found.path[0], found.path[-1]) == (START, found.ranks)


@pytest.mark.parametrize("budget", [84, 85, 90, 120])
def test_a_search_never_evaluates_above_its_budget(budget):
    judge = Scripted(Ranks(64, 64, 64, 64, 64))
    found = search_ranks(START, parameters, budget, judge)
    assert max(map(parameters, judge.asked)) <= budget
    assert found.parameters <= budget


def test_nothing_is_evaluated_twice():
    judge = Scripted(Ranks(4, 16, 4, 2, 32))
    found = search_ranks(START, parameters, 1000, judge)
    assert len(judge.asked) == len(set(judge.asked)) == len(found.evaluations)


def test_of_two_that_lower_the_judge_the_one_that_costs_less_for_it_goes_first():
    # Doubling us (32 more) lowers the judge by 2, doubling downsample (1 more) by 1: a 16th of one against 1.
    found = search_ranks(START, parameters, 1000, Scripted(Ranks(2, 4, 1, 16, 8), weights=(1, 1, 1, 2, 1)))
    assert found.path == (START, Ranks(2, 4, 1, 8, 8), Ranks(2, 4, 1, 16, 8))


def test_what_lowers_the_judge_with_fewer_parameters_goes_before_what_needs_more():
    found = search_ranks(START, parameters, 1000, Scripted(Ranks(2, 4, 1, 4, 8), weights=(9, 1, 1, 1, 1)))
    assert found.path == (START, Ranks(1, 4, 1, 4, 8), Ranks(2, 4, 1, 4, 8))


def test_parameters_that_change_nothing_are_given_up():
    found = search_ranks(START, parameters, 1000, lambda ranks: 1.0)
    assert found.ranks == Ranks(1, 1, 1, 1, 1)


def test_ranks_stay_where_no_neighbour_is_better():
    found = search_ranks(START, parameters, 1000, Scripted(START))
    assert found.path == (START,)


def test_a_search_is_the_same_every_time():
    one, other = (Scripted(Ranks(8, 8, 8, 8, 8)) for _ in range(2))
    assert search_ranks(START, parameters, 150, one) == search_ranks(START, parameters, 150, other)
    assert one.asked == other.asked


class KilledError(Exception):
    pass


@pytest.mark.parametrize("after", [0, 1, 7, 15])
def test_a_killed_search_goes_on_without_asking_again(tmp_path, after):
    state, best = tmp_path / "state.json", Ranks(4, 1, 2, 16, 8)
    whole, first, second = (Scripted(best) for _ in range(3))

    def killed(ranks):
        if len(first.asked) == after:
            raise KilledError
        return first(ranks)

    expected = search_ranks(START, parameters, 1000, whole)
    with pytest.raises(KilledError):
        search_ranks(START, parameters, 1000, killed, state)
    found = search_ranks(START, parameters, 1000, second, state)
    assert found == expected
    assert first.asked + second.asked == whole.asked


def test_ranks_above_the_budget_are_no_start():
    with pytest.raises(BudgetError, match="train 84 parameters, above the budget of 83"):
        search_ranks(START, parameters, 83, Scripted(START))


def test_a_judge_that_is_no_number_is_refused_and_not_kept(tmp_path):
    state = tmp_path / "state.json"
    with pytest.raises(ModelError, match="the judge of the ranks 1,4,1,8,8 is nan"):
        search_ranks(START, parameters, 1000, lambda ranks: float("nan"), state)
    assert not state.exists()


def test_the_state_of_another_search_is_refused(tmp_path):
    state = tmp_path / "state.json"
    search_ranks(START, parameters, 1000, Scripted(START), state, identity="base 1, 400 steps")
    with pytest.raises(ModelError, match=r"of another rank search \('base 1, 400 steps', not 'base 1, 500 steps'\)"):
        search_ranks(START, parameters, 1000, Scripted(START), state, identity="base 1, 500 steps")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1, "identity": "", "evaluations": [{"ranks": {}}]}'])
def test_a_damaged_state_is_told_in_one_line(tmp_path, text):
    state = tmp_path / "state.json"
    state.write_text(text)
    with pytest.raises(ModelError, match="is no state of a rank search"):
        search_ranks(START, parameters, 1000, Scripted(START), state)


def test_a_state_of_a_later_version_is_refused(tmp_path):
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"version": 2, "identity": "", "evaluations": []}))
    with pytest.raises(ModelError, match="version 2"):
        search_ranks(START, parameters, 1000, Scripted(START), state)
