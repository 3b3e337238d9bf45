"""A program that carries out a session folder from a script, in a few milliseconds: the native runner's part in tests
of the host's side. It computes nothing.

`python -S replaying_runner.py PROGRAM FOLDER --device NAME [--simulated]`, as a `SimulatedPhone` with this `emulator`
calls it, or for the app `session FOLDER DEVICE_FILE`. `state/script.json` of the phone says what happens (see
replaying_phone.Script), `state/allowed` how many Jobs it may measure in all; `state/measured` gets a line for every Job
that it measured, which is "BUNDLE ENTRY COMPONENT RUN".
"""

from __future__ import annotations

import json
import os
import sys
import time
from io import FileIO
from pathlib import Path
from typing import Any

MS = 1_000_000


def main(folder: Path, state: Path) -> None:
    script, session = read(state / "script.json"), read(folder / "session.json")
    results = folder / "results.jsonl"
    answered = go_on_after(results)
    with results.open("ab", buffering=0) as out:
        write(out, {"record": "beat", "at_ns": time.monotonic_ns(), "detail": "starting"})
        for number, group in enumerate(session["groups"]):
            jobs = [job for job in group["jobs"] if job not in answered]
            records = [record_of(session, job, folder, f"{os.getpid()}-{number}") for job in jobs]
            take_turns(records, script, state)
            for record in records:
                time.sleep(script["pause_s"])
                wait_until_allowed(state)
                end_as_scripted(record, script, state, out)
        write(out, {"record": "end", "error": script["ends_with"]})


def wait_until_allowed(state: Path) -> None:
    allowed, measured = state / "allowed", state / "measured"
    while allowed.exists() and measured.exists() and measured.read_text().count("\n") >= read(allowed):
        time.sleep(0.02)


def read(path: Path) -> Any:
    return json.loads(path.read_bytes())


def go_on_after(results: Path) -> list[Any]:
    """The Jobs that are answered in whole lines; a line that a death left half is removed."""
    content = results.read_bytes() if results.exists() else b""
    *whole, half = content.split(b"\n")
    if half:
        results.write_bytes(content[: -len(half)])
    lines = [json.loads(line) for line in whole]
    return [line["job"] for line in lines if line["record"] == "result"]


def record_of(session: Any, job: Any, folder: Path, process: str) -> dict[str, Any]:
    manifest = read(folder / "bundles" / job["bundle"] / "manifest.json")
    return {
        "record": "result",
        "schema_version": job["schema_version"],
        "session": session["name"],
        "job": job,
        "bundle_name": manifest["name"],
        "device": DEVICE,
        "runtime": "onnxruntime",
        "runtime_version": "1.29.0",
        "app_build": "release",
        "started_at": "2026-11-26T05:30:02Z",
        "process": process,
        "warmup": {"iterations": max(10, job["warmup"]["iterations"]), "duration_ns": 100 * MS, "steady": True},
        "cool_down": {"waited_s": 0.0, "cool": True} if job["cool_down"] else None,
        "cold_load_ns": [400 * MS] * job["cold_repeats"],
        "parity": {"psnr_db": 101.5, "max_abs_error": 0.00001},
        "parity_after": {"psnr_db": 58.0, "max_abs_error": 0.01},
        "frames": [],
    }


def take_turns(records: list[dict[str, Any]], script: Any, state: Path) -> None:
    """Frames one after the other on one clock, the models back to front in every second round."""
    now = time.monotonic_ns()
    played = state / "played"
    count = read(played) if played.exists() else 0
    times = script["frames_ns"]
    for number in range(max((record["job"]["rounds"] for record in records), default=0)):
        for record in records if number % 2 == 0 else records[::-1]:
            slower = script["slower"].get(record["bundle_name"], 1)
            for _ in range(frames_of(record["job"], number)):
                time_ns = round(times[count % len(times)] * slower)
                frame = {"start_ns": now, "pre_ns": 0, "inference_ns": time_ns, "post_ns": 0, "round": number}
                record["frames"].append(frame)
                now += time_ns
                count += 1
    played.write_text(str(count))


def frames_of(job: Any, number: int) -> int:
    """As bench/schema/conformance/rounds.json splits them."""
    rounds = min(job["rounds"], job["iterations"])
    return int(job["iterations"] // rounds + (number < job["iterations"] % rounds)) if number < rounds else 0


def end_as_scripted(record: dict[str, Any], script: Any, state: Path, out: FileIO) -> None:
    """Write the Result, as it is or as the script spoils it; what dies once is well the next time."""
    name = record["bundle_name"]
    fault = script["faults"].get(name)
    if fault in ("dies", "dies once", "half a line once") and not already(state / f"died of {name}", fault):
        if fault.startswith("half"):
            out.write(json.dumps(record).encode()[:300])
        os._exit(11)
    if fault == "hangs":
        time.sleep(600)
    if fault == "too fast":
        record["frames"][1]["inference_ns"] = 1
    if fault == "clock jump":
        record["frames"][-1]["start_ns"] += 3600 * 1000 * MS
    if fault == "wrong output":
        record["parity_after"]["psnr_db"] = 4.0
    with (state / "measured").open("a") as file:
        job = record["job"]
        file.write(f"{name} {job['entry']} {job['component'] or '-'} {job['run']}\n")
    if fault == "corrupt":
        out.write(json.dumps(record).encode().replace(b'"frames"', b'"fra\xffmes"') + b"\n")
    else:
        write(out, record)


def already(path: Path, fault: str) -> bool:
    if fault == "dies" or not path.exists():
        path.touch()
        return False
    return True


def write(out: FileIO, record: dict[str, Any]) -> None:
    out.write(json.dumps(record).encode() + b"\n")


DEVICE = {
    "name": "as it calls itself",
    "model": "Phone 1",
    "kind": "android",
    "os": "Android 13",
    "os_build": "TQ3A",
    "cpu": "Chip 1",
    "cores": 8,
    "memory_bytes": 8_000_000_000,
}

if __name__ == "__main__":
    main(Path(sys.argv[2]), Path(os.environ["ADB_DEVICE"]) / "state")
