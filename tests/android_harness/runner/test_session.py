"""The native runner, built for this computer, carries out sessions on bundles that the exporter wrote."""

from __future__ import annotations

import signal
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from native_runner import Run, library, read_answer, shell_job, write_session

from pocketgan.bench.devices.fault import Asked
from pocketgan.bench.devices.soundness import faults
from pocketgan.bench.devices.stamps import turn_faults
from pocketgan.bench.runners.planning import floor_db, plan_model
from pocketgan.bench.runners.process import Event, run_plan
from pocketgan.bench.runners.protocol import Plan
from pocketgan.bench.schema.result import Result
from pocketgan.bundle.reader import open_bundle


def asked(path: Path, result: Result) -> Asked:
    with open_bundle(path) as bundle:
        entry = bundle.manifest.entry(result.job.entry)
        return Asked(result.job, bundle.manifest.name, entry.runtime, "local", floor_db(entry))


@pytest.fixture(scope="module")
def session(exported: Path, run: Run, tmp_path_factory: pytest.TempPathFactory):
    """Two entries that take turns, overlapping frames, a second without a pause."""
    tensor, image = shell_job(exported, cold_repeats=2), shell_job(exported, entry="onnx-fp32-image", cold_repeats=2)
    overlapping = shell_job(exported, mode="throughput")
    sustained = shell_job(exported, mode="sustained", iterations=None, duration_s=1.2)
    folder = tmp_path_factory.mktemp("session")
    return run(write_session(folder, [exported], [[tensor, image], [overlapping], [sustained]], beat_interval_s=0.3))


def test_every_job_gets_a_result_and_an_end_follows(session):
    assert (session.code, session.errors) == (0, "")
    assert [(r.job.mode, r.job.entry) for r in session.results] == [
        ("latency", "onnx-fp32"),
        ("latency", "onnx-fp32-image"),
        ("throughput", "onnx-fp32"),
        ("sustained", "onnx-fp32"),
    ]
    assert all(result.errors == [] and result.session == "s-1" for result in session.results)
    assert session.end.error is None


def test_the_host_finds_nothing_that_does_not_hold(session, exported):
    assert [faults(result, asked(exported, result)) for result in session.results] == [[]] * 4
    assert turn_faults(session.results[0], [session.results[1]]) == []


def test_models_of_a_group_take_turns_in_one_process(session):
    tensor, image = session.results[:2]
    assert tensor.process == image.process
    assert len({result.process for result in session.results}) == 3
    named = [(frame, name) for name, result in (("t", tensor), ("i", image)) for frame in result.frames]
    starts = sorted((frame.start_ns, frame.round, name) for frame, name in named)
    order = [(number, name) for _, number, name in starts]
    assert order[::2] == [(0, "t"), (0, "i"), (1, "i"), (1, "t"), (2, "i"), (2, "t")]  # pairs: two frames a round


def test_parity_is_that_of_the_python_runner(session, exported, tmp_path):
    with open_bundle(exported) as bundle:
        bundle.extract(tmp_path / "files")
        for result in session.results[:2]:
            events: list[Event] = []
            model = plan_model(bundle, bundle.manifest.entry(result.job.entry), tmp_path / "files")
            run_plan("onnxruntime", Plan("check", (model,)), events.append)
            (parity,) = [event for event in events if event["event"] == "parity"]
            assert result.parity.psnr_db == pytest.approx(parity["psnr_db"], rel=1e-9)
            assert result.parity.max_abs_error == pytest.approx(parity["max_abs_error"], rel=1e-9)


def test_loads_memory_and_placement_are_told(session):
    for result in session.results[:2]:
        assert (len(result.cold_load_ns), len(result.warm_load_ns), len(result.first_inference_ns)) == (2, 2, 2)
        assert 0 < result.memory.runtime_bytes < result.memory.peak_bytes < 1 << 30
        assert all(0 <= share <= 1 for share in result.file_cache)
        assert result.placement.requested == "default"
        assert "CPUExecutionProvider" in result.placement.registered
        assert set(result.placement.planned) == {"CPUExecutionProvider"}
        assert result.runtime_version == __import__("onnxruntime").__version__


