from __future__ import annotations

import statistics
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketgan.bench.statistics import (
    Interval,
    frame_times,
    frames_needed,
    frames_per_second,
    half_width,
    mean_interval,
    paired_ratio,
    percentile,
    percentile_interval,
    round_interval,
    rounds_needed,
    signed_rank_interval,
    student_t_quantile,
    summarise,
)

times = st.lists(st.floats(1, 1e9, allow_nan=False), min_size=1, max_size=60)


@dataclass
class Timed:
    pre_ns: int
    inference_ns: int
    post_ns: int
    round: int = 0
    end_ns: int | None = None
    display_ns: int | None = None


def autocorrelated(rng: np.random.Generator, count: int, rho: float) -> np.ndarray:
    """AR(1) series of variance 1 / (1 - rho^2)."""
    noise = rng.standard_normal(count)
    series = np.empty(count)
    series[0] = noise[0] / np.sqrt(1 - rho**2)
    for i in range(1, count):
        series[i] = rho * series[i - 1] + noise[i]
    return series


def test_percentile_interpolates_between_neighbours() -> None:
    assert percentile([10, 20, 30, 40], 50) == 25
    assert percentile([10, 20, 30, 40], 100) == 40


def test_percentile_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)


@given(times)
def test_summary_agrees_with_the_standard_library_in_milliseconds(values: list[float]) -> None:
    summary = summarise(values)
    assert summary.median == pytest.approx(statistics.median(values) / 1e6)
    assert summary.mean == pytest.approx(statistics.fmean(values) / 1e6)
    tiny = 1e-9 * summary.maximum
    assert summary.minimum - tiny <= summary.median <= summary.p90 + tiny
    assert summary.p90 <= summary.p99 + tiny <= summary.maximum + 2 * tiny


def test_fps_counts_pre_and_post_and_is_one_over_the_median() -> None:
    frames = [Timed(1_000_000, 8_000_000, 1_000_000)] * 3 + [Timed(0, 900_000_000, 0)]
    assert frames_per_second(frames) == pytest.approx(100)


@given(times)
@settings(deadline=None, max_examples=30)
def test_interval_holds_the_median_and_repeats(values: list[float]) -> None:
    interval = percentile_interval(values)
    assert interval.low <= interval.estimate <= interval.high
    assert interval.estimate == percentile(values, 50)
    assert percentile_interval(values) == interval


@pytest.mark.parametrize("rho", [0.0, 0.6])
@pytest.mark.parametrize(("percent", "truth"), [(50, 0.0), (90, 1.2816)])
def test_interval_covers_the_true_percentile_despite_autocorrelation(rho: float, percent: int, truth: float) -> None:
    hits = 0
    for seed in range(200):
        series = autocorrelated(np.random.default_rng(seed), 200, rho) * np.sqrt(1 - rho**2)
        interval = percentile_interval(list(100 + series), percent)
        hits += interval.low <= 100 + truth <= interval.high
    assert hits >= 180  # 95 % nominal; frames taken as independent would cover about 70 at rho 0.6


def test_a_percentile_at_the_end_has_no_interval() -> None:
    with pytest.raises(ValueError, match="between 0 and 100"):
        percentile_interval([1.0, 2.0], 100)


def test_equal_frames_leave_no_doubt() -> None:
    interval = percentile_interval([7.0] * 100)
    assert (interval.low, interval.high) == (7, 7)


def test_ratio_cancels_a_slow_spell_that_both_share() -> None:
    rng = np.random.default_rng(3)
    spells = [1.0, 2.0, 1.0, 3.0, 1.5, 0.5, 4.0]
    base = [list(10 * spell * rng.normal(1, 0.01, 20)) for spell in spells]
    candidate = [list(12 * spell * rng.normal(1, 0.01, 20)) for spell in spells]
    ratio = paired_ratio(base, candidate)
    assert ratio.low < 1.2 < ratio.high
    assert ratio.high - ratio.low < 0.05


def test_one_spoiled_round_hardly_moves_the_ratio() -> None:
    rng = np.random.default_rng(3)
    base = [[10.0 * one] for one in rng.normal(1, 0.01, 12)]
    candidate = [[11.0 * one] for one in rng.normal(1, 0.01, 12)]
    candidate[4] = [1100.0]
    assert paired_ratio(base, candidate).estimate == pytest.approx(1.1, rel=0.02)


def test_ratio_interval_covers_the_truth() -> None:
    hits = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        rounds = [100 + autocorrelated(rng, 10, 0.8) for _ in range(20)]
        ratio = paired_ratio([list(r) for r in rounds[::2]], [list(1.1 * r) for r in rounds[1::2]])
        hits += ratio.low <= 1.1 <= ratio.high
    assert hits / 300 == pytest.approx(0.95, abs=0.035)


@pytest.mark.parametrize(("confidence", "least"), [(0.95, 6), (0.99, 8)])
def test_too_few_rounds_leave_the_ratio_open(confidence: float, least: int) -> None:
    def found(count: int) -> tuple[float, float]:
        centre = signed_rank_interval([float(number) for number in range(1, count + 1)], confidence)
        return centre.low, centre.high

    assert found(least - 1) == (-np.inf, np.inf)
    assert found(least) == (1, least)
    ratio = paired_ratio([[1.0]] * (least - 1), [[2.0]] * (least - 1), confidence)
    assert (ratio.low, ratio.high) == (0, np.inf)


