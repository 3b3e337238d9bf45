from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketgan.bench.check import left_out, run_entry, verify_bundle
from pocketgan.bench.devices import all_devices, find_device, local
from pocketgan.bench.devices.cool_down import wait_until_cool
from pocketgan.bench.devices.local import LocalDevice
from pocketgan.bench.runners.file_cache import cached_share
from pocketgan.bench.runners.process import run_plan
from pocketgan.bench.runners.timing import SHORTEST_THREAD_CHECK_S
from pocketgan.bench.schema.job import CoolDown, Job, Warmup
from pocketgan.bench.schema.result import Conditions
from pocketgan.bundle.manifest import Entry
from pocketgan.bundle.reader import open_bundle
from pocketgan.errors import BundleError, DataError, DeviceError

ENTRY = "onnx-fp32"


def job_for(digest: str, entry: str = ENTRY, **options: object) -> Job:
    fields = {"warmup": Warmup(iterations=1, timeout_s=0), "iterations": 6, "rounds": 3, **options}
    return Job.model_validate({"bundle": digest, "entry": entry, **fields})


def test_it_says_what_it_is() -> None:
    info = LocalDevice().describe()
    assert (info.kind, info.simulated) == ("local", False)
    assert info.cores >= 1
    assert info.memory_bytes > 1 << 28


def test_devices_are_found_by_name() -> None:
    assert [device.name for device in all_devices()] == ["local"]
    assert find_device("local").name == "local"
    with pytest.raises(DeviceError, match="no device 'toaster'; known devices: local"):
        find_device("toaster")


def test_it_runs_only_what_this_host_can(make_bundle: Callable[..., Path]) -> None:
    def entry_of(**options: str) -> Entry:
        with open_bundle(make_bundle(**options)) as bundle:
            return bundle.manifest.entries[0]

    device = LocalDevice()
    device.runtimes = ("onnxruntime", "executorch")
    assert device.runs(entry_of())
    assert device.runs(entry_of(runtime="executorch", target="executorch-xnnpack"))
    assert not device.runs(entry_of(runtime="executorch", target="executorch-vulkan"))
    assert not device.runs(entry_of(runtime="coreml", target="coreml"))
    device.runtimes = ("executorch",)
    assert not device.runs(entry_of())


def test_one_job_brings_raw_samples_and_circumstances(make_bundle: Callable[..., Path]) -> None:
    with open_bundle(make_bundle()) as bundle:
        result = LocalDevice().run(bundle, job_for(bundle.digest, cold_repeats=2))
    assert result.errors == []
    assert [frame.round for frame in result.frames] == [0, 0, 1, 1, 2, 2]
    assert all(frame.pre_ns > 0 and frame.inference_ns > 0 and frame.post_ns > 0 for frame in result.frames)
    assert len(result.cold_load_ns) == len(result.warm_load_ns) == len(result.first_inference_ns) == 2
    assert result.memory is not None
    assert result.memory.runtime_bytes <= result.memory.peak_bytes
    assert result.parity is not None
    assert result.parity.psnr_db is None or result.parity.psnr_db > 100
    assert len(result.conditions) >= 2
    assert result.conditions[0].at_ns < result.frames[0].start_ns < result.conditions[-1].at_ns
    assert result.runtime_version.startswith("1.")


def test_no_cold_repeats_means_no_loads_but_memory(make_bundle: Callable[..., Path]) -> None:
    with open_bundle(make_bundle()) as bundle:
        result = LocalDevice().run(bundle, job_for(bundle.digest, cold_repeats=0))
    assert result.cold_load_ns == result.warm_load_ns == result.first_inference_ns == []
    assert result.memory is not None


def test_compared_bundles_take_turns(make_bundle: Callable[..., Path]) -> None:
    ticks: list[tuple[int, str]] = []
    with open_bundle(make_bundle("a")) as a, open_bundle(make_bundle("b", layers=4)) as b:
        work = [(a, job_for(a.digest)), (b, job_for(b.digest))]
        first, second = LocalDevice().run_interleaved(work, session="s", tick=lambda *told: ticks.append(told))
    assert first.session == second.session == "s"
    assert sum(count for count, _ in ticks) == 12
    # Loads take longest where there are many entries: they are told, too.
    for name, result in (("a", first), ("b", second)):
        assert ticks.count((0, f"{name} onnx-fp32, its loads")) == len(result.cold_load_ns)
    marks = sorted([(f.start_ns, 0, f.round) for f in first.frames] + [(f.start_ns, 1, f.round) for f in second.frames])
    assert [mark[2] for mark in marks] == sorted(mark[2] for mark in marks)
    assert {mark[1] for mark in marks[:4]} == {0, 1}


