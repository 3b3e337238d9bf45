"""The app carries out a session on a bundle that this project's exporter wrote, under Robolectric."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import android_app
import pytest

from pocketgan import api
from pocketgan.bench.devices.fault import Asked
from pocketgan.bench.devices.session_folder import write_session
from pocketgan.bench.devices.soundness import faults
from pocketgan.bench.schema.job import Job, Warmup
from pocketgan.bench.schema.result import Result
from pocketgan.bench.schema.session import Group, Session
from pocketgan.bundle.reader import open_bundle


@pytest.fixture(autouse=True)
def app() -> None:
    reason = android_app.left_out()
    if reason:
        pytest.skip(f"left out: android_harness/app ({reason})")


@pytest.fixture
def asked(tmp_path: Path) -> list[Job]:
    """What is asked of two models that take turns, in the session at tmp_path/session."""
    path = tmp_path / "small.pgb"
    api.export("resnet6", "onnx", path, ngf=4, input=(3, 32, 32), name="small", io=["tensor", "image"], workers=1)
    with open_bundle(path) as bundle:
        jobs = [
            Job(bundle=bundle.digest, entry=entry, via="app", iterations=6, rounds=3, warmup=Warmup(timeout_s=0.2))
            for entry in ("onnx-fp32", "onnx-fp32-image")
        ]
        groups = [Group(jobs=jobs)]
        write_session(tmp_path / "session", Session(name="s", groups=groups), [(bundle, job) for job in jobs], there={})
    return jobs


def test_the_app_measures_what_the_host_asks_and_the_host_believes_it(asked: list[Job], tmp_path: Path) -> None:
    session = tmp_path / "session"
    done = subprocess.run(
        android_app.tests_of("SessionServiceTest", "MemoryProcessTest", "SessionInstrumentationTest", session=session),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in (session / "results.jsonl").read_text().splitlines()]
    assert lines[-1] == {"record": "end", "error": None}
    found = [line for line in lines if line.pop("record") == "result"]
    results = [Result.model_validate_json(json.dumps(line), strict=True) for line in found]
    assert [result.job for result in results] == asked
    for result in results:
        expected = Asked(result.job, bundle_name="small", runtime="onnxruntime", device_kind="android")
        assert faults(result, expected) == []
        assert result.placement is not None
        assert "CPUExecutionProvider" in (result.placement.registered or [])
