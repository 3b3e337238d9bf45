"""The whole way in a phone's shell: `pocketgan bench --device android --via shell`, the real adb, the runner, and back.

The phone is simulated, its shell and its processor are this computer's, so that every result is marked simulated.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from adb_device import SimulatedPhone
from android_phones import ANDROID_8, ANDROID_10, ANDROID_13, ANDROID_15
from native_runner import (
    EMULATOR,
    SOURCES,
    WHEEL,
    build,
    emulator_root,
    library,
    why_not_buildable,
    why_not_emulated,
)

from pocketgan.bench.devices import find_device
from pocketgan.bench.devices.adb import Adb
from pocketgan.bench.devices.android_device import AndroidDevice
from pocketgan.bench.devices.phone_runner import LIBRARY, PROGRAM
from pocketgan.bench.journal import read_results

Command = Callable[..., subprocess.CompletedProcess[str]]
SHELL = ("--via", "shell")
QUICK = (*SHELL, "--iterations", 6, "--rounds", 3, "--runs", 1, "--warmup", 1, "--warmup-timeout", 0)
# What this computer is as a phone; android_phones are of ARM.
HERE = {**ANDROID_13, "getprop": ANDROID_13["getprop"].replace("arm64-v8a", "x86_64")}


@pytest.fixture(scope="module")
def adb(newest_adb: Adb) -> Adb:
    """One is enough: what is particular to each is tested with questions."""
    return newest_adb


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that POCKETGAN_RUNNER names."""
    if missing := why_not_buildable():
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("runner")
    shutil.copy(build("host") / "pocketgan-runner", folder)
    (folder / "libonnxruntime.so").symlink_to(library())
    return folder


