"""Whether frames hold a budget: limits, and what a frame takes in each mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import synthetic_results as synthetic
from hypothesis import given
from hypothesis import strategies as st

from pocketgan.bench.budget import frame_interval, hold, limit_ms, share_within
from pocketgan.bench.schema.result import Result
from pocketgan.bench.verdict import Verdict
from pocketgan.errors import ResultsError

MS = 1_000_000


def result(times_ms: list[float], job: dict[str, Any] | None = None, **fields: Any) -> Result:
    """Frames one after the other."""
    record = synthetic.result("student", "onnx-fp32", 8)
    starts = np.concatenate([[0], np.cumsum(times_ms)])
    frames = [
        {"start_ns": int(start * MS), "pre_ns": 0, "inference_ns": int(time * MS), "post_ns": 0, "round": 0}
        for start, time in zip(starts, times_ms, strict=False)
    ]
    changed = {"job": {**record["job"], **(job or {})}, "frames": fields.pop("frames", frames), **fields}
    return Result.model_validate({key: value for key, value in (record | changed).items() if key != "record"})


def spread(middle_ms: float, count: int) -> list[float]:
    return [float(value) for value in middle_ms * np.random.default_rng(1).normal(1, 0.02, count)]


def test_a_rate_and_a_time_are_one_limit_and_the_stricter_counts() -> None:
    assert limit_ms() is None
    assert limit_ms(min_fps=30) == pytest.approx(33.333, abs=1e-3)
    assert limit_ms(max_ms=16.7) == 16.7
    assert limit_ms(min_fps=30, max_ms=50) == pytest.approx(33.333, abs=1e-3)
    assert limit_ms(min_fps=30, max_ms=20) == 20


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_a_budget_is_positive(value: float) -> None:
    with pytest.raises(ResultsError, match="--min-fps is a positive number"):
        limit_ms(min_fps=value)
    with pytest.raises(ResultsError, match="--max-ms is a positive number"):
        limit_ms(max_ms=value)


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=50), st.floats(0.1, 1e6))
def test_what_is_within_and_what_is_above_make_all(times: list[float], limit: float) -> None:
    assert share_within(times, limit) + sum(time > limit for time in times) / len(times) == pytest.approx(1)
    assert share_within(times, max(times)) == 1


def test_a_share_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no frames"):
        share_within([], 1.0)


def test_too_few_frames_decide_nothing() -> None:
    held = hold(result([10.0] * 5), 33.3)
    assert held.verdict is Verdict.NOISY
    assert held.share_within == 1
    assert held.frames is not None
    assert held.frames > 5


def test_a_sustained_run_is_judged_where_it_is_slowest() -> None:
    """Cool for two thirds of the time: the median frame holds 30 FPS, the warm device does not."""
    times = [*spread(25, 2400), *spread(45, 660)]
    warm = result(times, {"mode": "sustained", "iterations": None, "duration_s": 90})
    assert np.median(times) < 33.3
    assert frame_interval(warm, 0.99).estimate == pytest.approx(45, rel=0.02)
    assert hold(warm, 1000 / 30).verdict is Verdict.TOO_SLOW
    assert hold(result(times), 1000 / 30).verdict is Verdict.PASS


def test_frames_that_overlap_count_by_how_many_come_a_second() -> None:
    """Two of three come 10 ms after the one before, the third 40 ms: 50 FPS, though the median says 100."""
    ends = np.cumsum([10, 10, 40] * 60)
    frames = [
        {"start_ns": 0, "pre_ns": 0, "inference_ns": 60 * MS, "post_ns": 0, "round": 0, "end_ns": int(end * MS)}
        for end in ends
    ]
    overlapping = result([], {"mode": "throughput"}, frames=frames)
    assert frame_interval(overlapping, 0.99).estimate == pytest.approx(20, rel=0.01)
    assert hold(overlapping, 15.0).verdict is Verdict.TOO_SLOW
    assert hold(overlapping, 30.0).verdict is Verdict.PASS


def test_frames_of_a_camera_are_judged_by_how_many_are_shown_a_second() -> None:
    """Two of three are on the screen 16 ms after the one before, the third 48 ms: 37.5 FPS."""
    shown = np.cumsum([16, 16, 48] * 60)
    frames = [
        {"start_ns": 0, "pre_ns": 0, "inference_ns": 5 * MS, "post_ns": 0, "round": 0, "display_ns": int(at * MS)}
        for at in shown
    ]
    camera = result([], {"mode": "camera", "iterations": None, "duration_s": 5}, frames=frames)
    assert frame_interval(camera, 0.99).estimate == pytest.approx(80 / 3, rel=0.01)
    assert hold(camera, 1000 / 60).verdict is Verdict.TOO_SLOW
    assert hold(camera, 1000 / 30).verdict is Verdict.PASS


def test_composed_edits_are_judged_by_all_of_them() -> None:
    edits = result([*([10.0] * 9), 40.0], composed=True)
    assert hold(edits, 50.0).verdict is Verdict.PASS
    assert hold(edits, 20.0).verdict is Verdict.NOISY
    assert hold(edits, 5.0).verdict is Verdict.TOO_SLOW
    assert hold(result([10.0] * 3, composed=True), 50.0).verdict is Verdict.NOISY
    assert hold(result([10.0] * 9, {"component": "encoder"}), 50.0).verdict is Verdict.INCOMPARABLE
