from __future__ import annotations

import statistics
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketgan.bench.statistics import (
    block_length,
    frames_per_second,
    median_interval,
    paired_ratio,
    percentile,
    student_t_quantile,
    summarise,
)

times = st.lists(st.floats(1, 1e9, allow_nan=False), min_size=1, max_size=60)


@dataclass
class Timed:
    pre_ns: int
    inference_ns: int
    post_ns: int


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
    interval = median_interval(values, resamples=200)
    assert interval.low <= interval.estimate + 1e-6
    assert interval.estimate <= interval.high + 1e-6
    assert median_interval(values, resamples=200) == interval


def test_blocks_grow_with_dependence() -> None:
    rng = np.random.default_rng(0)
    assert block_length(list(autocorrelated(rng, 400, 0.9))) > 2 * block_length(list(rng.standard_normal(400)))


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_interval_covers_the_true_median_despite_autocorrelation(rho: float) -> None:
    hits = 0
    for seed in range(100):
        series = 100 + autocorrelated(np.random.default_rng(seed), 200, rho)
        interval = median_interval(list(series), resamples=300)
        hits += interval.low <= 100 <= interval.high
    assert hits >= 83  # 95 % nominal; single frames drawn alone would cover about 70 at rho 0.6


def test_ratio_cancels_a_slow_spell_that_both_share() -> None:
    rng = np.random.default_rng(3)
    spells = [1.0, 2.0, 1.0, 3.0, 1.5]
    base = [list(10 * spell * rng.normal(1, 0.01, 20)) for spell in spells]
    candidate = [list(12 * spell * rng.normal(1, 0.01, 20)) for spell in spells]
    ratio = paired_ratio(base, candidate)
    assert ratio.low < 1.2 < ratio.high
    assert ratio.high - ratio.low < 0.05


def test_ratio_interval_covers_the_truth() -> None:
    hits = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        rounds = [100 + autocorrelated(rng, 10, 0.8) for _ in range(10)]
        ratio = paired_ratio([list(r) for r in rounds[::2]], [list(1.1 * r) for r in rounds[1::2]])
        hits += ratio.low <= 1.1 <= ratio.high
    assert hits / 300 == pytest.approx(0.95, abs=0.035)


@given(st.lists(times, min_size=2, max_size=5))
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
    with pytest.raises(ValueError, match="two rounds"):
        paired_ratio([[1.0]], [[1.0]])


@pytest.mark.parametrize(("degrees", "expected"), [(1, 12.7062), (2, 4.3027), (4, 2.7764), (9, 2.2622), (30, 2.0423)])
def test_t_quantiles_match_the_printed_table(degrees: int, expected: float) -> None:
    assert student_t_quantile(0.975, degrees) == pytest.approx(expected, abs=5e-5)
    assert student_t_quantile(0.025, degrees) == pytest.approx(-expected, abs=5e-5)