@pytest.fixture
def use(adb: Adb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketgan.bench.devices.android_device.find_adb", lambda: adb)
    monkeypatch.setattr(AndroidDevice, "poll_s", 0.05)


@pytest.fixture
def plugged_in(adb: Adb, use: None, tmp_path: Path):
    """A phone that says so, under its name as a device."""
    phones: list[SimulatedPhone] = []

    def make(told: dict[str, str] = HERE, emulator: Sequence[str] = ()) -> SimulatedPhone:
        phone = SimulatedPhone(tmp_path / f"phone{len(phones)}", told, emulator=emulator).__enter__()
        phones.append(phone)
        adb.connect(phone.serial)
        return phone

    yield make
    for phone in phones:
        phone.__exit__()
        adb.ask("disconnect", phone.serial)


def test_bench_on_a_phone_from_one_command(
    pocketgan: Command, make_bundle, plugged_in, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POCKETGAN_RUNNER", str(built))
    phone = plugged_in()
    bundles = make_bundle("small"), make_bundle("large", layers=4)
    done = pocketgan("bench", *bundles, "--device", f"android:{phone.serial}", *QUICK, "--out", "r.jsonl")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        f"measured on android:{phone.serial} (Google Pixel 7, Google GS201), 8 cores, Android 13: simulated"
        in done.stdout
    )
    results = read_results([tmp_path / "r.jsonl"]).results
    assert [result.bundle_name for result in results] == ["small", "large"]
    for result in results:
        assert result.errors == []
        assert len(result.frames) == 6
        assert result.device == find_device(f"android:{phone.serial}", "shell").describe()
        assert (result.device.kind, result.device.simulated, result.job.via) == ("android", True, "shell")
        assert result.parity is not None
        assert result.parity.max_abs_error < 1e-5
    # In turns in one process.
    assert results[0].process == results[1].process

    # Runner and bundles are there now: a session file alone is sent.
    phone.received.clear()
    again = pocketgan("bench", *bundles, "--device", "android:pixel 7", *QUICK, "--out", "again.jsonl", "--json")
    assert again.returncode == 0, again.stderr
    assert len(phone.received) == 1

    assert pocketgan("report", "r.jsonl", "--out", "report.html").returncode == 0
    assert "No frame rate : all results come from simulated devices" in plain((tmp_path / "report.html").read_text())


def test_a_program_for_arm_is_measured_on_a_phone_with_arm(
    pocketgan: Command, make_bundle, plugged_in, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cross-compiled, on ONNX Runtime for aarch64, under an emulator of the processor."""
    if missing := why_not_emulated():
        pytest.skip(missing)
    folder, prefix = tmp_path / "arm", tmp_path / "prefix"
    folder.mkdir()
    shutil.copy(build("aarch64", f"-DCMAKE_TOOLCHAIN_FILE={SOURCES / 'aarch64-linux.cmake'}") / PROGRAM, folder)
    (folder / LIBRARY).symlink_to(next(WHEEL.glob("onnxruntime/capi/libonnxruntime.so.*")))
    emulator_root(prefix)
    monkeypatch.setenv("POCKETGAN_RUNNER", str(folder))
    phone = plugged_in(ANDROID_13, [EMULATOR, "-cpu", "cortex-a76", "-L", str(prefix)])
    done = pocketgan("bench", make_bundle(), "--device", f"android:{phone.serial}", *QUICK, "--out", "r.jsonl")
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = read_results([tmp_path / "r.jsonl"]).results
    assert (result.errors, result.device.simulated, len(result.frames)) == ([], True, 6)
    assert result.parity is not None
    assert result.parity.max_abs_error < 1e-5


def test_a_bench_goes_on_where_the_cable_came_out(
    pocketgan: Command, make_bundle, plugged_in, built: Path, adb: Adb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POCKETGAN_RUNNER", str(built))
    phone = plugged_in()
    results = phone.at("/data/local/tmp/pocketgan/session/results.jsonl")

    def cable() -> None:
        end = time.monotonic() + 20
        while not (results.exists() and results.stat().st_size) and time.monotonic() < end:
            time.sleep(0.01)
        phone.unplug()
        time.sleep(0.3)
        phone.plug_in()
        adb.ask("disconnect", phone.serial)  # else adb looks for it again after a second or more
        adb.connect(phone.serial)

    thread = threading.Thread(target=cable)
    thread.start()
    long = (*SHELL, "--mode", "sustained", "--seconds", 1, "--warmup-timeout", 0)
    bundle = make_bundle(size=96, layers=3)
    done = pocketgan("bench", bundle, "--device", f"android:{phone.serial}", *long, "--out", "r.jsonl")
    thread.join()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "plug it in again" in done.stderr
    (result,) = read_results([tmp_path / "r.jsonl"]).results
    assert result.errors == []
    assert result.frames[-1].start_ns - result.frames[0].start_ns > 0.9e9


def plain(page: str) -> str:
    """Its words, without tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


def test_what_is_wrong_is_one_line_and_exit_code_2(
    pocketgan: Command, make_bundle, plugged_in, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(name: str) -> str:
        done = pocketgan("bench", bundle, "--device", name, *QUICK)
        assert done.returncode == 2
        line = [line for line in done.stderr.splitlines() if line.startswith("pocketgan: ")]
        assert len(line) == 1, done.stderr
        return line[0]

    bundle = make_bundle()
    assert "no phone is connected" in said("android")
    phone = plugged_in(ANDROID_13)
    assert "POCKETGAN_RUNNER" in said("android")
    monkeypatch.setenv("POCKETGAN_RUNNER", str(tmp_path))
    assert "which has no pocketgan-runner" in said("android")
    monkeypatch.setenv("POCKETGAN_RUNNER", str(built))
    assert "runs arm64-v8a, armeabi-v7a, armeabi, and" in said("android")
    assert "was built for x86_64: build it for the phone" in said("android")
    other = plugged_in(ANDROID_10)
    assert "there are several phones; name one, such as android:" in said("android")
    assert f"phone {other.serial}: its battery saver is on: turn it off" in said(f"android:{other.serial}")
    forged = plugged_in(ANDROID_15)
    assert "simulated: adb shell dumpsys battery reset" in said(f"android:{forged.serial}")
    assert "there is no phone 'toaster'; connected are" in said("android:toaster")
    asleep = plugged_in(ANDROID_8)
    assert "its screen is off: wake it" in said(f"android:{asleep.serial}")
    old = plugged_in({**ANDROID_8, "getprop": "[ro.build.version.sdk]: [25]\n"})
    assert "8.0 or newer is needed" in said(f"android:{old.serial}")
    phone.unplug()


def test_a_phone_has_one_lock_whatever_it_is_called(
    pocketgan: Command, make_bundle, plugged_in, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POCKETGAN_RUNNER", str(built))
    phone = plugged_in()
    with find_device("android:pixel 7", "shell").lock():
        done = pocketgan("bench", make_bundle(), "--device", f"android:{phone.serial}", *QUICK)
    assert done.returncode == 2
    assert f"device android:{phone.serial} is measuring for" in done.stderr


def test_an_entry_that_no_phone_runs_in_its_shell_is_named(
    pocketgan: Command, make_bundle, plugged_in, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POCKETGAN_RUNNER", str(built))
    plugged_in()
    bundle = make_bundle("phone", runtime="coreml", target="coreml")
    done = pocketgan("bench", bundle, "--device", "android", *QUICK)
    assert done.returncode == 2
    assert "can run none of the entries" in done.stderr
    assert "it runs: onnxruntime" in done.stderr


def test_a_runner_that_does_not_start_says_why(
    pocketgan: Command, make_bundle, plugged_in, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    shutil.copy(built / "pocketgan-runner", broken)
    (broken / "libonnxruntime.so").write_bytes((built / "pocketgan-runner").read_bytes()[:64])
    monkeypatch.setenv("POCKETGAN_RUNNER", str(broken))
    plugged_in()
    done = pocketgan("bench", make_bundle(), "--device", "android", *QUICK, "--json")
    assert done.returncode == 2
    assert "libonnxruntime.so" in json.loads(done.stdout)["error"]
