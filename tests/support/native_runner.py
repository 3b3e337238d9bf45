"""The native runner built for this computer and for aarch64, and sessions for it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pocketgan.bench.schema.job import Job
from pocketgan.bench.schema.result import Result
from pocketgan.bench.schema.session import Beat, End, Group, Session
from pocketgan.bundle.reader import open_bundle

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "android_harness" / "runner"
HEADERS = ROOT / "build" / "onnxruntime-headers" / "onnxruntime_c_api.h"
# What `make runner-tools` and `make runner-aarch64` leave here.
CROSS_COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64-static"
WHEEL = ROOT / "build" / "runner" / "onnxruntime-aarch64"


# Without ARM's text ONNX Runtime crashes at once: it looks for the cores' kind.
CPUINFO = """processor\t: 0
BogoMIPS\t: 38.40
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 0
Hardware\t: Test Phone
"""


def why_not_buildable() -> str:
    """What is missing for a build on this computer; "" where nothing is."""
    if sys.platform != "linux":
        return "the native runner is for Android and Linux"
    if shutil.which("cmake") is None or shutil.which("c++") is None:
        return "the native runner needs cmake and a C++ compiler"
    if not HEADERS.exists() and shutil.which("npm") is None:
        return "the native runner needs ONNX Runtime's C headers, which are fetched with npm"
    return ""


def why_not_emulated() -> str:
    """What is missing to run it as aarch64."""
    if shutil.which(CROSS_COMPILER) is None or shutil.which(EMULATOR) is None:
        return f"needs {CROSS_COMPILER} and {EMULATOR}: make runner-tools"
    if next(WHEEL.glob("onnxruntime/capi/libonnxruntime.so.*"), None) is None:
        return "needs ONNX Runtime's wheel for aarch64: make runner-tools"
    return why_not_buildable()


def build(name: str, *options: str) -> Path:
    """Folder of the built runner; one build at a time."""
    folder = ROOT / "build" / "runner" / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (
            ["cmake", "-S", str(SOURCES), "-B", str(folder), *options],
            ["cmake", "--build", str(folder), "--parallel", "2"],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if "npm cannot fetch" in done.stderr:
                pytest.skip("ONNX Runtime's C headers cannot be fetched from npm here")
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def emulator_root(prefix: Path) -> None:
    """Fill the folder that the emulator takes for the root: a C library, and what a phone tells of itself."""
    prefix.mkdir(exist_ok=True)
    (prefix / "lib").symlink_to("/usr/aarch64-linux-gnu/lib")
    files = {
        "proc/cpuinfo": CPUINFO,
        "sys/class/thermal/thermal_zone0/type": "cpu-1-0-usr\n",
        "sys/class/thermal/thermal_zone0/temp": "36500\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "2841600\n",
    }
    for path, text in files.items():
        (prefix / path).parent.mkdir(parents=True, exist_ok=True)
        (prefix / path).write_text(text)


def library() -> Path:
    """ONNX Runtime's library in this computer's wheel."""
    spec = find_spec("onnxruntime")
    assert spec is not None
    assert spec.origin is not None
    return next((Path(spec.origin).parent / "capi").glob("libonnxruntime.so.*"))


@dataclass
class Answer:
    """What a run of the runner left behind; lines are read by the schemas, which refuse what they do not know."""

    code: int
    errors: str
    lines: list[str]

    def of_kind(self, record: str) -> list[dict[str, Any]]:
        """Lines of one kind, without their `record`."""
        values = [json.loads(line) for line in self.lines]
        return [
            {name: field for name, field in one.items() if name != "record"}
            for one in values
            if one["record"] == record
        ]

    @cached_property
    def results(self) -> list[Result]:
        return [Result.model_validate(value) for value in self.of_kind("result")]

    @cached_property
    def beats(self) -> list[Beat]:
        return [Beat.model_validate(value) for value in self.of_kind("beat")]

    @property
    def end(self) -> End:
        """The last line."""
        assert json.loads(self.lines[-1])["record"] == "end"
        return End.model_validate(self.of_kind("end")[-1])


def write_session(
    folder: Path,
    bundles: Sequence[Path],
    groups: Sequence[Sequence[Job]],
    beat_interval_s: float = 1,
    name: str = "s-1",
) -> Path:
    """A session folder as a host writes it: the files of the asked entries, and nothing else."""
    session = Session(name="s-1", beat_interval_s=beat_interval_s, groups=[Group(jobs=list(jobs)) for jobs in groups])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "session.json").write_text(session.model_dump_json())
    for path in bundles:
        with open_bundle(path) as bundle, zipfile.ZipFile(path) as archive:
            asked = {(job.entry, job.concept) for jobs in groups for job in jobs if job.bundle == bundle.digest}
            entries = [bundle.entry(entry, concept) for entry, concept in asked]
            files = [file for entry in entries for component in entry.components for file in component.files]
            files += [file for entry in entries for file in bundle.manifest.golden_files(entry.golden)]
            for name_inside in ["manifest.json", *(file.path for file in files)]:
                place = folder / "bundles" / bundle.digest / name_inside
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(archive.read(name_inside))
    return folder


def shell_job(path: Path, **fields: Any) -> Job:
    """A short Job of the bundle's first entry, via shell."""
    with open_bundle(path) as bundle:
        short = {"warmup": {"iterations": 1, "timeout_s": 0}, "iterations": 6, "rounds": 3}
        entry = bundle.manifest.entries[0].id
        return Job.model_validate({"bundle": bundle.digest, "entry": entry, "via": "shell", **short, **fields})


def read_answer(folder: Path, code: int = 0, errors: str = "") -> Answer:
    """The whole lines of results.jsonl so far."""
    path = folder / "results.jsonl"
    text = path.read_text() if path.exists() else ""
    return Answer(code, errors, text[: text.rfind("\n") + 1].splitlines())


Run = Callable[..., Answer]


def runner(command: Sequence[str], runtime: Path) -> Run:
    """A function that carries out a session folder and reads what came back."""

    def run(folder: Path, *options: str) -> Answer:
        whole = [*command, str(folder), "--runtime", str(runtime), *options]
        done = subprocess.run(whole, capture_output=True, text=True, check=False)
        return read_answer(folder, done.returncode, done.stderr)

    return run


def change_session(folder: Path, change: Callable[[Any], Any]) -> None:
    path = folder / "session.json"
    value = json.loads(path.read_text())
    path.write_text(json.dumps(change(value) or value))


def manifest_of(folder: Path) -> Path:
    return next(folder.glob("bundles/*/manifest.json"))


def repack(folder: Path, change: Callable[[Any, Path], None]) -> None:
    """Change a bundle so that its hashes are right again, as somebody with bad intent would."""
    path = manifest_of(folder)
    manifest = json.loads(path.read_text())
    change(manifest, path.parent)
    components = [one for entry in manifest["entries"] for one in entry["components"]]
    records = [file for one in components for file in one["files"]]
    records += [tensor["file"] for one in manifest["golden"] for tensor in (*one["inputs"], *one["outputs"])]
    for record in records:
        file = path.parent / record["path"]
        if file.is_file():
            data = file.read_bytes()
            record.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    data = json.dumps(manifest).encode()
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    path.parent.rename(path.parent.parent / digest)
    change_session(folder, lambda s: s["groups"][0]["jobs"][0].update(bundle=digest))
