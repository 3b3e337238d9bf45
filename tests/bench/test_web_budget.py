"""What a page may send: as much as an honest one can need, and nothing that fills memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from chromium import local_url
from fake_page import FakePage, Record, ended, fake_runtime, measuring

from pocketgan.bench.devices import find_device
from pocketgan.bench.devices.web.budget import LEFT_BEHIND, Budget
from pocketgan.bench.devices.web.facts import About
from pocketgan.bench.devices.web.request import RefusedError
from pocketgan.bench.devices.web.visitor import Visitor
from pocketgan.bench.jobs import JobOptions, options_on
from pocketgan.bench.journal import read_results
from pocketgan.bench.schema.job import Job
from pocketgan.bench.schema.session import Group, Session
from pocketgan.errors import DeviceError

# Ten minutes at 60 frames a second.
MOST = 36_000
JOBS = [
    Job(bundle="0" * 64, entry="onnx-fp32", mode="sustained", iterations=None, duration_s=600.0),
    Job(bundle="0" * 64, entry="onnx-fp32", iterations=50),
]


def line_of(count: int, **changes: Any) -> bytes:
    """As a page writes it: a state of the device a second, else frames, whose stamps are as long as they get."""
    frame = {"start_ns": 10**13, "pre_ns": 10**7, "inference_ns": 10**9, "post_ns": 10**7, "round": 0}
    state = {"at_ns": 10**13, "visible": True, "battery_percent": 100, "charging": True}
    states = min(count, 600)
    record = {"record": "result", "frames": [frame] * (count - states), "conditions": [state] * states, **changes}
    return json.dumps(record, separators=(",", ":")).encode()


def test_an_honest_page_has_room_for_ten_minutes_of_frames() -> None:
    assert Budget.of(JOBS).excess(line_of(MOST)) is None
    assert LEFT_BEHIND.excess(line_of(MOST)) is None
    # What a runtime says is text, and may hold anything.
    assert Budget.of(JOBS[1:]).excess(line_of(50, errors=["bad shape {1,3,[2]}" * 100])) is None


def test_what_a_page_may_send_follows_from_its_jobs() -> None:
    few, many = Budget.of(JOBS[1:]), Budget.of(JOBS)
    assert (few.samples, many.samples) == (50, MOST)
    # A Result without its frames has 64 KiB, a frame 128 bytes.
    assert few.longest_line == 65_536 + 50 * 128
    assert many.total_bytes == 3 * 65_536 + (MOST + 50) * 128
    assert (few.lines, many.lines) == (65, 66)


BLOWN_UP = {
    "lists": b'{"record":"result","x":[' + b",".join([b"[]"] * 100_000) + b"]}",
    "states": b'{"record":"result","conditions":[' + b",".join([b'{"at_ns":0}'] * 100_000) + b"]}",
    "numbers": b'{"record":"result","cold_load_ns":[' + b",".join([b"777"] * 1_000_000) + b"]}",
    "length": b'{"record":"result","session":"' + b"x" * 5_000_000 + b'"}',
}


@pytest.mark.parametrize("what", BLOWN_UP)
def test_a_line_that_would_take_more_memory_than_an_honest_one_is_refused(what: str) -> None:
    assert Budget.of(JOBS).excess(BLOWN_UP[what]) is not None


@pytest.fixture
def visitor(tmp_path: Path) -> Visitor:
    """A phone that is asked for JOBS."""
    about = About.model_validate(FakePage("http://h:1/#s").about)
    found = Visitor(about, tmp_path / "lines", lambda: None)
    found.join("p1", about, "", b"", None)
    found.hand_over(Session(name="s", groups=[Group(jobs=[job]) for job in JOBS]), {})
    found.begin()
    return found


def sent(visitor: Visitor, data: bytes, first: int = 0) -> int:
    """The status that it is answered with."""
    try:
        visitor.lines("p1", visitor.work()["run"], first, data)
    except RefusedError as refused:
        return refused.status
    return 200


def test_lines_together_have_a_limit(visitor: Visitor) -> None:
    half = b"x" * 2_500_000 + b"\n"
    # 4.8 MB in all.
    assert sent(visitor, half) == 200
    visitor.read(0)
    assert sent(visitor, half, 1) == 413
    assert "5,000,002 bytes, 4,811,008 at most" in str(visitor.refused)


def test_there_is_a_line_for_each_job_and_some_for_reloads(visitor: Visitor) -> None:
    assert (sent(visitor, b"{}\n" * 66), sent(visitor, b"{}\n", 66)) == (200, 413)
    assert str(visitor.refused).endswith("67 lines, 66 at most")


def test_a_body_is_as_long_as_the_longest_line(visitor: Visitor) -> None:
    assert visitor.longest_body(10) == 65_536 + MOST * 128
    with pytest.raises(RefusedError, match="4,811,009 bytes, 4,811,008 were left"):
        visitor.longest_body(4_811_009)


def test_a_page_waits_until_the_host_has_read_what_it_sent(visitor: Visitor) -> None:
    assert (sent(visitor, b"x" * 4_500_000 + b"\n"), sent(visitor, b"{}\n", 1)) == (200, 429)
    assert visitor.refused is None
    assert len(visitor.read(0)) == 4_500_001
    assert sent(visitor, b"{}\n", 1) == 200


def test_a_page_that_waits_may_bring_more_than_the_last_run_needed(visitor: Visitor) -> None:
    visitor.hand_over(Session(name="s", groups=[Group(jobs=JOBS[1:])]), {})
    visitor.say("wait")
    visitor.join("p2", visitor.about, "ab" * 8, b"x" * 1_000_000 + b"\n", None)
    assert len(visitor.read(0)) == 1_000_001


def test_signs_of_life_are_short_and_few(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketgan.bench.devices.web.visitor._MOST_BEATS", 2)
    run = visitor.work()["run"]
    for beat in (b"x" * 513, b"{}\n{}"):
        with pytest.raises(RefusedError, match="one short line"):
            visitor.beat("p1", run, beat)
    for _ in range(5):
        assert visitor.beat("p1", run, b"{}")["state"] == "measure"
    assert visitor.read(0) == b"{}\n" * 2


def at_work(page: FakePage) -> tuple[FakePage, Record]:
    """A page that was asked for results, and for which."""
    order = page.join().json
    while order["state"] != "measure":
        order = page.work(order["state"], order["run"])
    return page, order


def test_a_page_that_sends_too_much_is_told_so_and_what_it_sent_before_counts(make_bundle: Any, tmp_path: Path) -> None:
    bundles = [make_bundle("first"), make_bundle("second", layers=2)]
    with measuring(bundles, tmp_path / "r.jsonl", fake_runtime(tmp_path / "ort"), time_limit_s=1.5) as session:
        page, order = at_work(FakePage(session.url))
        assert page.send(order["run"], page.results(order)[:1]).status == 200
        lie = b'{"record":"result","frames":[' + b",".join([b"{}"] * 600) + b"]}\n"
        refused = page.ask("POST", "/lines", lie, page.of(run=order["run"], first=1))
        told = "it sent more than was asked for: a line of more than 4 samples"
        assert (refused.status, refused.json) == (413, {"error": told})
        assert page.ask("POST", "/beat", b"", page.of(run=order["run"])).json == {"error": told}
        assert told in ended(session)
    assert [len(result.frames) for result in read_results([session.out]).results] == [4]


def test_a_page_of_yesterday_cannot_bring_endless_lines_and_takes_nobodys_place(
    make_bundle: Any, tmp_path: Path
) -> None:
    with measuring([make_bundle()], tmp_path / "r.jsonl", fake_runtime(tmp_path / "ort")) as session:
        liar, honest = FakePage(session.url), FakePage(session.url, number=1 << 40)
        refused = liar.join(run="ab" * 8, lines="{}\n" * 5000)
        told = "it sent more than was asked for: 5,000 lines, 4,096 at most"
        assert (refused.status, refused.json) == (413, {"error": told})
        again = liar.join()
        assert (again.status, again.json) == (403, {"error": told})
        honest.carry_out()
        (result,) = session.wait()
    assert result.device.model == honest.about["model"]


def test_more_frames_than_a_page_gives_are_not_asked_for() -> None:
    assert options_on(find_device("web"), JobOptions(iterations=3 * MOST, runs=3)).iterations == 3 * MOST
    with pytest.raises(DeviceError, match=r"--iterations 108001: a page gives 36,000 frames a run at most"):
        options_on(find_device("web"), JobOptions(iterations=3 * MOST + 1, runs=3))


def peak_mb(process: subprocess.Popen[str]) -> float:
    """The most memory that it ever held."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3