def test_conversions_belong_to_the_frame_of_tensors_alone(session):
    tensor, image = session.results[:2]
    assert all(frame.pre_ns > 0 and frame.post_ns > 0 for frame in tensor.frames)
    assert all(frame.pre_ns == 0 and frame.post_ns == 0 for frame in image.frames)


def test_beats_come_between(session):
    assert session.beats
    assert all(beat.detail.startswith("tiny onnx-fp32") for beat in session.beats)
    stamps = [beat.at_ns for beat in session.beats]
    assert all(after - before >= 0.3e9 for before, after in pairwise(stamps))


def started(built: Path, folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [str(built / "pocketgan-runner"), str(folder), "--runtime", str(library()), *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for(what, timeout_s: float = 20):
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen")


@pytest.fixture
def long_session(exported: Path, tmp_path: Path) -> Path:
    """A short group, and one that goes on for a minute."""
    groups = [[shell_job(exported)], [shell_job(exported, mode="sustained", iterations=None, duration_s=60)]]
    return write_session(tmp_path / "long", [exported], groups, beat_interval_s=0.05)


def in_second_group(folder: Path) -> bool:
    answer = read_answer(folder)
    return bool(answer.results) and any(beat.done > 0 for beat in answer.beats)


def test_a_cancelled_session_keeps_its_results_and_goes_on_after_them(exported, built, run, long_session):
    process = started(built, long_session)
    wait_for(lambda: read_answer(long_session).results)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM
    assert told.count("\n") == 1
    answer = read_answer(long_session)
    assert [result.job.mode for result in answer.results] == ["latency"]
    assert "cancelled" in answer.end.error
    with (long_session / "results.jsonl").open("a") as file:
        file.write('{"record":"resu')  # as a crash leaves it
    short = [[shell_job(exported)], [shell_job(exported, run=1)]]
    write_session(long_session, [exported], short)
    answer = run(long_session)
    assert [(result.job.mode, result.job.run) for result in answer.results] == [("latency", 0), ("latency", 1)]
    assert answer.end.error is None


def test_a_runner_that_is_killed_takes_its_children_along(built, long_session):
    process = started(built, long_session)
    wait_for(lambda: in_second_group(long_session))
    children = psutil.Process(process.pid).children()
    process.kill()
    process.communicate(timeout=10)
    assert children
    assert psutil.wait_procs(children, timeout=5)[1] == []


def test_a_model_that_kills_its_process_fails_alone(exported, built, tmp_path):
    groups = [[shell_job(exported, mode="sustained", iterations=None, duration_s=60)], [shell_job(exported)]]
    folder = write_session(tmp_path / "s", [exported], groups, beat_interval_s=0.05)
    process = started(built, folder)
    wait_for(lambda: any(beat.done > 0 for beat in read_answer(folder).beats))
    for child in psutil.Process(process.pid).children():
        child.send_signal(signal.SIGSEGV)
    process.communicate(timeout=20)
    dead, alive = read_answer(folder).results
    assert process.returncode == 0
    assert dead.errors == ["the process that measured was killed: Segmentation fault"]
    assert (dead.frames, alive.errors, len(alive.frames)) == ([], [], 6)


def test_two_runners_never_share_a_session(built, run, long_session):
    process = started(built, long_session)
    wait_for(lambda: read_answer(long_session).beats)
    second = run(long_session)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert second.code == 2
    assert "another runner is at this session" in second.errors


def test_it_says_what_device_it_is(exported, run, tmp_path):
    folder = write_session(tmp_path / "s", [exported], [[shell_job(exported)]])
    (result,) = run(folder, "--device", "android:R5CT10 'x\" y", "--simulated").results
    assert (result.device.name, result.device.kind) == ("android:R5CT10 'x\" y", "android")
    assert result.device.simulated
    assert result.device.memory_bytes == psutil.virtual_memory().total


def test_the_stripped_runner_is_small(built, tmp_path):
    subprocess.run(["strip", "-o", tmp_path / "stripped", built / "pocketgan-runner"], check=True)
    assert (tmp_path / "stripped").stat().st_size < 1_000_000
