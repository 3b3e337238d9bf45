"""A phone in this process: it plays sessions on a scripted clock, well or badly, behind a Transport."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pocketgan.bench.devices.remote import RemoteDevice
from pocketgan.bench.devices.transport import OutOfReachError, SessionFile
from pocketgan.bench.runners.timing import frames_of_rounds
from pocketgan.bench.schema.result import DeviceInfo
from pocketgan.bench.schema.session import Session
from pocketgan.bundle.manifest import Entry, Manifest
from pocketgan.bundle.manifest_file import read_manifest
from pocketgan.errors import DeviceError

MS = 1_000_000
INFO = DeviceInfo(
    name="phone:1",
    model="Phone 1",
    kind="android",
    os="Android 16",
    os_build="BP1A",
    cpu="Chip 1",
    cores=8,
    memory_bytes=8_000_000_000,
)
Record = dict[str, Any]


class Time:
    """Moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@dataclass
class FakePhone:
    """A Transport whose device answers at once, a line with each look at it.

    Attributes:
        lie: changes a result record before it is written. frame_ns: what a frame takes.
        dies_at, hangs_at: names of bundles whose measurement kills it, or never ends. cuts: at which calls (by name and
            count, from 1; `file` is one of those that are sent) it is out of reach, and for how many calls.
        says: lines before the first result. ends_with: the error of the end. words: its last ones, where it dies.
        full: it takes no files.
        measured: what it measured, in order, as (bundle name, entry, component, run).
        sent: paths of files that came, in order. content: the session folder. calls: how often each method was called.
        sessions: what was started. stopped: how often it was stopped.
    """

    time: Time
    lie: Callable[[Record], None] = lambda record: None
    frame_ns: int = 10 * MS
    dies_at: Collection[str] = ()
    hangs_at: Collection[str] = ()
    cuts: dict[tuple[str, int], int] = field(default_factory=dict)
    says: Sequence[str] = ()
    ends_with: str | None = None
    words: str = ""
    full: bool = False
    measured: list[tuple[str, str, str | None, int]] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)
    sessions: list[Session] = field(default_factory=list)
    content: dict[str, bytes] = field(default_factory=dict)
    stopped: int = 0
    _lines: Iterator[str] | None = None
    _lost_for: int = 0

    def there(self) -> Mapping[str, str]:
        self._reach("there")
        return {path: hashlib.sha256(content).hexdigest() for path, content in self.content.items()}

    def send(self, files: Sequence[SessionFile]) -> None:
        self._reach("send")
        if self.full:
            raise DeviceError("phone:1 is full: 3 MB are free, 200 MB are needed; remove something")
        for file in files:
            content = file.source.read_bytes()
            assert len(content) == file.bytes
            assert hashlib.sha256(content).hexdigest() == file.sha256
            self._reach("file")
            self.content[file.path] = content
            self.sent.append(file.path)

    def start(self) -> None:
        self._reach("start")
        session = Session.model_validate_json(self.content["session.json"], strict=True)
        self.sessions.append(session)
        self._lines = self._play(session)

    def read(self, offset: int) -> bytes:
        self._reach("read")
        return self.content.get("results.jsonl", b"")[offset:]

    def alive(self) -> bool:
        self._reach("alive")
        if self._lines is not None and not self._lost_for:
            self.go_on()
        return self._lines is not None

    def stop(self) -> None:
        self._reach("stop")
        self.stopped += 1
        self._lines = None

    def last_words(self) -> str:
        self._reach("last_words")
        return self.words

    def clean_up(self, keep: Collection[str]) -> None:
        self._reach("clean_up")
        self.content = {path: content for path, content in self.content.items() if path in keep}

    def go_on(self) -> None:
        """The device works, whether or not anybody looks."""
        assert self._lines is not None
        line = next(self._lines, None)
        if line is None:
            self._lines = None
        else:
            self.content["results.jsonl"] = self.content.get("results.jsonl", b"") + line.encode()

    def _reach(self, call: str) -> None:
        self.calls[call] = self.calls.get(call, 0) + 1
        self._lost_for += self.cuts.pop((call, self.calls[call]), 0)
        if self._lost_for:
            self._lost_for -= 1
            raise OutOfReachError("phone:1 is offline: plug it in again")

    def _play(self, session: Session) -> Iterator[str]:
        """Lines of its results.jsonl. It stops without an end where it dies."""
        for line in self.says:
            yield line + "\n"
        yield json.dumps({"record": "beat", "at_ns": 1, "detail": "starting"}) + "\n"
        for number, group in enumerate(session.groups):
            records = []
            for job in group.jobs:
                name = self._manifest(job.bundle).name
                if name in self.hangs_at:
                    while True:
                        yield ""
                if name in self.dies_at:
                    return
                records.append(
                    self._result(session, job.model_dump(mode="json"), name, f"p{len(self.sessions)}-{number}")
                )
            self._take_turns(records)
            for record in records:
                self.lie(record)
                self.measured.append(
                    (record["bundle_name"], record["job"]["entry"], record["job"]["component"], record["job"]["run"])
                )
                yield json.dumps(record) + "\n"
        yield json.dumps({"record": "end", "error": self.ends_with}) + "\n"

    def _manifest(self, digest: str) -> Manifest:
        content = self.content[f"bundles/{digest}/manifest.json"]
        assert hashlib.sha256(content).hexdigest() == digest
        return read_manifest(content)

    def _result(self, session: Session, job: Record, name: str, process: str) -> Record:
        return {
            "record": "result",
            "schema_version": "1.2",
            "session": session.name,
            "job": job,
            "bundle_name": name,
            "device": {**INFO.model_dump(), "name": "as it calls itself"},
            "runtime": "onnxruntime",
            "runtime_version": "1.29.0",
            "app_build": "release",
            "started_at": "2026-11-26T05:30:02Z",
            "process": process,
            "warmup": {"iterations": max(10, job["warmup"]["iterations"]), "duration_ns": 100 * MS, "steady": True},
            "cool_down": {"waited_s": 0.0, "cool": True} if job["cool_down"] else None,
            "cold_load_ns": [400 * MS] * job["cold_repeats"],
            "clock": {"regime": job["clock"], "before_mhz": 1803.0, "after_mhz": 1803.0},
            "conditions": [
                {"at_ns": int(self.time.now_s * 1e9), "charging": False, "current_a": 0.8, "voltage_v": 3.9}
            ],
            "parity": {"psnr_db": 101.5, "max_abs_error": 0.00001},
            "parity_after": {"psnr_db": 58.0, "max_abs_error": 0.01},
            "frames": [],
        }

    def _take_turns(self, records: list[Record]) -> None:
        """Frames of each round, model after model; which model is first is no matter here."""
        now = int(self.time.now_s * 1e9)
        for number in range(max((record["job"]["rounds"] for record in records), default=0)):
            for record in records:
                for _ in range(self._count(record["job"], number)):
                    record["frames"].append(
                        {"start_ns": now, "pre_ns": 0, "inference_ns": self.frame_ns, "post_ns": 0, "round": number}
                    )
                    now += self.frame_ns

    def _count(self, job: Record, number: int) -> int:
        if job["iterations"] is None:
            return int(job["duration_s"] * 1e9) // self.frame_ns
        counts = frames_of_rounds(job["iterations"], job["rounds"])
        return counts[number] if number < len(counts) else 0


class Phone(RemoteDevice):
    """Runs everything of ONNX Runtime."""

    def __init__(self, transport: FakePhone, name: str = "phone:1", **options: Any) -> None:
        super().__init__(name, transport, clock=transport.time.clock, sleep=transport.time.sleep, **options)

    def describe(self) -> DeviceInfo:
        return INFO.model_copy(update={"name": self.name})

    @property
    def runtimes(self) -> Sequence[str]:
        return ("onnxruntime",)

    def runs(self, entry: Entry) -> bool:
        return entry.runtime in self.runtimes


@contextmanager
def unplugged(phone: FakePhone) -> Iterator[None]:
    """Out of reach meanwhile, however often one asks."""
    phone._lost_for = 1 << 30
    yield
    phone._lost_for = 0