@pytest.mark.parametrize("count", [20, 60, 61, 100])
def test_interval_agrees_with_wilcoxons_test(count: int) -> None:
    """It holds the centres that the test does not refuse."""
    scipy = pytest.importorskip("scipy.stats")
    logs = np.random.default_rng(count).normal(0.1, 1, count)
    centre = signed_rank_interval(logs.tolist(), 0.95)
    for bound, inside in ((centre.low, 1), (centre.high, -1)):
        here, there = (scipy.wilcoxon(logs - (bound + inside * step)).pvalue for step in (1e-9, -1e-9))
        assert there < 0.051
        assert here > 0.049
        assert here > there


def test_rounds_that_are_alike_widen_the_ratio() -> None:
    """The correlation of neighbours is a half, and a tenth is added for the bias of ten."""
    alternating, alike = [1.0, -1.0] * 5, [1.0, 1.0, -1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0, 1.0]
    deviations = np.array(alike) - 1  # the median is 1: two and two of them are 2 lower
    assert (deviations[1:] * deviations[:-1]).sum() / (deviations**2).sum() == pytest.approx(0.5)
    for logs, wider in ((alternating, 1.0), (alike, np.sqrt(1 + 2 * 0.6))):
        plain, found = signed_rank_interval(logs, 0.95), round_interval(logs, 0.95)
        assert found.estimate == plain.estimate
        assert found.high - found.low == pytest.approx(wider * (plain.high - plain.low))


def test_more_noise_or_a_nearer_bound_needs_more_rounds() -> None:
    wide, narrow = Interval(1.05, 1.03, 1.07, 0.99), Interval(1.05, 1.035, 1.065, 0.99)
    assert rounds_needed(narrow, 20, 1.03) < rounds_needed(wide, 20, 1.03)
    assert rounds_needed(narrow, 20, 1.0) < rounds_needed(narrow, 20, 1.03)
    assert rounds_needed(narrow, 20, 1.05) == 80
    assert rounds_needed(Interval(1.05, 0, np.inf, 0.99), 5, 1.03) == 9


@given(st.lists(times, min_size=6, max_size=9))
@settings(deadline=None, max_examples=30)
def test_swapping_the_sides_inverts_the_ratio(rounds: list[list[float]]) -> None:
    other = [[2 * value for value in one] for one in rounds]
    there, back = paired_ratio(rounds, other), paired_ratio(other, rounds)
    assert there.estimate == pytest.approx(2)
    assert there.estimate * back.estimate == pytest.approx(1)
    assert there.low * back.high == pytest.approx(1)


def test_ratio_refuses_rounds_that_do_not_pair() -> None:
    with pytest.raises(ValueError, match="do not pair"):
        paired_ratio([[1.0]], [[1.0], [2.0]])
    with pytest.raises(ValueError, match="no rounds"):
        paired_ratio([], [])


@pytest.mark.parametrize(("degrees", "expected"), [(1, 12.7062), (2, 4.3027), (4, 2.7764), (9, 2.2622), (30, 2.0423)])
def test_t_quantiles_match_the_printed_table(degrees: int, expected: float) -> None:
    assert student_t_quantile(0.975, degrees) == pytest.approx(expected, abs=5e-5)
    assert student_t_quantile(0.025, degrees) == pytest.approx(-expected, abs=5e-5)


def test_frames_needed_for_a_precision_grow_with_its_square() -> None:
    wide = Interval(10.0, 9.8, 10.2, 0.95)
    assert half_width(wide) == pytest.approx(0.02)
    assert frames_needed(wide, 100, 0.01) == 400
    assert frames_needed(wide, 100, 0.04) == 25
    assert frames_needed(wide, 100, 0.001) == 1600  # a guess reaches no further
    assert frames_needed(Interval(10.0, -np.inf, np.inf, 0.95), 3, 0.01) == 8
    with pytest.raises(ValueError, match="positive"):
        frames_needed(wide, 100, 0)


@given(times)
@settings(deadline=None, max_examples=30)
def test_the_interval_of_the_mean_holds_it_and_grows_with_its_unit(values: list[float]) -> None:
    interval = mean_interval(values)
    assert interval.estimate == pytest.approx(statistics.fmean(values))
    assert interval.low <= interval.estimate <= interval.high
    assert (interval.low == -np.inf) == (len(values) < 8)
    doubled = mean_interval([2 * value for value in values])
    assert doubled.high == pytest.approx(2 * interval.high)


def test_frames_of_a_camera_count_by_when_they_were_shown() -> None:
    """Shown at 0, 33, 66 and 132 ms: three more in 132 ms, whatever each of them took. One never was."""
    ms = 1_000_000
    shown = [0, 33 * ms, None, 66 * ms, 132 * ms]
    frames = [Timed(ms, 8 * ms, ms, display_ns=stamp) for stamp in shown]
    assert frame_times(frames) == [33 * ms, 33 * ms, 66 * ms]
    assert frames_per_second(frames) == pytest.approx(3 / 0.132)


def test_frames_of_a_camera_without_a_screens_stamps_count_as_others() -> None:
    ms = 1_000_000
    assert frames_per_second([Timed(ms, 8 * ms, ms)] * 3) == pytest.approx(100)
