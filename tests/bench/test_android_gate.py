"""The gate over a phone: scripted noisy samples go through the real adb and the whole host's side. `make bench` runs
the full numbers."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import replayed_comparisons
from adb_server import HOW_TO_GET_ADB, SOURCES, program
from android_phones import ANDROID_13
from replayed_comparisons import A_REAL_PHONE
from replaying_phone import replaying_phone, runner_folder

from pocketgan.bench.devices.adb import Adb
from pocketgan.bench.devices.android_device import AndroidDevice

COUNT, SLOWER = 200, 1.05
PROCESSES = 2


@pytest.mark.parametrize(
    ("told", "slower", "verdict", "code"),
    [
        (A_REAL_PHONE, 1.0, "PASS", 0),
        (A_REAL_PHONE, 1.1, "REGRESSION", 1),
        # The same phone as an emulator, whose times are no performance numbers.
        (ANDROID_13, 1.1, "INCOMPARABLE", 3),
    ],
)
def test_compare_is_a_gate_over_a_phone(
    pocketgan: Callable[..., subprocess.CompletedProcess[str]],
    make_bundle: Callable[..., Path],
    newest_adb: Adb,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    told: dict[str, str],
    slower: float,
    verdict: str,
    code: int,
) -> None:
    monkeypatch.setattr("pocketgan.bench.devices.android_device.find_adb", lambda: newest_adb)
    monkeypatch.setattr(AndroidDevice, "poll_s", 0.02)
    monkeypatch.setenv("POCKETGAN_RUNNER", str(runner_folder(tmp_path / "runner")))
    base, candidate = make_bundle("base"), make_bundle("candidate")
    script = replayed_comparisons.scripted(np.random.default_rng(3), 5, "candidate", slower)
    with replaying_phone(tmp_path / "phone", script, told) as phone:
        newest_adb.connect(phone.serial)
        done = pocketgan("compare", base, candidate, "--device", f"android:{phone.serial}", "--via", "shell", "--json")
        newest_adb.ask("disconnect", phone.serial)
    found = json.loads(done.stdout)
    assert (found["verdict"], done.returncode) == (verdict, code), done.stderr
    if verdict != "INCOMPARABLE":
        assert found["ci_low"] < slower < found["ci_high"]


def compared(folder: Path, base: Path, candidate: Path, slower: float, count: int) -> tuple[Counter[str], float]:
    """Verdicts of so many comparisons, and the rounds that they took in the median."""
    support = Path(replayed_comparisons.__file__)
    environment = {**os.environ, "PYTHONPATH": str(support.parent), "OMP_NUM_THREADS": "1"}
    running = []
    for number in range(PROCESSES):
        own = folder / f"{slower}-{number}"
        own.mkdir()
        words = [own, base, candidate, slower, count // PROCESSES, 17 + number]
        command = [sys.executable, str(support), *map(str, words)]
        running.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    told = [json.loads(process.communicate()[0]) for process in running]
    return (
        Counter(verdict for one in told for verdict in one["verdicts"]),
        statistics.median(rounds for one in told for rounds in one["rounds"]),
    )


@pytest.mark.heavy
def test_the_gate_on_hundreds_of_comparisons_through_adb(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    if not any(map(program, SOURCES)):
        pytest.skip(f"no adb: {HOW_TO_GET_ADB}")
    base, candidate = make_bundle("base"), make_bundle("candidate")
    started = time.monotonic()
    equal, rounds = compared(tmp_path, base, candidate, 1.0, COUNT)
    slower, rounds_slower = compared(tmp_path, base, candidate, SLOWER, COUNT)
    minutes = (time.monotonic() - started) / 60
    print(
        f"\n{COUNT} comparisons each through adb: equal bundles {dict(equal)} after {rounds:.0f} rounds in the median, "
        f"{SLOWER - 1:.0%} slower {dict(slower)} after {rounds_slower:.0f}; {minutes:.1f} minutes"
    )
    assert sum(equal.values()) == sum(slower.values()) == COUNT
    assert equal["REGRESSION"] == 0
    assert slower["REGRESSION"] >= 0.95 * COUNT
    assert minutes < 15
