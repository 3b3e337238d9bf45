"""Made-up but lifelike results for tests of what reads them: three bundles, two runtimes, noise with a memory."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter, ImageOps

VERSIONS = {"onnxruntime": "1.23.2", "executorch": "1.4.1", "coreml": "9.0"}
# entry id: target, runtime, minimum OS, factor on the frame time, floor in dB
ENTRIES = {
    "onnx-fp32": ("onnx", "onnxruntime", None, 1.0, 100),
    "executorch-xnnpack-fp32": ("executorch-xnnpack", "executorch", None, 0.82, 100),
    "coreml-fp16": ("coreml", "coreml", "iOS 16", 0.5, 60),
}
# name: role, trained, frame time in ms, MACs, parameters, bytes, quality
BUNDLES: dict[str, tuple[str, bool, float, int, int, int, dict[str, float]]] = {
    "student": (
        "student", True, 11.9, 4_730_000_000, 680_000, 2_780_000,
        {"l1": 0.1124, "identity_l1": 0.3127, "teacher_l1": 0.1018},
    ),
    "teacher": (
        "teacher", True, 71.0, 36_900_000_000, 7_830_000, 31_400_000,
        {"l1": 0.1018, "identity_l1": 0.3127},
    ),
    "resnet9": ("unpruned", False, 108.5, 56_800_000_000, 11_378_000, 45_600_000, {}),
}  # fmt: skip
DEVICE = {
    "name": "Pixel 8", "model": "shiba", "kind": "android", "os": "Android 15", "os_build": "AP4A.250205.002",
    "cpu": "Tensor G3", "cores": 9, "memory_bytes": 8_000_000_000, "simulated": False,
}  # fmt: skip


def file_record(path: str, size: int) -> dict[str, Any]:
    return {"path": path, "bytes": size, "sha256": hashlib.sha256(path.encode()).hexdigest()}


def manifest(name: str) -> dict[str, Any]:
    """A manifest of the bundle that BUNDLES describes."""
    role, trained, _, macs, params, size, quality = BUNDLES[name]
    tensor = {
        "name": "image", "shape": [1, 3, 256, 256], "layout": "NCHW", "dtype": "float32",
        "value_range": [-1, 1], "colour_space": "RGB",
    }  # fmt: skip
    entries = []
    for entry_id, (target, runtime, minimum_os, _, floor) in ENTRIES.items():
        halved = size // 2 if entry_id.endswith("fp16") else size
        path = f"models/{entry_id}/model.bin"
        entries.append(
            {
                "id": entry_id, "target": target, "precision": entry_id.rsplit("-", 1)[1], "runtime": runtime,
                "runtime_version": VERSIONS[runtime], "minimum_os": minimum_os, "golden": "image",
                "delegation": {"delegated_fraction": 0.964, "subgraphs": 2, "fallen": {"aten.pad": 3}}
                if runtime == "executorch" else None,
                "parity": {"psnr_db": floor + 21.4, "max_abs_error": 2.3e-6, "floor_db": floor, "runtime": runtime},
                "components": [
                    {
                        "name": "generator", "entry_point": path, "files": [file_record(path, halved)],
                        "inputs": [tensor], "outputs": [tensor], "repeat": 1,
                    }
                ],
            }
        )  # fmt: skip
    golden = {"name": "image", "dtype": "float32", "shape": [1, 3, 256, 256]}
    return {
        "format_version": "1.0", "name": name, "role": role, "trained": trained, "quality": quality,
        "cost": {"params": params, "macs": macs, "macs_by_output": macs}, "entries": entries,
        "golden": [
            {
                "id": "image",
                "inputs": [{**golden, "file": file_record("golden/in.bin", 786432)}],
                "outputs": [{**golden, "file": file_record("golden/out.bin", 786432)}],
            }
        ],
    }  # fmt: skip


def frame_times_ns(mean_ms: float, count: int, seed: int) -> list[int]:
    """Autocorrelated noise of 3 %, a slow drift, and now and then a frame that the scheduler kept waiting."""
    random = np.random.default_rng(seed)
    noise = np.zeros(count)
    for index in range(1, count):
        noise[index] = 0.8 * noise[index - 1] + random.normal(0, 0.012)
    drift = np.linspace(0, 0.02, count)
    late = (random.random(count) < 0.02) * random.exponential(0.3, count)
    return [int(value) for value in mean_ms * 1e6 * (1 + noise + drift + late + np.abs(random.normal(0, 0.01, count)))]


def result(name: str, entry_id: str, count: int = 250, **changes: Any) -> dict[str, Any]:
    """A result record of one bundle's entry; `changes` replace fields of it."""
    _, runtime, _, factor, _ = ENTRIES[entry_id]
    mean_ms = BUNDLES[name][2] * factor
    times = frame_times_ns(mean_ms, count, seed=zlib.crc32(f"{name} {entry_id}".encode()))
    frames, clock = [], 1_000_000_000
    for index, time_ns in enumerate(times):
        pre, post = int(0.21e6), int(0.17e6)
        frames.append(
            {
                "start_ns": clock, "pre_ns": pre, "inference_ns": time_ns - pre - post, "post_ns": post,
                "round": index * 5 // count,
            }
        )  # fmt: skip
        clock += time_ns
    return {
        "record": "result", "schema_version": "1.0", "session": "2026-11-21T09:30:00Z-7f3a",
        "job": {"bundle": digest(name), "entry": entry_id, "iterations": count, "rounds": 5, "threads": 4},
        "bundle_name": name, "device": DEVICE, "runtime": runtime, "runtime_version": VERSIONS[runtime],
        "app_build": "release", "started_at": f"2026-11-21T09:30:{len(name):02d}Z",
        "cold_load_ns": [int(mean_ms * 4.1e6), int(mean_ms * 4.3e6), int(mean_ms * 3.9e6)],
        "warm_load_ns": [int(mean_ms * 1.2e6)], "first_inference_ns": [int(mean_ms * 1.9e6)], "frames": frames,
        "memory": {"runtime_bytes": 61_000_000, "peak_bytes": 61_000_000 + int(BUNDLES[name][5] * 2.6)},
        "conditions": [
            {"at_ns": 0, "thermal_state": "nominal", "temperature_c": 31.2, "battery_percent": 81, "charging": False},
            {"at_ns": 9, "thermal_state": "nominal", "temperature_c": 33.9, "battery_percent": 80, "charging": False},
        ],
        "parity": {"psnr_db": 118.2, "max_abs_error": 3.1e-6}, "errors": [],
        **changes,
    }  # fmt: skip


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def bundle(name: str, with_samples: bool = True, **changes: Any) -> dict[str, Any]:
    """A bundle record; `changes` replace fields of its manifest."""
    role, trained = BUNDLES[name][:2]
    samples = sample_rows(role) if with_samples and trained else []
    return {"record": "bundle", "digest": digest(name), "manifest": {**manifest(name), **changes}, "samples": samples}