def test_a_wrong_model_is_not_timed_and_does_not_stop_the_others(make_bundle: Callable[..., Path]) -> None:
    with open_bundle(make_bundle("wrong", wrong_by=0.2)) as wrong, open_bundle(make_bundle("right")) as right:
        first, second = LocalDevice().run_interleaved([(wrong, job_for(wrong.digest)), (right, job_for(right.digest))])
    assert first.frames == []
    assert "wrong output" in first.errors[0]
    assert first.parity is not None
    assert first.parity.psnr_db == pytest.approx(20, abs=0.1)
    assert len(second.frames) == 6
    assert second.errors == []


def test_a_runner_that_dies_is_an_error_in_the_result(
    make_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "import sys; sys.exit('out of luck')"
    monkeypatch.setattr(local, "run_plan", functools.partial(run_plan, command=[sys.executable, "-c", script]))
    with open_bundle(make_bundle()) as bundle:
        result = LocalDevice().run(bundle, job_for(bundle.digest))
    assert result.frames == []
    assert result.errors == ["the onnxruntime runner ended early with exit code 1; its last lines: out of luck"]


def test_frames_from_before_a_crash_do_not_count(
    make_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "import os\n"
        "from pocketgan.bench.runners import onnxruntime\n"
        "class Fragile(onnxruntime.OnnxRuntimeEngine):\n"
        "    def load(self, model):\n"
        "        run, calls = super().load(model), []\n"
        "        def counted(inputs):\n"
        "            calls.append(1)\n"
        "            if len(calls) == 7: os.abort()\n"
        "            return run(inputs)\n"
        "        return counted\n"
        "onnxruntime.serve(Fragile())\n"
    )
    ticks: list[int] = []
    monkeypatch.setattr(local, "run_plan", functools.partial(run_plan, command=[sys.executable, "-c", script]))
    with open_bundle(make_bundle()) as bundle:
        (result,) = LocalDevice().run_interleaved(
            [(bundle, job_for(bundle.digest))], tick=lambda count, detail: ticks.append(count)
        )
    assert [count for count in ticks if count] == [2, 2]
    assert result.frames == []
    assert result.cold_load_ns
    assert "killed by SIGABRT" in result.errors[0]


def test_one_thread_is_one_thread_and_more_are_noticed(
    make_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "from pocketgan.bench.runners import onnxruntime\n"
        "class Greedy(onnxruntime.OnnxRuntimeEngine):\n"
        "    def start(self, threads, compute_units='all'):\n"
        "        return super().start(2)\n"
        "onnxruntime.serve(Greedy())\n"
    )
    with open_bundle(make_bundle(size=256, layers=8, image=False)) as bundle:
        job = job_for(bundle.digest, iterations=20)
        assert LocalDevice().run(bundle, job).errors == []
        monkeypatch.setattr(local, "run_plan", functools.partial(run_plan, command=[sys.executable, "-c", script]))
        (error,) = LocalDevice().run(bundle, job).errors
        assert "threads though 1 were asked for" in error


def test_every_mode_says_what_came_of_its_rules(make_bundle: Callable[..., Path]) -> None:
    gate = CoolDown(maximum_temperature_c=200, timeout_s=1)
    lengths: dict[str, dict[str, Any]] = {
        "latency": {},
        "throughput": {},
        "sustained": {"iterations": None, "duration_s": 1.2},
    }
    with open_bundle(make_bundle()) as bundle:
        for mode, length in lengths.items():
            result = LocalDevice().run(bundle, job_for(bundle.digest, mode=mode, cool_down=gate, **length))
            assert result.errors == []
            assert result.process
            assert result.warmup is not None
            assert result.warmup.iterations == 1
            assert result.cool_down is not None
            assert result.cool_down.cool in (True, None)
            assert all(0 <= share <= 1 for share in result.file_cache)
            assert all((frame.end_ns is not None) == (mode == "throughput") for frame in result.frames)
            assert len(result.frames) > 6 if mode == "sustained" else len(result.frames) == 6


def test_models_that_took_turns_name_the_same_process(make_bundle: Callable[..., Path]) -> None:
    with open_bundle(make_bundle("a")) as a, open_bundle(make_bundle("b")) as b:
        work = [(a, job_for(a.digest)), (b, job_for(b.digest))]
        first, second = LocalDevice().run_interleaved(work)
        assert first.process == second.process != LocalDevice().run(a, job_for(a.digest)).process
        alone: dict[str, Any] = {"mode": "sustained", "iterations": None, "duration_s": 0.1}
        first, second = LocalDevice().run_interleaved(
            [(a, job_for(a.digest, **alone)), (b, job_for(b.digest, **alone))]
        )
        assert first.process != second.process


def test_a_hot_device_is_waited_for_and_the_result_proves_it() -> None:
    readings = [Conditions(at_ns=0, temperature_c=celsius) for celsius in (71, 64, 49)]
    rule = CoolDown(maximum_temperature_c=50, timeout_s=10)
    waits: list[float] = []
    cooled, state = wait_until_cool(rule, iter(readings).__next__, waits.append)
    assert (cooled.cool, cooled.waited_s, len(waits), state.temperature_c) == (True, 2.0, 2, 49)
    hot = Conditions(at_ns=0, thermal_state="serious")
    cooled, _ = wait_until_cool(CoolDown(maximum_thermal_state="fair", timeout_s=3), lambda: hot, waits.append)
    assert (cooled.cool, cooled.waited_s) == (False, 3.0)
    cooled, _ = wait_until_cool(rule, lambda: Conditions(at_ns=0), waits.append)
    assert (cooled.cool, cooled.waited_s) == (None, 0.0)


def test_the_file_cache_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(bytes(1 << 20))
    share = cached_share(path)
    if share is None:
        pytest.skip("this system does not tell")
    assert share == 1.0
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    dropped = cached_share(path)
    assert dropped is not None
    assert dropped <= share
    assert cached_share(tmp_path) == dropped
    assert cached_share(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"via": "app"}, "way to run via app"),
        ({"provider": "nnapi"}, "provider nnapi"),
        ({"clock": "pinned"}, "pinned clock"),
        ({"mode": "camera", "iterations": None, "duration_s": 5}, "mode camera"),
        ({"mode": "sustained", "iterations": None, "duration_s": 5, "energy": True}, "battery's gauge"),
    ],
)
def test_what_only_a_phone_has_is_refused_in_one_line(
    make_bundle: Callable[..., Path], changes: dict[str, Any], says: str
) -> None:
    with open_bundle(make_bundle()) as bundle, pytest.raises(DeviceError, match=f"this computer has no {says};"):
        LocalDevice().run(bundle, Job(bundle=bundle.digest, entry="onnx-fp32", **changes))


