"""The Kotlin harness carries out whole sessions on bundles that this project's exporter wrote."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jvm_phone import INFO, JvmPhone, JvmTransport

from pocketgan import api
from pocketgan.bench.devices.local import LocalDevice
from pocketgan.bench.schema.job import Job, Via, Warmup
from pocketgan.bundle.reader import Bundle, open_bundle

SUSTAINED: dict[str, Any] = {"mode": "sustained", "iterations": None, "duration_s": 0.5, "rounds": 1}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    """A small generator, as tensors and as pixels."""
    path = tmp_path_factory.mktemp("exported") / "small.pgb"
    api.export("resnet6", "onnx", path, ngf=4, input=(3, 32, 32), name="small", io=["tensor", "image"], workers=1)
    with open_bundle(path) as opened:
        yield opened


@pytest.fixture
def transport(tmp_path: Path) -> Iterator[JvmTransport]:
    (tmp_path / "session").mkdir()
    transport = JvmTransport(tmp_path / "session")
    yield transport
    transport.stop()


@pytest.fixture
def phone(transport: JvmTransport, tmp_path: Path) -> JvmPhone:
    return JvmPhone(transport, lock_folder=tmp_path, sleep=lambda seconds: time.sleep(min(seconds, 0.05)))


def _job(bundle: Bundle, entry: str = "onnx-fp32", via: Via = "app", **changes: Any) -> Job:
    asked: dict[str, Any] = {"iterations": 6, "rounds": 3, "warmup": Warmup(timeout_s=0.2), **changes}
    return Job(bundle=bundle.digest, entry=entry, via=via, **asked)


def test_every_mode_and_contract_is_measured_and_believed(phone: JvmPhone, transport: JvmTransport, bundle) -> None:
    """The host's own checks (bench/devices/soundness.py) find nothing wrong with what Kotlin measured."""
    tensors, pixels = _job(bundle), _job(bundle, "onnx-fp32-image")
    groups = [[tensors, pixels], [_job(bundle, mode="throughput")], [_job(bundle, provider="cpu", **SUSTAINED)]]
    results = phone.run_groups([[(bundle, job) for job in group] for group in groups], session="s")
    assert [result.errors for result in results] == [[]] * 4
    assert [result.job for result in results] == [job for group in groups for job in group]
    assert transport.starts == 1
    assert all(result.device == INFO for result in results)
    assert len({result.process for result in results}) == 3
    latency, image, throughput, sustained = results
    assert all(frame.pre_ns > 0 and frame.post_ns > 0 for frame in latency.frames)
    # Pixels go in and out as they are.
    assert all(frame.pre_ns == frame.post_ns == 0 for frame in image.frames)
    assert all(frame.end_ns is not None for frame in throughput.frames)
    assert sustained.placement.requested == "cpu"
    assert "CPUExecutionProvider" in sustained.placement.registered
    for result in results:
        # Every node ran on the only provider that a JVM has, so there is nothing to time beside it.
        assert result.placement is not None
        planned = result.placement.planned or {}
        assert list(planned) == ["CPUExecutionProvider"]
        assert planned["CPUExecutionProvider"] > 10
        assert result.placement.cpu_ns is None
        assert result.memory is not None
        assert result.memory.peak_bytes > result.memory.runtime_bytes > 0
    assert [len(times) for times in (latency.cold_load_ns, latency.warm_load_ns, latency.first_inference_ns)] == [1] * 3
    # The same file again, in the same process.
    assert throughput.cold_load_ns == []


def test_a_bundle_is_compared_with_itself(phone: JvmPhone, bundle) -> None:
    results = phone.run_groups([[(bundle, _job(bundle))] * 2])
    assert [(result.errors, len(result.frames)) for result in results] == [([], 6)] * 2
    assert results[0].frames != results[1].frames


def test_parity_is_what_the_python_runner_measures(phone: JvmPhone, bundle, tmp_path: Path) -> None:
    local = LocalDevice(lock_folder=tmp_path)
    # Two builds of one runtime: float32 rounds in its last digits, pixels by one level.
    for entry, tolerance in (("onnx-fp32", 2e-6), ("onnx-fp32-image", 1)):
        ours = phone.run(bundle, _job(bundle, entry)).parity
        theirs = local.run(bundle, _job(bundle, entry, via="process")).parity
        assert ours.max_abs_error == pytest.approx(theirs.max_abs_error, abs=tolerance)
        assert (ours.psnr_db or 200) == pytest.approx(theirs.psnr_db or 200, abs=12)


def test_a_provider_that_is_not_there_is_an_error_of_its_job(phone: JvmPhone, bundle) -> None:
    jobs = [_job(bundle, provider="nnapi"), _job(bundle)]
    refused, measured = phone.run_groups([[(bundle, job)] for job in jobs])
    assert refused.frames == []
    assert "has no provider nnapi" in refused.errors[0]
    assert measured.errors == []


def test_a_killed_harness_goes_on_and_measures_nothing_twice(transport: JvmTransport, bundle, tmp_path: Path) -> None:
    def sleep_or_kill(_: float) -> None:
        time.sleep(0.05)
        if transport.starts == 1 and b'"record":"result"' in transport.read(0):
            transport.stop()

    phone = JvmPhone(transport, lock_folder=tmp_path, sleep=sleep_or_kill)
    results = phone.run_groups([[(bundle, _job(bundle, run=run, **SUSTAINED))] for run in range(3)], session="s")
    assert [result.errors for result in results] == [[]] * 3
    assert [result.job.run for result in results] == [0, 1, 2]
    assert transport.starts == 2
    first, second, third = (result.process.rpartition("-")[0] for result in results)
    assert first != second == third
