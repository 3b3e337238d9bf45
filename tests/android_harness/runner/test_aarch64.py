"""The native runner cross-compiled for aarch64, on that ONNX Runtime, under an emulator that stands in for a phone.

Its times are no performance numbers; what it computes is what an ARM processor computes.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from native_runner import (
    EMULATOR,
    SOURCES,
    WHEEL,
    Answer,
    build,
    emulator_root,
    runner,
    shell_job,
    why_not_emulated,
    write_session,
)

from pocketgan.bench.devices.fault import Asked
from pocketgan.bench.devices.soundness import faults
from pocketgan.bench.runners.planning import floor_db
from pocketgan.bundle.reader import open_bundle


@pytest.fixture(scope="module")
def emulated(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """Two entries in turns, with a cool-down that a warm phone passes."""
    if missing := why_not_emulated():
        pytest.skip(missing)
    binary = build("aarch64", f"-DCMAKE_TOOLCHAIN_FILE={SOURCES / 'aarch64-linux.cmake'}") / "pocketgan-runner"
    prefix = tmp_path_factory.mktemp("phone")
    emulator_root(prefix)
    run = runner(
        [EMULATOR, "-cpu", "cortex-a76", "-L", str(prefix), str(binary)],
        next(WHEEL.glob("onnxruntime/capi/libonnxruntime.so.*")),
    )
    cool = {"cool_down": {"maximum_temperature_c": 40, "timeout_s": 5}}
    jobs = [shell_job(exported, **cool), shell_job(exported, entry="onnx-fp32-image", **cool)]
    folder = write_session(tmp_path_factory.mktemp("session"), [exported], [jobs])
    return run(folder, "--device", "android:TEST1", "--simulated")


def test_a_session_runs_on_arm(emulated, exported):
    assert (emulated.code, emulated.end.error) == (0, None)
    assert [result.errors for result in emulated.results] == [[], []]
    with open_bundle(exported) as bundle:
        for result in emulated.results:
            entry = bundle.manifest.entry(result.job.entry)
            assert faults(result, Asked(result.job, "tiny", "onnxruntime", "android", floor_db(entry))) == []


def test_its_result_says_that_it_is_simulated(emulated):
    for result in emulated.results:
        assert result.device.simulated
        assert (result.device.name, result.device.kind, result.device.cpu) == ("android:TEST1", "android", "Test Phone")


def test_arm_computes_the_golden_outputs(emulated):
    tensor, image = emulated.results
    assert tensor.parity.psnr_db is None or tensor.parity.psnr_db > 100
    assert image.parity.max_abs_error <= 1  # of 255: a rounding
    assert tensor.parity_after.psnr_db is None or tensor.parity_after.psnr_db > 100


def test_the_state_of_the_phone_is_in_its_result(emulated):
    for result in emulated.results:
        assert {state.temperature_c for state in result.conditions} == {36.5}
        assert (result.clock.before_mhz, result.clock.after_mhz) == (2841.6, 2841.6)
        assert (result.cool_down.cool, result.cool_down.waited_s < 1) == (True, True)


def test_the_runner_for_arm_is_small_and_needs_nothing_but_a_c_library(emulated):
    binary = build("aarch64") / "pocketgan-runner"
    stripped = binary.with_name("stripped")
    subprocess.run(["aarch64-linux-gnu-strip", "-o", stripped, binary], check=True)
    assert stripped.stat().st_size < 1_000_000
    told = subprocess.run(
        ["aarch64-linux-gnu-readelf", "-dlW", stripped], check=True, capture_output=True, text=True
    ).stdout
    needed = {line.split("[")[1].rstrip("]") for line in told.splitlines() if "(NEEDED)" in line}
    assert needed <= {"libc.so.6", "libm.so.6", "ld-linux-aarch64.so.1"}
    alignments = {line.split()[-1] for line in told.splitlines() if line.strip().startswith("LOAD")}
    assert alignments == {"0x4000"}  # 16 KB pages, as Android asks from 2025 on
