"""Runs of one measurement: which belong together, and as one Result."""

from __future__ import annotations

from typing import Any

import pytest
import synthetic_results as synthetic

from pocketgan.bench.runs import joined, measurements, turn_times
from pocketgan.bench.schema.result import Frame, Result
from pocketgan.bench.statistics import frame_times, frames_per_second, round_times


@pytest.fixture
def run() -> Any:
    """Makes one run of two rounds of two frames."""

    def make(number: int = 0, name: str = "student", timed: bool = True, **changes: Any) -> Result:
        record = synthetic.result(name, "onnx-fp32", count=4, **changes)
        record["job"] = {**record["job"], "run": number, "rounds": 2}
        record["frames"] = [{**frame, "round": index // 2} for index, frame in enumerate(record["frames"]) if timed]
        del record["record"]
        return Result.model_validate(record)

    return make


def test_runs_of_one_session_and_job_belong_together(run: Any) -> None:
    first, second, other = run(0), run(1), run(0, "teacher")
    later = run(0, session="later")
    assert measurements([first, other, second, later]) == [[other], [first, second], [later]]


def test_a_repeated_run_counts_once(run: Any) -> None:
    dead, good = run(1, timed=False, errors=["killed"]), run(1)
    assert measurements([run(0), dead, good]) == [[run(0), good]]
    assert measurements([run(0), good, dead]) == [[run(0), good]]
    assert measurements([run(0), dead]) == [[run(0), dead]]


def test_joined_runs_hold_everything_and_number_their_rounds_on(run: Any) -> None:
    whole = joined([run(0), run(1, errors=["odd"]), run(2, timed=False, errors=["odd", "killed"])])
    assert [frame.round for frame in whole.frames] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert whole.job.iterations == 12
    assert (whole.job.rounds, whole.job.run) == (6, 0)
    assert len(whole.cold_load_ns) == 9
    assert whole.errors == ["odd", "killed"]
    assert joined([run(0)]) == run(0)


def test_turns_are_told_apart_by_process(run: Any) -> None:
    turns = turn_times([run(0, process="a"), run(1, process="b")])
    assert list(turns) == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert turn_times([run(0)]).keys() == turn_times([run(0, "teacher")]).keys()
    assert turn_times([run(0)]).keys().isdisjoint(turn_times([run(0, session="later")]).keys())


def test_overlapping_frames_take_the_time_between_their_ends() -> None:
    def frame(start: int, end: int, number: int) -> Frame:
        return Frame(start_ns=start, pre_ns=4, inference_ns=10, post_ns=4, round=number, end_ns=end)

    frames = [frame(0, 18, 0), frame(4, 30, 0), frame(14, 40, 0), frame(100, 120, 1), frame(110, 137, 1)]
    assert round_times(frames) == {0: [12, 10], 1: [17]}
    assert frame_times(frames) == [12, 10, 17]
    assert frames_per_second(frames) == pytest.approx(3e9 / 39)  # three frames in 39 ns, though 12 ns is the median
