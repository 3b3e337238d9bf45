from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketgan.bench.runners import timing
from pocketgan.bench.runners.loop import WrongOutputError, agreement
from pocketgan.bench.runners.picture import to_picture, to_tensor
from pocketgan.bench.runners.planning import floor_db, plan_model
from pocketgan.bench.runners.process import Event, run_plan
from pocketgan.bench.runners.protocol import ModelPlan, Plan, WarmupPlan
from pocketgan.bench.runners.timing import Loaded, thread_notes, turns, warm_up
from pocketgan.bundle.manifest import Parity, TensorSpec
from pocketgan.bundle.reader import open_bundle
from pocketgan.errors import DeviceError


def planned(path: Path) -> ModelPlan:
    folder = path.with_suffix(".unpacked")
    with open_bundle(path) as bundle:
        bundle.extract(folder)
        return plan_model(bundle, bundle.manifest.entries[0], folder)


def events_of(plan: Plan, **options: object) -> list[Event]:
    events: list[Event] = []
    run_plan("onnxruntime", plan, events.append, **options)  # type: ignore[arg-type]
    return events


def kinds(events: list[Event]) -> list[str]:
    return [event["event"] for event in events]


def run_script(script: str, **options: object) -> list[Event]:
    return events_of(Plan("check", ()), command=[sys.executable, "-c", script], **options)


def test_plan_survives_the_pipe(make_bundle: Callable[..., Path]) -> None:
    plan = Plan(
        "time",
        (planned(make_bundle()),),
        threads=2,
        warmup=WarmupPlan(3, 4, 0.1, 2.0),
        iterations=40,
        rounds=5,
        duration_s=1.5,
    )
    assert Plan.from_line(plan.to_line()) == plan


def test_every_frame_comes_with_its_round_and_in_order(make_bundle: Callable[..., Path]) -> None:
    models = (planned(make_bundle("a")), planned(make_bundle("b", layers=3)))
    events = events_of(Plan("time", models, warmup=WarmupPlan(1), iterations=7, rounds=3))
    first_frames = kinds(events).index("frames")
    assert kinds(events)[:first_frames] == ["ready", *["loaded", "parity"] * 2, *["warmed"] * 2]
    for model in (0, 1):
        frames = [frame for event in events[first_frames:-1] if event["model"] == model for frame in event["frames"]]
        assert [frame[4] for frame in frames] == [0, 0, 0, 1, 1, 2, 2]
        assert all(later[0] >= sum(earlier[:4]) for earlier, later in pairwise(frames))
    assert [event["model"] for event in events if event["event"] == "frames"] == [0, 1, 1, 0, 1, 0]


def test_overlapping_frames_tell_when_they_ended(make_bundle: Callable[..., Path]) -> None:
    models = (planned(make_bundle("a", size=64, layers=4)), planned(make_bundle("numbers", image=False)))
    events = events_of(Plan("overlap", models, iterations=12, rounds=2))
    for model in (0, 1):
        frames = [frame for e in events if e["event"] == "frames" and e["model"] == model for frame in e["frames"]]
        assert [frame[4] for frame in frames] == [0] * 6 + [1] * 6
        assert all(end >= start + pre + inference + post for start, pre, inference, post, _, end in frames)
        assert all(earlier[5] <= later[5] for earlier, later in pairwise(frames))
    # The next picture is converted while this one is inferred.
    assert any(later[0] < earlier[5] for earlier, later in pairwise(frames))


def test_a_sustained_run_lasts_as_long_as_it_was_asked_to(make_bundle: Callable[..., Path]) -> None:
    events = events_of(Plan("sustain", (planned(make_bundle(size=64)),), duration_s=1.6))
    batches = [event["frames"] for event in events if event["event"] == "frames"]
    frames = [frame for batch in batches for frame in batch]
    assert len(batches) == 2
    assert 1.5e9 < sum(frames[-1][:4]) - frames[0][0] < 2.5e9
    assert all(later[0] >= sum(earlier[:4]) for earlier, later in pairwise(frames))


