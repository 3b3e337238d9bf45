"""What a camera's frames come to on the screen, and what the gate makes of two such runs."""

from __future__ import annotations

from typing import Any

import pytest
import synthetic_results as synthetic

from pocketgan.bench.budget import hold
from pocketgan.bench.camera import CameraFigures, camera_figures, refresh_words
from pocketgan.bench.gate import compare
from pocketgan.bench.journal import BundleRecord, Results
from pocketgan.bench.schema.result import Result
from pocketgan.bench.verdict import Pair, Verdict


def camera(name: str = "student", **changes: Any) -> Result:
    record = synthetic.camera_result(name, **changes)
    del record["record"]
    return Result.model_validate(record)


def figures(one: Result) -> CameraFigures:
    found = camera_figures(one)
    assert found is not None
    return found


def side(*results: Result) -> Results:
    bundles = {}
    for one in results:
        record = synthetic.bundle(one.bundle_name, with_samples=False)
        del record["record"]
        bundles[one.job.bundle] = BundleRecord.model_validate(record)
    return Results(bundles, list(results))


def judged(base: Result, candidate: Result, **tolerances: float) -> Pair:
    (pair,) = compare(side(base), side(candidate), tolerances or None)
    return pair


def metric(pair: Pair, name: str) -> Any:
    return next(one for one in pair.metrics if one.metric == name)


def test_a_frame_on_every_second_picture_of_60_hz_is_30_fps() -> None:
    found = figures(camera(shown_every=2, delay_ms=80, seconds=60))
    assert found.fps == pytest.approx(30.0, rel=1e-6)
    assert (found.shown, round(found.seconds)) == (1800, 60)
    assert found.delay_ms == pytest.approx(80, abs=0.3)
    assert 82 < found.delay_p95_ms < 85  # 80 ms + 1.64 deviations of 2 ms
    assert (found.estimated, found.refresh_hz) == (False, (60.0, 60.0))


def test_frames_that_were_computed_and_never_shown_are_dropped_as_well() -> None:
    usual = camera(dropped=3, seconds=10)
    frames = [
        frame.model_copy(update={"display_ns": None}) if number % 100 == 7 else frame
        for number, frame in enumerate(usual.frames)
    ]
    found = figures(usual.model_copy(update={"frames": frames}))
    assert found.dropped == 3 + 3
    assert found.dropped_share == pytest.approx(6 / 303)
    assert figures(usual.model_copy(update={"dropped_frames": None})).dropped is None


def test_one_estimated_time_makes_it_an_estimate() -> None:
    usual = camera(seconds=2)
    frames = [*usual.frames[:-1], usual.frames[-1].model_copy(update={"display_estimated": True})]
    assert figures(usual.model_copy(update={"frames": frames})).estimated


def test_other_modes_have_none() -> None:
    record = synthetic.result("student", "onnx-fp32", 8)
    del record["record"]
    assert camera_figures(Result.model_validate(record)) is None


@pytest.mark.parametrize(("rates", "words"), [((59.94, 59.94), "60 Hz"), ((60.0, 120.0), "60 to 120 Hz"), (None, "")])
def test_refresh_rates_in_words(rates: tuple[float, float] | None, words: str) -> None:
    assert refresh_words(rates) == words


def uneven(one: Result, late: float) -> Result:
    """Of its frames that share waits for one more picture, evenly spread: the median stays."""
    frames, waited = [], 0
    for number, frame in enumerate(one.frames):
        if int((number + 1) * late) > int(number * late):
            waited += int(1e9 / 60)
        moved = {name: getattr(frame, name) + waited for name in ("start_ns", "capture_ns", "display_ns")}
        frames.append(frame.model_copy(update=moved))
    return one.model_copy(update={"frames": frames})


def test_the_gate_judges_how_many_frames_are_shown_a_second_not_their_median() -> None:
    base = camera()
    slower = uneven(camera(started_at="2026-11-22T09:30:00Z"), late=0.3)
    pair = judged(base, slower)
    assert pair.verdict is Verdict.REGRESSION
    assert metric(pair, "shown").ratio.estimate == pytest.approx(1.15, abs=0.001)
    assert metric(pair, "shown").base == pytest.approx(1000 / 30)
    assert metric(pair, "delay").verdict is None
    assert [one.metric for one in pair.metrics][:2] == ["shown", "delay"]
    assert not {"p50", "p90"} & {one.metric for one in pair.metrics}
    assert judged(base, camera(started_at="2026-11-22T09:30:00Z")).verdict is Verdict.PASS


