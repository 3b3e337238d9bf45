"""Made-up results of many phones that opened the page: constant frame times, so that every figure is arithmetic."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import synthetic_results as synthetic

ENTRY = "onnx-fp32"
CHROME = "Chrome 156"


def digest(model: str) -> str:
    return hashlib.sha256(model.encode()).hexdigest()


def bundle(model: str) -> dict[str, Any]:
    """The bundle record of a student of that name."""
    record = synthetic.bundle("student", with_samples=False)
    return {**record, "digest": digest(model), "manifest": {**record["manifest"], "name": model}}


def phone(number: int, model: str = "Pixel 8", os: str = "Android 16", **changes: Any) -> dict[str, Any]:
    """The device `web:<number>`."""
    return {
        "name": f"web:{number:08x}", "model": model, "kind": "web", "os": os, "os_build": "", "cpu": "arm", "cores": 8,
        "memory_bytes": 8_000_000_000, "simulated": False, **changes,
    }  # fmt: skip


def result(
    model: str,
    device: dict[str, Any],
    *run_fps: float,
    provider: str = "wasm",
    threads: int = 1,
    page: dict[str, Any] | None = None,
    **changes: Any,
) -> list[dict[str, Any]]:
    """A run for each of `run_fps`, of 12 frames that take exactly that long."""
    records = []
    for run, fps in enumerate(run_fps):
        time_ns = round(1e9 / fps)
        frames = [
            {"start_ns": 1000 + at * time_ns, "pre_ns": 0, "inference_ns": time_ns, "post_ns": 0, "round": at // 6}
            for at in range(12)
        ]
        job = {
            "bundle": digest(model), "entry": ENTRY, "iterations": 12, "rounds": 2, "threads": threads, "run": run,
            "via": "page", "provider": provider,
        }  # fmt: skip
        seen = {"browser": CHROME, "isolated": True, "timer_step_ns": 5000, "gpu": "arm valhall", "threads": threads}
        record = synthetic.result(
            "student", ENTRY, schema_version="1.3", bundle_name=model, device=device, job=job, frames=frames,
            page={**seen, **(page or {})}, session=f"s-{device['name']}", memory=None, cold_load_ns=[],
            warm_load_ns=[], first_inference_ns=[], conditions=[{"at_ns": 0, "visible": True}],
        )  # fmt: skip
        records.append({**record, **changes})
    return records


def fleet(phones: Sequence[dict[str, Any]], models: Sequence[str]) -> list[dict[str, Any]]:
    """Every model on every phone, three runs each; a phone is 3 FPS faster than the one before, a model half as
    fast."""
    records = [bundle(model) for model in models]
    for place, device in enumerate(phones):
        for number, model in enumerate(models):
            fps = (60 + 3 * place) / 2**number
            records += result(model, device, fps, 0.98 * fps, 0.96 * fps)
    return records