def as_many_frames_as_go(record: Record) -> None:
    """Ten minutes' worth within the second that was asked for: sound in everything."""
    (frame, *_) = record["frames"]
    lasts = 1_000_000_000 // MOST
    record["frames"] = [
        {**frame, "start_ns": 10**9 + number * lasts, "inference_ns": lasts - 1000} for number in range(MOST)
    ]


@pytest.mark.heavy
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="Linux alone tells a process's most memory")
def test_the_longest_answers_and_what_looks_like_them_take_little_memory(make_bundle: Any, tmp_path: Path) -> None:
    lies = [*BLOWN_UP.values(), b"1\n" * 2_000_000, b'{"conditions":[' + b'{"at_ns":0},' * MOST + b"{}]}"]
    bundles = [str(make_bundle(f"model{number}", layers=number + 1)) for number in range(3)]
    command = [
        sys.executable, "-m", "pocketgan", "bench", *bundles, "--device", "web", "--port", "0", "--phones", "40",
        "--mode", "sustained", "--seconds", "1", "--warmup", "0", "--warmup-timeout", "0", "--cold-repeats", "0",
        "--ort-web", str(fake_runtime(tmp_path / "ort")), "--out", str(tmp_path / "r.jsonl"),
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        url = local_url(process)
        for number in range(36):
            liar, order = at_work(FakePage(url, number=(number + 1) << 40))
            lie = lies[number % len(lies)] + b"\n"
            said = liar.ask("POST", "/lines", lie, liar.of(run=order["run"], first=0))
            assert said.status in (200, 413)
        hostile = peak_mb(process)
        page, order = at_work(FakePage(url))
        answers = [*page.results(order, as_many_frames_as_go), {"record": "end", "error": None}]
        for number, record in enumerate(answers):
            while page.send(order["run"], [record], first=number).status == 429:
                time.sleep(0.1)
        assert page.work("measure", order["run"])["state"] != "measure"
        print(f"36 pages that lie: {hostile:.0f} MB at most; three times {MOST:,} frames: {peak_mb(process):.0f} MB")
        assert max(hostile, peak_mb(process)) < 200
    finally:
        process.terminate()
        process.communicate()
    kept = [len(result.frames) for result in read_results([tmp_path / "r.jsonl"]).results if result.frames]
    assert kept == [MOST] * 3
