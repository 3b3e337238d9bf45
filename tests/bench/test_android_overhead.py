"""What measuring on a phone costs beside the runs. Heavy: run by `make bench`, which prints what was measured."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from replaying_phone import Script, change_script, jobs_measured, replaying_phone, runner_folder

from pocketgan.bench.devices.adb import Adb

# An unpruned generator; what a phone takes to start a command, over USB.
MODEL_BYTES, ANSWER_S = 45_000_000, 0.05
FURTHER = 5
# Over soon after the host looked, so that it waits for its next look the longest.
RUN_S = 0.3


@pytest.mark.heavy
def test_the_host_costs_less_than_five_seconds_and_one_more_for_each_further_entry(
    make_bundle: Callable[..., Path], newest_adb: Adb, environment: dict[str, str], tmp_path: Path
) -> None:
    """What goes by beside the runs, which take RUN_S in all; the start of the command is part of it."""
    bundles = [
        make_bundle(f"m{number}", target=f"onnx-{number}", model=os.urandom(MODEL_BYTES if number == 0 else 1_000_000))
        for number in range(1 + FURTHER)
    ]
    # The command finds the adb whose server runs.
    own = {
        "PATH": f"{newest_adb.path.parent}:{environment['PATH']}",
        "POCKETGAN_RUNNER": str(runner_folder(tmp_path / "runner")),
    }
    with replaying_phone(tmp_path / "phone") as phone:
        newest_adb.connect(phone.serial)
        phone.faults.delay_s = ANSWER_S

        def seconds(these: Sequence[Path]) -> float:
            command = [sys.executable, "-m", "pocketgan", "bench", *map(str, these), "--runs", "1", "--out", "r.jsonl"]
            change_script(phone, Script(pause_s=RUN_S / len(these)))
            started = time.monotonic()
            done = subprocess.run(
                [*command, "--device", f"android:{phone.serial}", "--via", "shell"],
                cwd=tmp_path,
                env={**environment, **own},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            return time.monotonic() - started - RUN_S

        first_ever = seconds(bundles)
        phone.received.clear()
        # What is asked no more is removed: few before many would have the rest sent again.
        many = min(seconds(bundles) for _ in range(3))
        one = min(seconds(bundles[:1]) for _ in range(3))
        newest_adb.ask("disconnect", phone.serial)
        assert len(phone.received) == 6  # a session.json each
        assert len(jobs_measured(phone)) == 4 * len(bundles) + 3
    print(
        f"\npocketgan bench over adb, a phone that answers in {ANSWER_S * 1e3:.0f} ms: {one:.2f} s beside the runs "
        f"(goal 5 s), {(many - one) / FURTHER:+.2f} s for each further entry (goal 1 s); {first_ever:.2f} s where "
        "bundles of 50 MB are sent first"
    )
    assert one < 5
    assert (many - one) / FURTHER < 1
