"""`--device web`: what a session of pages gives, and what of it is not believed. The pages are scripts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chromium import local_url
from concept_pack import pack_of_concepts
from fake_page import MS, QUICK, FakePage, Record, ended, fake_runtime, measuring

from pocketgan import api
from pocketgan.bench.devices import find_device
from pocketgan.bench.devices.web.options import WebOptions
from pocketgan.bench.jobs import EVERY_CONCEPT, JobOptions, options_on
from pocketgan.bench.journal import read_results
from pocketgan.bench.runs import measurements
from pocketgan.errors import DeviceError
from pocketgan.pipeline.bench import STAGE
from pocketgan.recipe.reading import load_recipe


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    return fake_runtime(tmp_path / "ort")


def test_a_phone_that_opens_the_page_is_measured(make_bundle: Any, runtime: Path, tmp_path: Path) -> None:
    with measuring([make_bundle()], tmp_path / "r.jsonl", runtime) as session:
        page = FakePage(session.url)
        assert page.carry_out()["state"] == "over"
        (result,) = session.wait()
    assert [frame.inference_ns for frame in result.frames] == [page.frame_ns] * 4
    assert (result.job.via, result.job.provider, result.page.browser) == ("page", "wasm", "Chrome 156")
    # What it is called comes from its first words, not from those of each result.
    assert (result.device.name, result.device.model, result.device.kind) == ("web:00000000", "Phone 1", "web")
    assert [one.frames for one in read_results([session.out]).results] == [result.frames]


def test_several_phones_are_several_devices(make_bundle: Any, runtime: Path, tmp_path: Path) -> None:
    bundles = [make_bundle("student"), make_bundle("unpruned", layers=2)]
    with measuring(bundles, tmp_path / "r.jsonl", runtime, phones=2) as session:
        pages = [FakePage(session.url, number=number << 40) for number in (1, 2)]
        threads = [threading.Thread(target=page.carry_out) for page in pages]
        for thread in threads:
            thread.start()
        results = session.wait()
        for thread in threads:
            thread.join()
    found = {(result.device.model, result.bundle_name) for result in results}
    assert found == {(page.about["model"], name) for page in pages for name in ("student", "unpruned")}
    assert len(measurements(read_results([session.out]).results)) == 4
    assert len({result.session for result in results}) == 1


def test_more_phones_than_are_waited_for_are_told_so(make_bundle: Any, runtime: Path, tmp_path: Path) -> None:
    with measuring([make_bundle()], tmp_path / "r.jsonl", runtime) as session:
        first, late = FakePage(session.url), FakePage(session.url, number=2)
        first.join()
        assert late.join().json["words"] == "this session has all the phones that it waits for"
        first.carry_out()
        session.wait()


def test_webgpu_is_measured_where_a_phone_has_it_and_skipped_where_it_is_a_program(
    make_bundle: Any, runtime: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with measuring([make_bundle()], tmp_path / "r.jsonl", runtime, phones=2) as session:
        real, program = FakePage(session.url, number=1 << 40), FakePage(session.url, number=2 << 40)
        gpu = {"providers": ["wasm", "webgpu"], "gpu": "arm valhall"}
        real.about |= gpu
        program.about |= {**gpu, "simulated_gpu": True}

        def faster_on_gpu(record: Record) -> None:
            if record["job"]["provider"] == "webgpu":
                for frame in record["frames"]:
                    frame["inference_ns"] //= 2

        real.carry_out(faster_on_gpu)
        program.carry_out()
        results = session.wait()
    ways = [(result.device.model, result.job.provider) for result in results]
    assert sorted(ways) == [
        ("Phone 1099511627776", "wasm"),
        ("Phone 1099511627776", "webgpu"),
        ("Phone 2199023255552", "wasm"),
    ]
    told = capsys.readouterr().err
    assert "WebGPU is the faster: 2.50 ms, WebAssembly 5.00 ms" in told


def test_the_faster_way_is_named_for_each_concept_of_a_pack(
    runtime: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = pack_of_concepts(tmp_path / "unpacked", tmp_path / "effects.pgb", concepts=("plain", "sepia"))
    options = replace(QUICK, concepts=(EVERY_CONCEPT,))
    with measuring([pack], tmp_path / "r.jsonl", runtime, options) as session:
        page = FakePage(session.url)
        page.about |= {"providers": ["wasm", "webgpu"], "gpu": "arm valhall"}

        def faster_on_gpu_but_for_sepia(record: Record) -> None:
            if (record["job"]["provider"] == "webgpu") == (record["job"]["concept"] == "plain"):
                for frame in record["frames"]:
                    frame["inference_ns"] //= 2

        page.carry_out(faster_on_gpu_but_for_sepia)
        session.wait()
    told = capsys.readouterr().err
    assert "effects onnx-fp32 plain: WebGPU is the faster: 2.50 ms, WebAssembly 5.00 ms" in told
    assert "effects onnx-fp32 sepia: WebAssembly is the faster: 2.50 ms, WebGPU 5.00 ms" in told


def wrong_digest(record: Record) -> None:
    record["job"]["bundle"] = "0" * 64


def impossible_stamps(record: Record) -> None:
    record["frames"][2]["start_ns"] = record["frames"][0]["start_ns"]


def of_an_other_kind(record: Record) -> None:
    record["device"]["kind"] = "local"


def hidden(record: Record) -> None:
    record["conditions"][0]["visible"] = False


def without_isolation(record: Record) -> None:
    record["page"]["threads"] = 4


LIES = [
    (wrong_digest, "a Job that was not asked"),
    (impossible_stamps, "starts go back in time"),
    (of_an_other_kind, "kind local, not web"),
    (hidden, "its page was hidden meanwhile"),
    (without_isolation, "it ran on 4 threads, not 1"),
]


@pytest.mark.parametrize(("lie", "told"), LIES, ids=lambda value: getattr(value, "__name__", ""))
def test_what_a_page_makes_up_is_no_result(
    lie: Any, told: str, make_bundle: Any, runtime: Path, tmp_path: Path
) -> None:
    with measuring([make_bundle()], tmp_path / "r.jsonl", runtime) as session:
        FakePage(session.url).carry_out(lie)
        (result,) = session.wait()
    assert not result.frames
    assert any(told in error for error in result.errors), result.errors


def test_a_reload_goes_on_where_it_was_and_lines_count_once(make_bundle: Any, runtime: Path, tmp_path: Path) -> None:
    bundles = [make_bundle(f"model{number}", layers=number + 1) for number in range(3)]
    options = JobOptions(iterations=6, rounds=2, runs=3, warmup=QUICK.warmup, cold_repeats=0)
    with measuring(bundles, tmp_path / "r.jsonl", runtime, options) as session:
        page = FakePage(session.url)
        order = page.join().json
        while order["state"] != "measure":
            order = page.work(order["state"], order["run"])
        lines = [*page.results(order), {"record": "end", "error": None}]
        page.send(order["run"], lines[:4])
        page.page = "p2"
        # What it kept includes two that never came, for the page was closed.
        kept = "".join(f"{json.dumps(line)}\n" for line in lines[:6])
        again = page.join(run=order["run"], lines=kept).json
        assert (again["run"], again["have"]) == (order["run"], 6)
        assert page.send(order["run"], lines[5:], first=5).json["have"] == 10
        assert page.work("measure", order["run"])["state"] != "measure"
        results = session.wait()
    assert [len(result.frames) for result in results] == [6, 6, 6]
    assert len(read_results([session.out]).results) == 9


def test_an_older_tab_is_told_that_another_one_measures(make_bundle: Any, runtime: Path, tmp_path: Path) -> None:
    with measuring([make_bundle()], tmp_path / "r.jsonl", runtime) as session:
        page = FakePage(session.url)
        page.join()
        newer = FakePage(session.url)
        newer.page = "p2"
        newer.join()
        assert page.ask("POST", "/beat", b"", page.of(run="")).status == 409
        newer.carry_out()
        session.wait()


def test_a_crash_is_the_fault_of_what_was_measured(make_bundle: Any, runtime: Path, tmp_path: Path) -> None:
    with measuring([make_bundle()], tmp_path / "r.jsonl", runtime) as session:
        page = FakePage(session.url)
        order = page.join().json
        while order["state"] != "measure":
            order = page.work(order["state"], order["run"])
        page.page = "p2"
        page.join(run=order["run"], crashed="tiny onnx-fp32")
        assert page.work("measure", order["run"])["state"] != "measure"
        (result,) = session.wait()
    assert result.errors == ["device web:00000000 ended too early (tiny onnx-fp32) while it measured this"]


def test_what_a_page_kept_of_a_killed_session_is_taken_over(make_bundle: Any, runtime: Path, tmp_path: Path) -> None:
    bundle, out = make_bundle(), tmp_path / "r.jsonl"
    with measuring([bundle], out, runtime, time_limit_s=0.5) as session:
        page = FakePage(session.url)
        order = page.join().json
        while order["state"] != "measure":
            order = page.work(order["state"], order["run"])
        kept = "".join(f"{json.dumps(line)}\n" for line in page.results(order))
        assert page.work("measure", order["run"])["words"] == "the session is over"
        ended(session)
    with measuring([bundle], out, runtime, resume=True) as session:
        again = FakePage(session.url)
        again.join(run=order["run"], lines=kept)
        assert again.work("wait")["state"] == "over"
        (result,) = session.wait()
    assert (result.session, len(result.frames)) == (order["session"]["name"], 4)


def test_without_resume_what_a_page_kept_of_yesterday_is_no_result(
    make_bundle: Any, runtime: Path, tmp_path: Path
) -> None:
    bundle = make_bundle()
    with measuring([bundle], tmp_path / "yesterday.jsonl", runtime) as session:
        page = FakePage(session.url)
        order = page.join().json
        while order["state"] != "measure":
            order = page.work(order["state"], order["run"])
        kept = "".join(f"{json.dumps(line)}\n" for line in page.results(order))
        page.carry_out()
        session.wait()
    with measuring([bundle], tmp_path / "today.jsonl", runtime) as session:
        again = FakePage(session.url)
        again.frame_ns = 7 * MS
        again.join(run=order["run"], lines=kept)
        again.carry_out()
        (result,) = session.wait()
    assert {frame.inference_ns for frame in result.frames} == {7 * MS}


def test_resume_skips_what_a_phone_has_measured(make_bundle: Any, runtime: Path, tmp_path: Path) -> None:
    bundle, out = make_bundle(), tmp_path / "r.jsonl"
    with measuring([bundle], out, runtime) as session:
        FakePage(session.url).carry_out()
        (first,) = session.wait()
    with measuring([bundle], out, runtime, resume=True) as session:
        page = FakePage(session.url)
        page.join()
        assert page.work("wait")["state"] == "over"
        (second,) = session.wait()
    assert (second.session, second.frames) == (first.session, first.frames)
    assert len(read_results([out]).results) == 1


def test_nobody_comes(make_bundle: Any, runtime: Path, tmp_path: Path) -> None:
    with measuring([make_bundle()], tmp_path / "r.jsonl", runtime, time_limit_s=0.3) as session:
        assert ended(session) == "nothing was measured to its end in 0.3 s: no phone opened the page"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"mode": "camera"}, "--mode camera: a page measures frame by frame"),
        ({"mode": "throughput"}, "--mode throughput: a page measures frame by frame"),
        ({"provider": "nnapi"}, "--provider nnapi is no browser's"),
        ({"clock": "pinned"}, "no browser holds a phone's clock"),
    ],
)
def test_what_no_browser_has_is_refused(changes: Any, told: str) -> None:
    with pytest.raises(DeviceError, match=told):
        options_on(find_device("web"), JobOptions(**changes))


def test_a_phone_without_what_was_asked_for_is_told_why(make_bundle: Any, runtime: Path, tmp_path: Path) -> None:
    options = JobOptions(iterations=4, rounds=1, runs=1, warmup=QUICK.warmup, threads=2)
    with measuring([make_bundle()], tmp_path / "r.jsonl", runtime, options, time_limit_s=2.0) as session:
        page = FakePage(session.url)
        page.about |= {"isolated": False, "most_threads": 1}
        page.join()
        assert "2 threads cannot be had there, its page is not isolated" in page.work("wait")["words"]
        assert "its page is not isolated" in ended(session)


def test_the_web_is_no_device_for_who_looks_on(make_bundle: Any) -> None:
    with pytest.raises(DeviceError, match="waits for somebody with a phone"):
        find_device("web").check([])
    with pytest.raises(DeviceError, match="go with --device web"):
        find_device("local", web=WebOptions(phones=2))
    with pytest.raises(DeviceError, match="measures without an app"):
        find_device("web", via="app")


def test_the_report_says_which_browser_measured_and_the_gate_what_differs(
    make_bundle: Any, runtime: Path, tmp_path: Path
) -> None:
    found = {}
    other = {"browser": "Firefox 140", "isolated": False, "timer_step_ns": 1_000_000}
    for name, page_of in {"one": {}, "other": other}.items():
        with measuring([make_bundle()], tmp_path / f"{name}.jsonl", runtime) as session:

            def lie(record: Record, page_of: Any = page_of) -> None:
                record["page"].update(page_of)

            FakePage(session.url).carry_out(lie)
            session.wait()
        found[name] = session.out
    page = api.report(found["one"], tmp_path / "report.html").read_text()
    assert "Chrome 156, isolated, clock in steps of 5 µs, no WebGPU" in page
    assert "a page in a browser" in page
    decision = api.compare(found["one"], found["other"])
    assert decision.verdict == "INCOMPARABLE"
    assert [line for line in decision.pairs[0].differences if line.startswith(("browser", "isolation", "timer"))] == [
        "browser: Chrome 156 and Firefox 140",
        "isolation: isolated and not isolated",
        "timer step: 5 µs and 1000 µs",
    ]


def test_a_recipe_cannot_wait_for_somebody_with_a_phone(tmp_path: Path) -> None:
    recipe = load_recipe("demo", ["bench.device=web"])
    with pytest.raises(DeviceError, match=r"bench\.device web waits for somebody with a phone"):
        STAGE.check(recipe)


def test_ctrl_c_ends_the_session_and_keeps_what_came(make_bundle: Any, runtime: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"
    command = [
        sys.executable, "-m", "pocketgan", "bench", str(make_bundle()), "--device", "web", "--port", "0",
        "--out", str(out), "--ort-web", str(runtime), "--iterations", "4", "--runs", "2", "--warmup", "0",
        "--warmup-timeout", "0", "--cold-repeats", "0",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heeded)
    page = FakePage(local_url(process))
    order = page.join().json
    while order["state"] != "measure":
        order = page.work(order["state"], order["run"])
    page.send(order["run"], page.results(order)[:1])
    while not out.read_text().count('"record":"result"'):
        page.ask("POST", "/beat", b"", page.of(run=order["run"]))
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 130, said
    assert "holds the runs that were complete; --resume goes on from there" in said
    assert [result.job.run for result in read_results([out]).results] == [0]


def heeded() -> None:
    """Tests may run in the background of a shell, where Ctrl-C is left unheard."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
