"""Changes of level: found where they are, not found where there are none."""

from __future__ import annotations

import numpy as np
import pytest

from pocketgan.bench.changes import Level, Throttling, change_points, throttling
from pocketgan.bench.report.sustained import Run

NOISE = 0.015


def history(rng: np.random.Generator, count: int, memory: float, step: float = 0.0) -> np.ndarray:
    """Medians of that many commits, each with something of the one before and now and then an outlier; the last quarter
    is `step` slower."""
    drawn = rng.standard_normal(count)
    for index in range(1, count):
        drawn[index] = memory * drawn[index - 1] + np.sqrt(1 - memory**2) * drawn[index]
    times = 10 * np.exp(NOISE * drawn + (rng.random(count) < 0.03) * rng.exponential(0.2, count))
    times[count - count // 4 :] *= 1 + step
    return np.asarray(times)


@pytest.mark.parametrize("memory", [0.0, 0.3])
@pytest.mark.parametrize("count", [12, 50, 200])
def test_a_history_without_a_change_shows_none(count: int, memory: float) -> None:
    rng = np.random.default_rng(5)
    assert sum(len(change_points(history(rng, count, memory).tolist())) > 1 for _ in range(200)) <= 4


def test_a_slow_down_is_found_where_it_began() -> None:
    rng = np.random.default_rng(6)
    found = [change_points(history(rng, 100, 0.2, step=0.05).tolist()) for _ in range(100)]
    assert sum(len(levels) == 2 and abs(levels[1].start - 75) <= 2 for levels in found) >= 90
    ratios = [levels[1].value / levels[0].value for levels in found if len(levels) == 2]
    assert np.median(ratios) == pytest.approx(1.05, abs=0.005)


def test_levels_cover_the_series_and_single_outliers_are_none() -> None:
    values = [10.0, 10.1, 9.9] * 4 + [30.0] + [10.0, 10.1, 9.9] * 4
    assert [(level.start, level.end) for level in change_points(values)] == [(0, 25)]
    up_and_back = [10.0, 10.1, 9.9] * 5 + [13.0, 13.1, 12.9] * 5 + [10.0, 10.1, 9.9] * 5
    assert [(level.start, level.value) for level in change_points(up_and_back)] == [(0, 10), (15, 13), (30, 10)]
    assert len(change_points([10.0] * 8)) == 1
    assert len(change_points([10.0])) == 1
    for bad in ([], [1.0, 0.0]):
        with pytest.raises(ValueError, match="positive"):
            change_points(bad)


def sustained(rng: np.random.Generator, slower_after_s: float | None) -> tuple[list[int], list[int]]:
    """Two minutes of 10 ms frames; from some second on the clock is a quarter lower."""
    starts, times, now = [], [], 0
    while now < 120e9:
        slow = slower_after_s is not None and now > slower_after_s * 1e9
        time = int(10e6 * (1.33 if slow else 1) * np.exp(0.02 * rng.standard_normal() + (rng.random() < 0.02) * 0.5))
        starts.append(now)
        times.append(time)
        now += time
    return starts, times


def test_throttling_is_seen_and_steadiness_too() -> None:
    rng = np.random.default_rng(7)
    hot = throttling(*sustained(rng, 70))
    assert hot.throttled
    assert hot.slowdown == pytest.approx(0.33, abs=0.03)
    assert hot.times_s[hot.levels[1].start] == pytest.approx(70, abs=4)
    assert hot.slope_per_minute > 0.05
    cool = throttling(*sustained(rng, None))
    assert not cool.throttled
    assert abs(cool.slope_per_minute) < 0.01
    assert cool.times_s[-1] == pytest.approx(118, abs=3)
    with pytest.raises(ValueError, match="fewer than two frames"):
        throttling([0], [1])


@pytest.mark.parametrize(
    ("levels_ms", "slowdown", "throttled"),
    [
        ((12, 8, 12), 0.5, True),  # the first level was no better than the last: it had not warmed up
        ((8, 12), 0.5, True),
        ((12, 8), 0.0, False),
        ((8, 12, 8.2), 0.025, False),  # it came back
        ((9, 9), 0.0, False),
    ],
)
def test_throttling_is_measured_against_the_best_sustained_level(
    levels_ms: tuple[float, ...], slowdown: float, throttled: bool
) -> None:
    """Half a minute on each level."""
    rng, starts, times, now = np.random.default_rng(8), [], [], 0
    for number, level in enumerate(levels_ms, 1):
        while now < number * 30e9:
            starts.append(now)
            times.append(int(level * 1e6 * np.exp(0.01 * rng.standard_normal())))
            now += times[-1]
    course = throttling(starts, times)
    assert course.slowdown == pytest.approx(slowdown, abs=0.01)
    assert course.throttled is throttled


def test_the_fall_is_told_from_the_best_level() -> None:
    levels = (Level(0, 10, 12.0), Level(10, 20, 8.0), Level(20, 30, 12.0))
    course = Throttling(tuple(map(float, range(30))), (12.0,) * 10 + (8.0,) * 10 + (12.0,) * 10, levels, 0.0)
    told = Run("student", "student", course, ()).verdict
    assert told == "falls from 125 to 83.3 FPS (-33%), first after 20 s"
