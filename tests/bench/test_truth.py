"""Intervals hold what they say on simulated sessions of a known truth. `make bench` runs the full numbers."""

from __future__ import annotations

import noise
import numpy as np
import pytest
import synthetic_results as synthetic

from pocketgan.bench.budget import hold
from pocketgan.bench.schema.result import Frame, Result
from pocketgan.bench.statistics import mean_interval, percentile_interval
from pocketgan.bench.verdict import Verdict

FRAMES = 1000
# Of a session.
CORRELATIONS = (0.001, 0.01, 0.03, 0.1)


def covered(sessions: int, correlation: float) -> float:
    """Share of simulated sessions whose interval holds the median of the process."""
    truth, rng = noise.median_of_process(), np.random.default_rng(11)
    hits = 0
    for _ in range(sessions):
        interval = percentile_interval(noise.frame_times(rng, FRAMES, correlation * FRAMES).tolist())
        hits += interval.low <= truth <= interval.high
    return hits / sessions


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_interval_covers_the_median_of_a_drifting_process(correlation: float) -> None:
    assert covered(300, correlation) == pytest.approx(0.95, abs=0.04)


@pytest.mark.heavy
def test_interval_covers_it_in_95_of_100_sessions() -> None:
    print("\nshare of 4,000 simulated sessions of 1,000 frames whose 95 % interval holds the process's median")
    for correlation in CORRELATIONS:
        share = covered(4000, correlation)
        print(f"{share:6.1%}  drifts of {correlation:.1%} of a session")
        assert share == pytest.approx(0.95, abs=0.02)


def budget_verdicts(sessions: int, frames: int, correlation: float) -> tuple[float, float]:
    """Shares of sessions that PASS and that are TOO SLOW where the budget is the very median of the process: both are
    wrong."""
    truth, rng = noise.median_of_process(), np.random.default_rng(12)
    found = []
    for _ in range(sessions):
        times = noise.frame_times(rng, frames, correlation * frames)
        result = _RESULT.model_copy(update={"frames": [_frame(time) for time in times]})
        found.append(hold(result, truth).verdict)
    return found.count(Verdict.PASS) / sessions, found.count(Verdict.TOO_SLOW) / sessions


def _frame(time_ms: float) -> Frame:
    return Frame.model_construct(start_ns=0, pre_ns=0, inference_ns=round(time_ms * 1e6), post_ns=0, round=0)


_RESULT = Result.model_validate(
    {key: value for key, value in synthetic.result("student", "onnx-fp32", 8).items() if key != "record"}
)


@pytest.mark.parametrize("correlation", [0.01, 0.1])
def test_a_budget_at_the_bound_is_hardly_ever_decided(correlation: float) -> None:
    assert max(budget_verdicts(200, 200, correlation)) <= 0.02


@pytest.mark.heavy
def test_a_budget_is_judged_wrongly_in_one_of_200_sessions_at_most() -> None:
    print("\nshare of 4,000 simulated sessions that are judged wrongly where the budget is the process's median")
    for frames in (60, 300, 1000):
        for correlation in CORRELATIONS:
            passed, slow = budget_verdicts(4000, frames, correlation)
            print(f"{passed:.2%} PASS, {slow:.2%} TOO SLOW: {frames} frames, drifts of {correlation:.1%} of a session")
            # Three standard errors above 0.5 %.
            assert max(passed, slow) <= 0.009


def test_the_mean_of_a_drifting_process_is_covered() -> None:
    rng, hits = np.random.default_rng(13), 0
    for _ in range(300):
        interval = mean_interval((10 + noise.drift(rng, FRAMES, 30)).tolist())
        hits += interval.low <= 10 <= interval.high
    assert hits / 300 == pytest.approx(0.95, abs=0.04)