@cache
def _photos() -> list[Image.Image]:
    from skimage import data

    boxes = ((data.astronaut(), (110, 0)), (data.coffee(), (180, 60)), (data.chelsea(), (90, 20)))
    crops = [photo[y : y + 256, x : x + 256] for photo, (x, y) in boxes]
    return [Image.fromarray(crop).resize((128, 128), Image.Resampling.LANCZOS) for crop in crops]


def sample_rows(role: str) -> list[dict[str, str]]:
    """Photos and a filter that stands for the target; teacher and student come ever less close to it."""
    rows = []
    for photo in _photos():
        target = ImageOps.posterize(photo.filter(ImageFilter.ModeFilter(7)), 3)
        teacher = target.filter(ImageFilter.GaussianBlur(0.7))
        output = (
            teacher if role == "teacher" else Image.blend(teacher.filter(ImageFilter.GaussianBlur(0.6)), photo, 0.12)
        )
        pictures = {"input": photo, "target": target, "teacher": teacher, "output": output}
        rows.append({key: _png(picture) for key, picture in pictures.items()})
    return rows


def _png(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def write_records(path: Path, records: list[dict[str, Any]]) -> Path:
    """Write a results file."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def usual_records(count: int = 250) -> list[dict[str, Any]]:
    """Three bundles, each measured in ONNX Runtime and ExecuTorch; the Core ML form is not measured."""
    measured = [result(name, entry, count) for entry in ("onnx-fp32", "executorch-xnnpack-fp32") for name in BUNDLES]
    return [*(bundle(name) for name in BUNDLES), *measured]


def camera_result(
    name: str,
    entry_id: str = "onnx-fp32",
    *,
    seconds: int = 60,
    shown_every: int = 2,
    delay_ms: float = 80.0,
    dropped: int = 3,
    **changes: Any,
) -> dict[str, Any]:
    """A result of mode camera: a frame of `shown_every` pictures of a display of 60 Hz, each `delay_ms` after its
    capture, give or take 2 ms."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    picture_ns, frames = int(1e9 / 60), []
    for index in range(60 * seconds // shown_every):
        display = 2_000_000_000 + index * shown_every * picture_ns
        capture = display - int(delay_ms * 1e6 + random.normal(0, 2e6))
        frames.append(
            {
                "start_ns": capture + 5_000_000, "pre_ns": 400_000, "inference_ns": int(9e6), "post_ns": 300_000,
                "round": 0, "capture_ns": capture, "display_ns": display, "display_estimated": False,
            }
        )  # fmt: skip
    job = {
        "bundle": digest(name), "entry": entry_id, "mode": "camera", "via": "app", "iterations": None,
        "duration_s": seconds, "rounds": 1,
    }  # fmt: skip
    return result(
        name, entry_id, schema_version="1.2", job=job, frames=frames, dropped_frames=dropped,
        conditions=[{"at_ns": 0, "thermal_state": "nominal", "charging": False, "refresh_hz": 60.0}], **changes,
    )  # fmt: skip


def energy_result(
    name: str,
    entry_id: str = "onnx-fp32",
    *,
    seconds: int = 120,
    frame_ms: float = 20.0,
    watts: float = 4.0,
    noise: float = 0.05,
    **changes: Any,
) -> dict[str, Any]:
    """A sustained result of an energy Job: the gauge tells `watts`, give or take `noise` of it with a memory, once a
    second; frames come one after the other."""
    random = np.random.default_rng(zlib.crc32(f"{name} {entry_id} {watts}".encode()))
    frame_ns, start = int(frame_ms * 1e6), 1_000_000_000
    frames = [
        {"start_ns": start + index * frame_ns, "pre_ns": 0, "inference_ns": frame_ns, "post_ns": 0, "round": 0}
        for index in range(int(seconds * 1e9) // frame_ns)
    ]
    states, off, charge = [], 0.0, 3200.0
    for second in range(seconds):
        off = 0.5 * off + random.normal(0, noise)
        volts = 3.95 - 0.0001 * second
        amperes = round(watts * (1 + off) / volts, 3)
        charge -= amperes / 3.6
        states.append(
            {
                "at_ns": start + int(second * 1e9) + 1_000_000, "thermal_state": "nominal", "charging": False,
                "battery_percent": 80, "current_a": amperes, "voltage_v": round(volts, 3),
                "charge_mah": round(charge, 1), "power_w": amperes * volts, "screen_on": True,
            }
        )  # fmt: skip
    job = {
        "bundle": digest(name), "entry": entry_id, "mode": "sustained", "via": "app", "iterations": None,
        "duration_s": seconds, "rounds": 1, "energy": True,
    }  # fmt: skip
    seen = {"at": "2026-11-21T09:30:00+00:00", "usb": False, "charger": False, "simulated": False}
    usual = {"job": job, "frames": frames, "conditions": states, "charger_checks": [seen, seen]}
    return result(name, entry_id, schema_version="1.2", **{**usual, **changes})
