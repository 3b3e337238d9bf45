"""The Kotlin harness on this machine's JVM behind a Transport: a session goes the whole way, adb apart."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import kotlin_harness

from pocketgan.bench.devices.remote import RemoteDevice
from pocketgan.bench.devices.transport import SessionFile
from pocketgan.bench.schema.result import DeviceInfo
from pocketgan.bundle.manifest import Entry
from pocketgan.files import sha256_file

INFO = DeviceInfo(
    name="android:jvm",
    model="JVM",
    kind="android",
    os="Android 16",
    os_build="BP1A",
    cpu="host",
    cores=2,
    memory_bytes=8_000_000_000,
    simulated=True,
)


class JvmTransport:
    """A folder on this machine, and the JVM that carries out what lies in it. `starts` counts its processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None

    def there(self) -> Mapping[str, str]:
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return {path.relative_to(self.folder).as_posix(): sha256_file(path) for path in files}

    def send(self, files: Sequence[SessionFile]) -> None:
        for file in files:
            target = self.folder / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.source.read_bytes())

    def start(self) -> None:
        self.starts += 1
        device = self.folder.parent / "device.json"
        device.write_text(json.dumps(INFO.model_dump()))
        command = kotlin_harness.java("pocketgan.jvm.MainKt", "session", str(self.folder), str(device))
        self._process = subprocess.Popen(command)

    def read(self, offset: int) -> bytes:
        results = self.folder / "results.jsonl"
        return results.read_bytes()[offset:] if results.exists() else b""

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def last_words(self) -> str:
        return ""

    def clean_up(self, keep: Collection[str]) -> None:
        for path in self.there():
            if path not in keep:
                (self.folder / path).unlink()


class JvmPhone(RemoteDevice):
    """Runs everything of ONNX Runtime."""

    def __init__(self, transport: JvmTransport, **options: Any) -> None:
        super().__init__(INFO.name, transport, **options)

    def describe(self) -> DeviceInfo:
        return INFO

    @property
    def runtimes(self) -> Sequence[str]:
        return ("onnxruntime",)

    def runs(self, entry: Entry) -> bool:
        return entry.runtime in self.runtimes