def test_the_lock_names_its_owner() -> None:
    with LocalDevice().lock(), pytest.raises(DeviceError, match=rf"\(process {os.getpid()}\)"), LocalDevice().lock():
        pass
    with LocalDevice().lock():
        pass


def test_the_lock_of_a_killed_owner_is_free() -> None:
    script = (
        "import time\nfrom pocketgan.bench.devices.local import LocalDevice\n"
        "with LocalDevice().lock():\n    print('locked', flush=True)\n    time.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "locked\n"
    with pytest.raises(DeviceError, match=rf"process {owner.pid}"), LocalDevice().lock():
        pass
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    with LocalDevice().lock():
        pass


def test_verify_finds_what_differs_from_golden(make_bundle: Callable[..., Path]) -> None:
    assert verify_bundle(make_bundle("right"), LocalDevice()) == []
    (problem,) = verify_bundle(make_bundle("wrong", wrong_by=0.2), LocalDevice(), "onnx-fp32")
    assert problem.startswith("onnx-fp32: wrong output: 20.0 dB")
    with pytest.raises(DeviceError, match="has no entry onnx-int8; it has: onnx-fp32"):
        verify_bundle(make_bundle("other"), LocalDevice(), "onnx-int8")
    with pytest.raises(DeviceError, match=r"none of the entries of .*coreml-fp32"):
        verify_bundle(make_bundle("phone", runtime="coreml", target="coreml"), LocalDevice())


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac runs it")
def test_a_package_of_core_ml_is_never_run_where_there_is_no_core_ml(make_bundle: Callable[..., Path]) -> None:
    with (
        open_bundle(make_bundle("phone", runtime="coreml", target="coreml")) as bundle,
        pytest.raises(BundleError, match="does not turn pictures into pictures on this host"),
    ):
        list(run_entry(bundle, "coreml-fp32", [np.zeros((16, 16, 3), np.uint8)]))


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("executorch-coreml", "an iPhone or a Mac"),
        ("executorch-vulkan", "an Android phone"),
        ("executorch-qualcomm", "an Android phone"),
    ],
)
def test_a_program_for_a_phone_is_left_out_and_never_run(
    make_bundle: Callable[..., Path], target: str, place: str
) -> None:
    path = make_bundle("phone", runtime="executorch", target=target)
    assert left_out(path, LocalDevice()) == {f"{target}-fp32": f"it runs on {place}"}
    with pytest.raises(DeviceError, match="none of the entries"):
        verify_bundle(path, LocalDevice())
    with open_bundle(path) as bundle, pytest.raises(BundleError, match="does not turn pictures into pictures"):
        list(run_entry(bundle, f"{target}-fp32", [np.zeros((16, 16, 3), np.uint8)]))


