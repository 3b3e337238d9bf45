"""docs/examples/phone-gate.yml: what it runs on a computer with a phone, run against a simulated one."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from string import Template
from typing import Any

import kotlin_harness
import pytest
import yaml
from adb_device import SimulatedPhone
from android_phones import ANDROID_13
from simulated_app import SimulatedApp, make_apk

from pocketgan.bench.devices import phone_app
from pocketgan.bench.devices.adb import Adb
from pocketgan.bench.devices.android_device import AndroidDevice

Command = Callable[..., subprocess.CompletedProcess[str]]
WORKFLOW = Path(__file__).parents[2] / "docs" / "examples" / "phone-gate.yml"
HERE = {**ANDROID_13, "getprop": ANDROID_13["getprop"].replace("arm64-v8a", "x86_64")}


def loaded() -> dict[Any, Any]:
    workflow = yaml.safe_load(WORKFLOW.read_text())
    assert isinstance(workflow, dict)
    return workflow


def steps() -> list[dict[str, Any]]:
    (job,) = loaded()["jobs"].values()
    return list(job["steps"])


def commands() -> list[str]:
    return [step["run"] for step in steps() if step.get("run", "").startswith("pocketgan ")]


@pytest.fixture
def phone(newest_adb: Adb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedPhone]:
    """Plugged in, with the app of this installation for it."""
    if reason := kotlin_harness.left_out():
        pytest.skip(f"left out: android_harness/ ({reason})")
    apk = make_apk(tmp_path / "app.apk", libraries=["lib/x86_64/libonnxruntime.so"])
    monkeypatch.setattr(phone_app, "_places", lambda: [apk])
    for module in ("pocketgan.bench.devices.android_device", "pocketgan.bench.devices.adb"):
        monkeypatch.setattr(f"{module}.find_adb", lambda: newest_adb)
    monkeypatch.setattr(AndroidDevice, "poll_s", 0.05)
    with SimulatedPhone(tmp_path / "phone", HERE) as phone:
        newest_adb.connect(phone.serial)
        SimulatedApp(phone)
        yield phone
        newest_adb.ask("disconnect", phone.serial)


def test_its_commands_gate_by_the_phone_and_leave_what_it_keeps(
    phone: SimulatedPhone, pocketgan: Command, make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    for side in ("base", "candidate"):
        folder = tmp_path / side / "models"
        folder.mkdir(parents=True)
        make_bundle("student").rename(folder / "student.pgb")
    (tmp_path / "measured").mkdir()
    there = {"PHONE": f"android:{phone.serial}", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    devices, compare, report = (
        pocketgan(*shlex.split(Template(command).substitute(there))[1:]) for command in commands()
    )
    assert devices.returncode == 0
    assert phone.serial in devices.stdout
    # A simulated phone decides nothing, and both sides took turns on it.
    assert compare.returncode == 3, compare.stderr
    assert "INCOMPARABLE" in compare.stdout
    assert "simulated" in compare.stdout
    assert "INCOMPARABLE" in (tmp_path / "summary.md").read_text()
    assert report.returncode == 0, report.stderr
    (kept,) = [step["with"]["path"] for step in steps() if "upload-artifact" in step.get("uses", "")]
    assert {path.name for path in (tmp_path / kept).iterdir()} == {"results.jsonl", "gate.xml", "report.html"}


def test_it_keeps_forks_away_and_reads_alone() -> None:
    (job,) = loaded()["jobs"].values()
    assert job["if"] == "github.event.pull_request.head.repo.full_name == github.repository"
    assert loaded()["permissions"] == {"contents": "read"}
    assert "secrets." not in WORKFLOW.read_text()
    checkouts = [step["with"] for step in steps() if "checkout" in step.get("uses", "")]
    assert [checkout["persist-credentials"] for checkout in checkouts] == [False, False]


def test_jobs_of_one_phone_wait_for_each_other_and_are_not_cut() -> None:
    assert loaded()["concurrency"] == {"group": "phone-${{ vars.POCKETGAN_PHONE }}", "cancel-in-progress": False}
    assert "--wait" in commands()[1]