def test_a_longer_way_from_sensor_to_screen_is_a_regression_where_one_asks() -> None:
    base, later = camera(delay_ms=80), camera(delay_ms=97)
    assert judged(base, later).verdict is Verdict.PASS
    assert judged(base, later, delay=0.1).verdict is Verdict.REGRESSION
    assert metric(judged(base, later, delay=0.1), "delay").ratio.estimate == pytest.approx(97 / 80, abs=0.01)


def test_a_camera_run_is_not_compared_with_a_latency_run() -> None:
    record = synthetic.result("student", "onnx-fp32", 60)
    del record["record"]
    latency = Result.model_validate(record)
    for one, other, says in ((latency, camera(), "latency and camera"), (camera(), latency, "camera and latency")):
        pair = judged(one, other)
        assert pair.verdict is Verdict.INCOMPARABLE
        assert f"mode: {says}" in pair.differences


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"refresh_hz": 120.0}, "refresh rate: 60 Hz and 120 Hz"),
        ({"sustained_performance": True}, "sustained-performance mode: off and on"),
        ({"performance_hint": True}, "performance hints: off and on"),
    ],
)
def test_what_the_screen_and_the_app_do_makes_runs_incomparable(changes: dict[str, Any], says: str) -> None:
    other = camera()
    states = [state.model_copy(update=changes) for state in other.conditions]
    assert says in judged(camera(), other.model_copy(update={"conditions": states})).differences


def test_told_and_estimated_display_times_are_not_compared() -> None:
    other = camera()
    frames = [frame.model_copy(update={"display_estimated": True}) for frame in other.frames]
    assert "display times: told by the system and estimated" in (
        judged(camera(), other.model_copy(update={"frames": frames})).differences
    )


def test_a_camera_holds_a_budget_by_the_mean_of_what_was_shown() -> None:
    assert hold(uneven(camera(), late=0.3), 1000 / 25).verdict is Verdict.PASS
    assert hold(uneven(camera(), late=0.3), 1000 / 30).verdict is Verdict.TOO_SLOW


def test_what_would_decide_a_noisy_camera_comparison_is_a_longer_run() -> None:
    random_late = [
        uneven(camera(seconds=5, started_at=f"2026-11-2{day}T09:30:00Z"), late) for day, late in ((1, 0.29), (2, 0.31))
    ]
    frames = [
        [
            frame.model_copy(update={"display_ns": (frame.display_ns or 0) + (number % 7 > 3) * 9_000_000})
            for number, frame in enumerate(one.frames)
        ]
        for one in random_late
    ]
    pair = judged(
        *(one.model_copy(update={"frames": shown}) for one, shown in zip(random_late, frames, strict=True)), shown=0.015
    )
    assert pair.verdict is Verdict.NOISY
    assert pair.decide_with is not None
    assert "--mode camera --seconds 10" in pair.decide_with
    assert "--device 'Pixel 8' --via app" in pair.decide_with


def energy_run(name: str = "student", **changes: Any) -> Result:
    record = synthetic.energy_result(name, **changes)
    del record["record"]
    return Result.model_validate(record)


def test_energy_per_frame_is_compared_where_both_have_it() -> None:
    base, hungry = energy_run(watts=4.0, noise=0.02), energy_run(watts=5.0, noise=0.02)
    pair = judged(base, hungry)
    assert metric(pair, "energy").base == pytest.approx(0.080, rel=0.02)
    assert metric(pair, "energy").ratio.estimate == pytest.approx(1.25, rel=0.03)
    assert metric(pair, "energy").verdict is None
    assert metric(judged(base, hungry, energy=0.05), "energy").verdict is Verdict.REGRESSION
    assert metric(judged(base, energy_run(watts=4.01, noise=0.02), energy=0.1), "energy").verdict is Verdict.PASS


def test_energy_that_was_not_measured_decides_nothing() -> None:
    pair = judged(camera(), camera(), energy=0.05)
    assert metric(pair, "energy").verdict is Verdict.INCOMPARABLE
    assert metric(judged(energy_run(), energy_run(seconds=20), energy=0.05), "energy").candidate is None


def test_a_pinned_clock_holds_no_budget() -> None:
    record = synthetic.result("student", "onnx-fp32", 60, schema_version="1.2")
    del record["record"]
    record["job"]["clock"] = "pinned"
    assert hold(Result.model_validate(record), 1000.0).verdict is Verdict.INCOMPARABLE
