"""The host's side of devices that are elsewhere, with the native runner at the other end: nothing between them is fake
but the wire, which is a folder."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from native_runner import library, shell_job

from pocketgan.bench.devices.remote import RemoteDevice
from pocketgan.bench.devices.transport import SessionFile
from pocketgan.bench.schema.job import Job
from pocketgan.bench.schema.result import DeviceInfo, Result
from pocketgan.bundle.manifest import Entry
from pocketgan.bundle.reader import Bundle, open_bundle


class Folder:
    """A Transport to a folder of this computer. `kills` runners at work with the first frames that they tell of."""

    def __init__(self, folder: Path, runner: Path, kills: int = 0) -> None:
        self.folder, self.runner, self.kills = folder, runner, kills
        self.starts = 0
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir()

    def there(self) -> Mapping[str, str]:
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return {str(p.relative_to(self.folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    def send(self, files: Sequence[SessionFile]) -> None:
        for file in files:
            (self.folder / file.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file.source, self.folder / file.path)

    def start(self) -> None:
        self.starts += 1
        self.process = subprocess.Popen([self.runner, self.folder, "--runtime", library(), "--simulated"])

    def read(self, offset: int) -> bytes:
        path = self.folder / "results.jsonl"
        return path.read_bytes()[offset:] if path.exists() else b""

    def alive(self) -> bool:
        if self.process is None:
            return False
        if self.kills and b'"result"' in self.read(0):
            self.kills -= 1
            self.process.kill()
            self.process.wait()
        return self.process.poll() is None

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()

    def last_words(self) -> str:
        return ""

    def clean_up(self, keep: Collection[str]) -> None:
        for path in self.there():
            if path not in keep:
                (self.folder / path).unlink()


class ThisComputer(RemoteDevice):
    via = "shell"
    runtimes = ("onnxruntime",)

    def describe(self) -> DeviceInfo:
        return DeviceInfo(
            name=self.name,
            model="m",
            kind="local",
            os="o",
            os_build="b",
            cpu="c",
            cores=2,
            memory_bytes=1,
            simulated=True,
        )

    def runs(self, entry: Entry) -> bool:
        return entry.runtime == "onnxruntime"


@pytest.fixture
def bundle(exported: Path) -> Iterator[Bundle]:
    with open_bundle(exported) as opened:
        yield opened


def measured(folder: Folder, groups: list[list[tuple[Bundle, Job]]], tmp_path: Path) -> list[Result]:
    return ThisComputer("elsewhere", folder, lock_folder=tmp_path).run_groups(groups)


def test_the_host_believes_what_the_runner_measured(bundle, built, exported, tmp_path):
    folder = Folder(tmp_path / "there", built / "pocketgan-runner")
    pair = [(bundle, shell_job(exported)), (bundle, shell_job(exported, entry="onnx-fp32-image"))]
    results = measured(folder, [pair, [(bundle, shell_job(exported, mode="throughput"))]], tmp_path)
    assert [(result.errors, len(result.frames)) for result in results] == [([], 6)] * 3
    assert all(result.device.simulated and result.device.name == "elsewhere" for result in results)
    assert results[0].process == results[1].process != results[2].process
    assert folder.starts == 1


def test_a_bundle_is_compared_with_itself(bundle, built, exported, tmp_path):
    folder = Folder(tmp_path / "there", built / "pocketgan-runner")
    results = measured(folder, [[(bundle, shell_job(exported))] * 2], tmp_path)
    assert [(result.errors, len(result.frames)) for result in results] == [([], 6)] * 2
    assert results[0].frames != results[1].frames


def test_a_runner_that_is_killed_is_started_again_for_what_is_missing(bundle, built, exported, tmp_path):
    folder = Folder(tmp_path / "there", built / "pocketgan-runner", kills=1)
    second = shell_job(exported, mode="sustained", iterations=None, duration_s=1)
    results = measured(folder, [[(bundle, shell_job(exported))], [(bundle, second)]], tmp_path)
    assert [result.errors for result in results] == [[], []]
    assert (len(results[0].frames), folder.starts) == (6, 2)


def test_bundles_are_verified_on_a_device_without_a_clock(bundle, built, tmp_path):
    device = ThisComputer("elsewhere", Folder(tmp_path / "there", built / "pocketgan-runner"), lock_folder=tmp_path)
    assert device.check([(bundle, "onnx-fp32", None), (bundle, "onnx-fp32-image", None)]) == [[], []]
