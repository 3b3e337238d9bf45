"""Comparisons of scripted noisy samples on a simulated phone behind a real adb of its own, by the whole host's side:

`python replayed_comparisons.py FOLDER BASE CANDIDATE SLOWER COUNT SEED` prints {"verdicts": [...], "rounds": [...]}.

The frames of a comparison are those of noise.py, in the order in which they are played, a tenth as long, so that no
stamp lies beyond the time that goes by on the host; the candidate's are SLOWER times as long.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import noise
import numpy as np
from adb_device import SimulatedPhone
from adb_server import SOURCES, adb_server, program
from android_phones import ANDROID_13
from replaying_phone import Script, change_script, replaying_phone, runner_folder

from pocketgan import console
from pocketgan.bench.compare import FRAMES_A_TURN, compare_bundles
from pocketgan.bench.devices import android_device, find_device
from pocketgan.bench.gate import TOLERANCES
from pocketgan.bench.jobs import JobOptions

FIRST, MOST = 10, 160
# Frames: the drift of a busy neighbour, and of a phone that grows warm.
CORRELATIONS = (5, 100)
# No stall of a phone in use lasts longer, in frames; noise.py knows longer ones.
LONGEST_STALL = 50
# The gate takes no number of an emulator.
A_REAL_PHONE = {**ANDROID_13, "getprop": ANDROID_13["getprop"].replace("[ro.boot.qemu]: [1]\n", "")}


def main(folder: Path, base: Path, candidate: Path, slower: float, count: int, seed: int) -> None:
    os.environ["POCKETGAN_RUNNER"] = str(runner_folder(folder / "runner"))
    (folder / "home").mkdir()
    android_device.AndroidDevice.poll_s = 0.02
    console.use_quiet(True)
    path = next(filter(None, map(program, reversed(SOURCES))))
    with adb_server(path, folder / "home") as adb, replaying_phone(folder / "phone", told=A_REAL_PHONE) as phone:
        android_device.find_adb = lambda: adb  # type: ignore[assignment]
        adb.connect(phone.serial)
        rng = np.random.default_rng(seed)
        found = [
            comparison(phone, base, candidate, scripted(rng, CORRELATIONS[number % 2], candidate.stem, slower))
            for number in range(count)
        ]
    print(json.dumps({"verdicts": [one for one, _ in found], "rounds": [rounds for _, rounds in found]}))


def scripted(rng: np.random.Generator, correlation: float, candidate: str, slower: float) -> Script:
    """What the phone plays in one comparison."""
    times_ms = np.minimum(
        noise.frame_times(rng, MOST * 2 * FRAMES_A_TURN, correlation), LONGEST_STALL * noise.MEDIAN_MS
    )
    return Script(frames_ns=np.rint(times_ms * 1e5).astype(int).tolist(), slower={candidate: slower})


def comparison(phone: SimulatedPhone, base: Path, candidate: Path, script: Script) -> tuple[str, int]:
    """The verdict, and after how many rounds."""
    change_script(phone, script)
    device = find_device(f"android:{phone.serial}", "shell")
    [found] = compare_bundles(base, candidate, device, JobOptions(rounds=FIRST), TOLERANCES, MOST)
    return str(found.pair.verdict), sum(run.job.rounds for run in found.base)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), float(sys.argv[4]), int(sys.argv[5]), int(sys.argv[6]))
