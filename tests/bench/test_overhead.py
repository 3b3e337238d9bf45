"""What the harness itself costs. Heavy: run by `make bench`, which prints what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic_results as synthetic

from pocketgan.bench.runners.planning import plan_model
from pocketgan.bench.runners.process import run_plan
from pocketgan.bench.runners.protocol import Plan, WarmupPlan, thread_environment
from pocketgan.bundle.reader import open_bundle

FRAMES_A_TURN, TURNS = 20, 40

# Turns about: the harness's own frames and a loop with nothing but the call, over the same session.
BARE = """
import json, sys, time
from pocketgan.bench.runners import onnxruntime, timing
from pocketgan.bench.runners.loop import _prepare
from pocketgan.bench.runners.protocol import Plan
plan = Plan.from_line(sys.stdin.readline())
class Ears:
    def send(self, event, **fields): ...
    def beat(self): ...
engine = onnxruntime.OnnxRuntimeEngine()
engine.start(1)
model = _prepare(engine, Ears(), 0, plan.models[0])
ours, bare = [], []
def bare_turn(count):
    for _ in range(count):
        started = time.perf_counter_ns()
        model.run(model.inputs)
        bare.append(time.perf_counter_ns() - started)
def our_turn(count):
    started = time.perf_counter_ns()
    frames = timing._one_by_one(Ears(), model, count, 0)
    ours.append((time.perf_counter_ns() - started, [frame[2] for frame in frames]))
for _ in range(50):
    model.run(model.inputs)
for turn in range(%d):
    for step in (bare_turn, our_turn) if turn %% 2 else (our_turn, bare_turn):
        step(%d)
print(json.dumps([ours, bare]))
"""

# A runner whose model computes for exactly so long, by the clock that times it.
BUSY = """
import sys, time
import numpy as np
from pocketgan.bench.runners.loop import serve
class Busy:
    name = "busy"
    fixes_threads = True
    def start(self, threads, compute_units="all"):
        return "1", []
    def load(self, model):
        golden = np.fromfile(model.outputs[0].golden_file, "<f4").reshape(model.outputs[0].golden_shape)
        def run(inputs):
            end = time.perf_counter_ns() + %d
            while time.perf_counter_ns() < end:
                pass
            return [golden]
        return run
serve(Busy())
"""


def planned(path: Path) -> Any:
    folder = path.with_suffix(".unpacked")
    with open_bundle(path) as bundle:
        bundle.extract(folder)
        return plan_model(bundle, bundle.manifest.entries[0], folder)


def inference_times(plan: Plan, command: list[str]) -> list[int]:
    found: list[int] = []

    def take(event: dict[str, Any]) -> None:
        if event["event"] == "frames":
            found.extend(frame[2] for frame in event["frames"])

    run_plan("onnxruntime", plan, take, command=command)
    return found


@pytest.mark.heavy
@pytest.mark.parametrize("milliseconds", [2, 5])
def test_a_known_latency_is_reported_within_one_percent(make_bundle: Callable[..., Path], milliseconds: int) -> None:
    plan = Plan("time", (planned(make_bundle()),), warmup=WarmupPlan(3), iterations=60, rounds=6)
    times = inference_times(plan, [sys.executable, "-c", BUSY % (milliseconds * 1_000_000)])
    print(f"\na runner that computes for {milliseconds} ms: p50 {np.median(times) / 1e6:.4f} ms")
    assert np.median(times) / 1e6 == pytest.approx(milliseconds, rel=0.01)


@pytest.mark.heavy
def test_the_harness_costs_less_than_one_percent_of_five_milliseconds(make_bundle: Callable[..., Path]) -> None:
    model = planned(make_bundle(size=256, layers=5, image=False))
    done = subprocess.run(
        [sys.executable, "-c", BARE % (TURNS, FRAMES_A_TURN)],
        input=Plan("time", (model,)).to_line(),
        capture_output=True,
        text=True,
        check=True,
        env={**thread_environment(1), "PATH": "/usr/bin:/bin"},
    )
    ours, bare = json.loads(done.stdout.splitlines()[-1])
    inference = [time for _, times in ours for time in times]
    outside = [(whole - sum(times)) / FRAMES_A_TURN for whole, times in ours]
    per_frame_us, ratio = float(np.median(outside)) / 1e3, float(np.median(inference) / np.median(bare))
    print(
        f"\nthe harness: {per_frame_us:.1f} us a frame beside the inference, {per_frame_us / 5000:.2%} of 5 ms; "
        f"p50 {np.median(inference) / 1e6:.3f} ms, of a bare loop {np.median(bare) / 1e6:.3f} ms, ratio {ratio:.4f}"
    )
    assert per_frame_us < 0.01 * 5000
    assert ratio == pytest.approx(1, abs=0.02)


@pytest.mark.heavy
def test_the_first_measurement_starts_within_three_seconds(
    make_bundle: Callable[..., Path], environment: dict[str, str], tmp_path: Path
) -> None:
    bundle = make_bundle()
    script = (
        "import sys, time\n"
        "from pocketgan.bench.runners import process\n"
        "real = process.run_plan\n"
        "def told(runtime, plan, take, *rest):\n"
        "    def event(one):\n"
        "        if one['event'] == 'loaded':\n"
        "            print('loaded', file=sys.stderr, flush=True)\n"
        "        take(one)\n"
        "    real(runtime, plan, event, *rest)\n"
        "from pocketgan.bench.devices import local\n"
        "local.run_plan = told\n"
        "from pocketgan.cli import main\n"
        f"sys.argv = ['pocketgan', 'bench', {str(bundle)!r}, '--out', {str(tmp_path / 'r.jsonl')!r}]\n"
        "main()\n"
    )
    found = []
    for _ in range(3):
        (tmp_path / "r.jsonl").unlink(missing_ok=True)
        started = time.monotonic()
        session = subprocess.Popen(
            [sys.executable, "-c", script],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert session.stderr is not None
        assert "loaded" in session.stderr.readline()
        found.append(time.monotonic() - started)
        session.communicate()
    print(f"\npocketgan bench loads the first model {min(found):.2f} s after its start (goal 3 s)")
    assert min(found) < 3


@pytest.mark.heavy
def test_a_journal_of_100_000_samples_reports_within_ten_seconds(environment: dict[str, str], tmp_path: Path) -> None:
    records = [synthetic.bundle("student"), synthetic.bundle("teacher")]
    records += [synthetic.result(name, "onnx-fp32", count=50_000) for name in ("student", "teacher")]
    path = synthetic.write_records(tmp_path / "results.jsonl", records)
    started = time.monotonic()
    command = [sys.executable, "-m", "pocketgan", "report", str(path), "--out", str(tmp_path / "report.html")]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    seconds = time.monotonic() - started
    print(f"\na journal of 100,000 samples reports in {seconds:.1f} s (goal 10 s)")
    assert seconds < 10
