"""A page of a browser as the server sees it: its requests, one by one, and answers that may lie."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from pocketgan.bench.devices.web.gathering import WebDevices
from pocketgan.bench.devices.web.options import WebOptions
from pocketgan.bench.devices.web.runtime import all_files
from pocketgan.bench.jobs import JobOptions
from pocketgan.bench.runners.timing import frames_of_rounds
from pocketgan.bench.schema.job import Warmup
from pocketgan.bench.schema.result import Result
from pocketgan.bench.session import measure
from pocketgan.errors import DeviceError

Record = dict[str, Any]
MS = 1_000_000
QUICK = JobOptions(iterations=4, rounds=2, runs=1, warmup=Warmup(iterations=0, timeout_s=0), cold_repeats=0)


def fake_runtime(folder: Path) -> Path:
    """A folder with every file of onnxruntime-web, which nothing runs."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in all_files():
        (folder / name).write_text(f"// {name}")
    return folder


@dataclass
class Answered:
    """What the server said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class FakePage:
    """A page that was opened at an address with its secret."""

    def __init__(self, url: str, number: int = 1) -> None:
        split = urlsplit(url)
        self.host, self.port, self.secret = split.hostname or "", split.port or 0, split.fragment
        self.id, self.page = f"{number:016x}", "p1"
        self.cookie = ""
        self.frame_ns = 5 * MS
        self.about: Record = {
            "id": self.id, "model": f"Phone {number}", "os": "Android 16", "browser": "Chrome 156", "cpu": "arm 64",
            "cores": 8, "memory_bytes": 8 << 30, "isolated": True, "most_threads": 8, "providers": ["wasm"],
            "gpu": None, "simulated_gpu": False,
        }  # fmt: skip

    def ask(
        self, method: str, path: str, body: bytes = b"", query: Record | None = None, headers: Record | None = None
    ) -> Answered:
        """One request, as a browser would send it."""
        usual = {"Cookie": self.cookie} if self.cookie else {}
        if method == "POST":
            usual["Origin"] = f"http://{self.host}:{self.port}"
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            target = f"{path}?{urlencode(query)}" if query else path
            connection.request(method, target, body if method == "POST" else None, {**usual, **(headers or {})})
            answer = connection.getresponse()
            return Answered(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def join(self, secret: str | None = None, **changes: Any) -> Answered:
        lines = changes.pop("lines", "")
        told = {"page": self.page, "about": self.about, "run": "", "crashed": None, **changes}
        headers = {"Authorization": f"Pocketgan {self.secret if secret is None else secret}"}
        answer = self.ask("POST", "/join", f"{json.dumps(told)}\n{lines}".encode(), headers=headers)
        if "set-cookie" in answer.headers:
            self.cookie = answer.headers["set-cookie"].split(";")[0]
        return answer

    def of(self, **query: Any) -> Record:
        """A query that names this phone and page."""
        return {"phone": self.id, "page": self.page, **query}

    def work(self, state: str = "", run: str = "") -> Record:
        """What there is to do, once it is something else."""
        answer = self.ask("GET", "/work", query=self.of(state=state, run=run))
        assert answer.status == 200, answer.body
        return dict(answer.json)

    def send(self, run: str, records: list[Record], first: int = 0) -> Answered:
        lines = b"".join(json.dumps(record).encode() + b"\n" for record in records)
        return self.ask("POST", "/lines", lines, query=self.of(run=run, first=first))

    def results(self, order: Record, lie: Callable[[Record], None] = lambda record: None) -> list[Record]:
        """A sound answer to every Job of an order, changed by `lie`."""
        records = []
        for number, group in enumerate(order["session"]["groups"]):
            # Each in a worker of its own, so that none lies in the turns of another.
            records += [self._result(order, job, f"{self.page}-{number}-{i}") for i, job in enumerate(group["jobs"])]
        for record in records:
            lie(record)
        return records

    def carry_out(self, lie: Callable[[Record], None] = lambda record: None) -> Record:
        """Join, answer everything that is asked, and say what the last order was."""
        order = dict(self.join().json)
        while order["state"] != "over":
            if order["state"] == "measure":
                answer = self.send(order["run"], [*self.results(order, lie), {"record": "end", "error": None}])
                if answer.status != 200:
                    return dict(answer.json)
            order = self.work(order["state"], order["run"])
        return order

    def _result(self, order: Record, job: Record, process: str) -> Record:
        # A bundle is known by the hash of its manifest.
        manifest = self.ask("GET", f"/files/{job['bundle']}").json
        frames, now = [], 1_000 * MS
        for number, count in enumerate(frames_of_rounds(job["iterations"] or 1, job["rounds"])):
            for _ in range(count):
                frames.append(
                    {"start_ns": now, "pre_ns": 0, "inference_ns": self.frame_ns, "post_ns": 0, "round": number}
                )
                now += self.frame_ns
        return {
            "record": "result", "schema_version": "1.3", "session": order["session"]["name"], "job": job,
            "bundle_name": manifest["name"],
            "device": {
                "name": "x", "model": "x", "kind": "web", "os": "", "os_build": "", "cpu": "", "cores": 1,
                "memory_bytes": 0,
            },
            "runtime": "onnxruntime", "runtime_version": "1.30.0", "app_build": "release",
            "started_at": "2026-11-26T05:30:02.123Z", "process": process,
            "warmup": {"iterations": 0, "duration_ns": 0, "steady": True},
            "frames": frames, "conditions": [{"at_ns": 999 * MS, "visible": True}],
            "parity": {"psnr_db": 101.5, "max_abs_error": 0.00001},
            "parity_after": {"psnr_db": 58.0, "max_abs_error": 0.01},
            "placement": {"requested": job["provider"]},
            "page": {
                "browser": "Chrome 156", "isolated": True, "timer_step_ns": 5000, "gpu": None,
                "threads": job["threads"], "begun_again": 0,
            },
            "errors": [],
        }  # fmt: skip


@dataclass
class Measuring:
    """A session that runs in a thread of its own."""

    device: WebDevices
    out: Path
    thread: threading.Thread | None = None
    results: list[Result] = field(default_factory=list)
    problem: BaseException | None = None

    @property
    def url(self) -> str:
        """Of this computer alone."""
        return self.device.urls[-1]

    def wait_beside(self, page: Any) -> list[Result]:
        """As `wait`, for a browser's page, which goes on only while its driver is asked."""
        assert self.thread is not None
        while self.thread.is_alive():
            page.wait_for_timeout(50)
        return self.wait()

    def wait(self) -> list[Result]:
        """What was measured; what went wrong is raised."""
        assert self.thread is not None
        self.thread.join(60)
        assert not self.thread.is_alive()
        if self.problem is not None:
            raise self.problem
        return self.results


@contextmanager
def measuring(
    bundles: list[Path], out: Path, runtime: Path, options: JobOptions = QUICK, resume: bool = False, **web: Any
) -> Iterator[Measuring]:
    """`pocketgan bench --device web` on these bundles, once its page is served."""
    device = WebDevices(WebOptions(**{"port": 0, "time_limit_s": 240.0, "ort_web": runtime, **web}))
    session = Measuring(device, out)

    def run() -> None:
        try:
            session.results = measure(bundles, device, options, out, resume=resume)
        except BaseException as problem:
            session.problem = problem

    session.thread = threading.Thread(target=run, daemon=True)
    session.thread.start()
    while not device.urls and session.thread.is_alive():
        session.thread.join(0.02)
    if session.problem is not None:
        raise session.problem
    yield session


def ended(session: Measuring) -> str:
    """Why a session ended without a result."""
    try:
        session.wait()
    except DeviceError as problem:
        return str(problem)
    return ""