class _Ears:
    """Takes what a runner would send."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def send(self, event: str, **fields: object) -> None:
        self.events.append({"event": event, **fields})

    def beat(self) -> None: ...


@pytest.fixture
def warmed(make_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Event]:
    """What comes of a warm-up rule on a model whose frames take so long, by a clock that only they move."""
    model = planned(make_bundle())

    def warmed(milliseconds: Callable[[int], float], rule: WarmupPlan) -> Event:
        now, calls = [0.0], [0]

        def run(inputs: object) -> list[np.ndarray]:
            calls[0] += 1
            now[0] += milliseconds(calls[0]) * 1e6
            return []

        monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter_ns=lambda: int(now[0])))
        ears = _Ears()
        warm_up(ears, Loaded(0, model, run, {}, picture_input=None, picture=None, picture_output=None), rule)  # type: ignore[arg-type]
        (event,) = ears.events
        assert event["iterations"] == calls[0]
        assert event["duration_ns"] == int(now[0])
        return event

    return warmed


def test_it_warms_up_until_frames_are_steady(warmed: Callable[..., Event]) -> None:
    rule = WarmupPlan(2, window=4, tolerance=0.1, timeout_s=3)
    steady = warmed(lambda number: 2, rule)
    assert (steady["iterations"], steady["steady"]) == (8, True)
    # 16 ms a frame, getting faster until the 28th.
    slow_start = warmed(lambda number: 2 * max(1, 8 - number / 4), rule)
    assert (slow_start["iterations"], slow_start["steady"]) == (36, True)


def test_warming_up_ends_at_its_time_limit_or_count(warmed: Callable[..., Event]) -> None:
    never = warmed(lambda number: 1.2**number, WarmupPlan(2, 2, 0.1, timeout_s=0.1))
    assert not never["steady"]
    assert 0.1e9 <= never["duration_ns"] <= 0.1e9 * 1.2
    counted = warmed(lambda number: 1.2**number, WarmupPlan(3))
    assert (counted["iterations"], counted["steady"]) == (3, True)


def test_pixels_are_converted_only_where_the_contract_is_a_picture(make_bundle: Callable[..., Path]) -> None:
    models = (planned(make_bundle("picture")), planned(make_bundle("numbers", image=False)))
    events = events_of(Plan("time", models, iterations=2, rounds=1))
    picture, numbers = ([e["frames"] for e in events if e["event"] == "frames" and e["model"] == m] for m in (0, 1))
    assert all(frame[1] > 0 and frame[3] > 0 for frame in picture[0])
    assert all(frame[1] == 0 and frame[3] == 0 for frame in numbers[0])


def test_wrong_output_is_never_timed(make_bundle: Callable[..., Path]) -> None:
    models = (planned(make_bundle("wrong", wrong_by=0.2)), planned(make_bundle("right")))
    events = events_of(Plan("time", models, iterations=2, rounds=1))
    (failed,) = [event for event in events if event["event"] == "failed"]
    assert failed["model"] == 0
    assert "wrong output: 20.0 dB" in failed["message"]
    assert {event["model"] for event in events if event["event"] == "frames"} == {1}


def test_unreadable_model_fails_alone(make_bundle: Callable[..., Path]) -> None:
    models = (planned(make_bundle("broken", model=b"no model")), planned(make_bundle("right")))
    events = events_of(Plan("check", models))
    assert kinds(events) == ["ready", "failed", "loaded", "parity", "done"]
    assert "onnxruntime refused the model" in events[1]["message"]


def test_fresh_process_reports_memory_and_both_loads(make_bundle: Callable[..., Path]) -> None:
    events = {event["event"]: event for event in events_of(Plan("fresh", (planned(make_bundle()),)))}
    assert events["loaded"]["cold_ns"] > 0
    assert events["reloaded"]["warm_ns"] > 0
    assert 10e6 < events["memory"]["runtime_bytes"] <= events["memory"]["peak_bytes"]


def test_what_a_runtime_prints_stays_out_of_the_events(make_bundle: Callable[..., Path]) -> None:
    script = (
        "import os\n"
        "from pocketgan.bench.runners import onnxruntime\n"
        "class Loud(onnxruntime.OnnxRuntimeEngine):\n"
        "    def start(self, threads, compute_units='all'):\n"
        "        print('cpuinfo: no midr'); os.write(1, b'native noise\\n')\n"
        "        return super().start(threads)\n"
        "onnxruntime.serve(Loud())\n"
    )
    events = events_of(Plan("check", (planned(make_bundle()),)), command=[sys.executable, "-c", script])
    assert kinds(events) == ["ready", "loaded", "parity", "done"]


def test_runner_that_dies_is_explained_by_its_last_lines() -> None:
    with pytest.raises(DeviceError, match=r"exit code 3; its last lines: .*the reason"):
        run_script("import sys; sys.stdin.readline(); print('the reason', file=sys.stderr); sys.exit(3)")


def test_runner_that_crashes_names_the_signal() -> None:
    with pytest.raises(DeviceError, match="killed by SIGSEGV"):
        run_script("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")


def test_runner_that_hangs_is_killed() -> None:
    started = time.monotonic()
    with pytest.raises(DeviceError, match="hung: nothing from it for 1 s"):
        run_script("import time; time.sleep(60)", stall_timeout_s=1)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("garbage", ["no json", "[1]", '{"no": "event"}'])
def test_runner_that_prints_garbage_is_refused(garbage: str) -> None:
    with pytest.raises(DeviceError, match="which is no event"):
        run_script(f"print({garbage!r})")


def test_runner_dies_with_its_host_even_where_it_says_nothing(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    plan, stuck, host_script = tmp_path / "plan", tmp_path / "stuck.py", tmp_path / "host.py"
    plan.write_text(Plan("check", (planned(make_bundle()),)).to_line())
    stuck.write_text(
        "import time\n"
        "from pocketgan.bench.runners import onnxruntime\n"
        "class Stuck(onnxruntime.OnnxRuntimeEngine):\n"
        "    def load(self, model):\n"
        "        time.sleep(600)\n"
        "onnxruntime.serve(Stuck())\n"
    )
    host_script.write_text(
        "import sys\nfrom pocketgan.bench.runners.process import run_plan\n"
        "from pocketgan.bench.runners.protocol import Plan\n"
        "plan = Plan.from_line(open(sys.argv[1]).read())\n"
        "say = lambda event: print(event['event'], flush=True)\n"
        "run_plan('onnxruntime', plan, say, command=[sys.executable, sys.argv[2]])\n"
    )
    command = [sys.executable, str(host_script), str(plan), str(stuck)]
    host = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    assert host.stdout.readline() == "ready\n"
    (runner,) = psutil.Process(host.pid).children()
    os.kill(host.pid, signal.SIGKILL)
    host.wait()
    host.stdout.close()
    runner.wait(timeout=10)
    assert not psutil.pid_exists(runner.pid)


def test_onnx_runner_needs_no_torch(make_bundle: Callable[..., Path]) -> None:
    script = (
        "import sys\n"
        "from pocketgan.bench.runners import onnxruntime\n"
        "class Honest(onnxruntime.OnnxRuntimeEngine):\n"
        "    def load(self, model):\n"
        "        run = super().load(model)\n"
        "        heavy = {'torch', 'pydantic', 'rich', 'typer'} & set(sys.modules)\n"
        "        if heavy: raise RuntimeError(f'imported {heavy}')\n"
        "        return run\n"
        "onnxruntime.serve(Honest())\n"
    )
    events = events_of(Plan("check", (planned(make_bundle()),)), command=[sys.executable, "-c", script])
    assert kinds(events) == ["ready", "loaded", "parity", "done"]


@given(st.integers(1, 6))
def test_each_model_stands_equally_often_in_each_place(models: int) -> None:
    orders = turns(models, 2 * models)
    for place in range(models):
        assert sorted(order[place] for order in orders) == sorted([*range(models)] * 2)


def test_threads_are_told_by_cpu_time_not_by_wall_time() -> None:
    assert thread_notes(1.0, 0.98, threads=1) == []
    assert thread_notes(2.0, 1.0, threads=2) == []
    assert thread_notes(0.01, 0.001, threads=1) == []
    assert "2.0 threads though 1" in thread_notes(2.0, 1.0, threads=1)[0]


def test_agreement_reports_the_worst_output() -> None:
    golden = [np.zeros((1, 4)), np.zeros((1, 4))]
    outputs = [np.zeros((1, 4)), np.full((1, 4), 0.02)]
    assert agreement(outputs, golden, [(-1, 1), (-1, 1)]) == (pytest.approx(40), pytest.approx(0.02))
    assert agreement(golden, golden, [(-1, 1), None]) == (None, 0.0)


def test_agreement_refuses_values_that_are_not_finite() -> None:
    with pytest.raises(WrongOutputError, match="not finite"):
        agreement([np.array([np.nan])], [np.zeros(1)], [None])
    with pytest.raises(WrongOutputError, match="shape"):
        agreement([np.zeros((2, 1))], [np.zeros((1, 2))], [None])


@pytest.mark.parametrize(("layout", "dtype", "bounds"), [("NCHW", "float32", (-1, 1)), ("NHWC", "uint8", (0, 255))])
def test_pictures_survive_the_way_there_and_back(layout: str, dtype: str, bounds: tuple[float, float]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    shape = [1, 3, 5, 7] if layout == "NCHW" else [1, 5, 7, 3]
    spec = TensorSpec.model_validate(
        {"name": "x", "shape": shape, "layout": layout, "dtype": dtype, "value_range": bounds, "colour_space": "RGB"}
    )
    tensor = to_tensor(picture, spec)
    assert list(tensor.shape) == shape
    assert tensor.dtype == dtype
    assert bounds[0] <= tensor.min() < tensor.max() <= bounds[1]
    assert np.array_equal(to_picture(tensor, spec), picture)


def test_values_beyond_black_and_white_are_clipped() -> None:
    spec = TensorSpec(
        name="y", shape=[1, 3, 1, 1], layout="NCHW", dtype="float32", value_range=(-1, 1), colour_space="RGB"
    )
    assert to_picture(np.array([-3, 0, 3], "f4").reshape(1, 3, 1, 1), spec).tolist() == [[[0, 128, 255]]]


@pytest.mark.parametrize(
    ("parity", "expected"),
    [
        (None, 30),
        (Parity(psnr_db=120, max_abs_error=0, floor_db=100, runtime="r"), 100),
        (Parity(psnr_db=25, max_abs_error=0, floor_db=30, runtime="r"), 22),
    ],
    ids=["none", "passed", "exported below its floor"],
)
def test_floor_is_what_the_export_reached(
    make_bundle: Callable[..., Path], parity: Parity | None, expected: float
) -> None:
    with open_bundle(make_bundle(parity=parity)) as bundle:
        assert floor_db(bundle.manifest.entries[0]) == expected