def test_an_entry_runs_on_pictures(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    identity = np.random.default_rng(2).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
    with open_bundle(make_bundle()) as bundle:
        outputs = list(run_entry(bundle, None, identity))
        again = list(run_entry(bundle, ENTRY, identity[:1]))
        with pytest.raises(DataError, match=r"takes pictures of shape \(16, 16, 3\)"):
            list(run_entry(bundle, ENTRY, [np.zeros((8, 8, 3), np.uint8)]))
        with pytest.raises(BundleError, match="has no entry onnx-int8"):
            list(run_entry(bundle, "onnx-int8", identity))
    assert [output.shape for output in outputs] == [(16, 16, 3)] * 3
    assert all(output.dtype == np.uint8 for output in outputs)
    assert np.array_equal(outputs[0], again[0])
    assert not np.array_equal(outputs[0], outputs[1])


@pytest.fixture(scope="module")
def lowered() -> tuple[bytes, np.ndarray, np.ndarray]:
    """A program of three convolutions at 64x64 for XNNPACK, its input and its source module's output."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("executorch")
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            pairs = pairwise((3, 64, 64, 3))
            self.layers = torch.nn.ModuleList([torch.nn.Conv2d(a, b, 3, padding=1) for a, b in pairs])

        def forward(self, x: Any) -> Any:
            for layer in self.layers:
                x = layer(x)
            return x

    net, x = Net().eval(), torch.rand(1, 3, 64, 64) * 2 - 1
    program = to_edge_transform_and_lower(torch.export.export(net, (x,)), partitioner=[XnnpackPartitioner()])
    return bytes(program.to_executorch().buffer), x.numpy(), net(x).detach().numpy()


@pytest.mark.slow
def test_executorch_runs_on_one_thread_and_keeps_quiet(
    lowered: tuple[bytes, np.ndarray, np.ndarray], make_bundle: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    model, x, y = lowered
    options: dict[str, Any] = {
        "size": 64,
        "runtime": "executorch",
        "target": "executorch-xnnpack",
        "golden": (x, y),
        "model": model,
    }
    with open_bundle(make_bundle(**options)) as bundle:
        result = LocalDevice().run(bundle, job_for(bundle.digest, "executorch-xnnpack-fp32", iterations=300))
    assert result.errors == []
    assert len(result.frames) == 300
    assert result.parity is not None
    assert result.parity.psnr_db is None or result.parity.psnr_db > 100
    seconds = sum(frame.inference_ns for frame in result.frames) / 1e9
    assert seconds > SHORTEST_THREAD_CHECK_S, "too short to tell how many threads ran"
    assert capfd.readouterr().err == ""
