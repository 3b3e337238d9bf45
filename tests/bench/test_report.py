"""The report page: what it loads, what it shows, and what it refuses."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import synthetic_results as synthetic
from PIL import Image

from pocketgan.bench.report import summaries, write_report
from pocketgan.bench.report.charts import Series
from pocketgan.bench.report.pareto import Point, best
from pocketgan.errors import ResultsError

ONNX = "onnx-fp32"
VOID = {"meta", "img", "input"}
LOADING = {"src", "href", "srcset", "xlink:href", "data", "action", "poster", "background"}


class PageParser(HTMLParser):
    """Collects elements, text and the values of <data>; fails on a tag that closes another."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def report(folder: Path, records: list[dict[str, Any]]) -> PageParser:
    page = write_report([synthetic.write_records(folder / "results.jsonl", records)], folder / "report.html")
    parser = PageParser()
    parser.feed(page.read_text(encoding="utf-8"))
    parser.close()
    assert parser.open == []
    return parser


def fps_of(record: dict[str, Any]) -> float:
    times = [frame["pre_ns"] + frame["inference_ns"] + frame["post_ns"] for frame in record["frames"]]
    return 1e9 / float(np.median(times))


def test_page_loads_nothing_from_outside(tmp_path: Path) -> None:
    page = report(tmp_path, synthetic.usual_records())
    loaded = [value for _, attributes in page.elements for key, value in attributes.items() if key in LOADING]
    assert loaded
    assert all(value is not None and value.startswith("data:image/png;base64,") for value in loaded)
    assert not {"link", "iframe", "object", "embed"} & {tag for tag, _ in page.elements}
    source = (tmp_path / "report.html").read_text()
    # One script, whose hash is the only one that the page lets run.
    assert page.all("script") == [{}]
    script = re.findall(r"<script>(.*?)</script>", source, re.DOTALL)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in source
    assert not re.search(r"https?://|@import|url\(", source)
    assert any("default-src 'none'" in (meta.get("content") or "") for meta in page.all("meta"))


def test_a_given_teacher_is_told_once_in_one_line(tmp_path: Path) -> None:
    given = {"kind": "onnx", "file": "<b>mosaic.onnx", "sha256": "1234abcd" + 56 * "0"}
    records = synthetic.usual_records()
    for record in records:
        if record["record"] == "bundle" and record["manifest"]["name"] in ("student", "teacher"):
            record["manifest"] |= {"format_version": "1.2", "teacher": given}
    page = report(tmp_path, records)
    assert page.text.count("teacher: <b>mosaic.onnx, sha256 1234abcd…") == 1
    text = summaries.markdown(summaries.selection_of([tmp_path / "results.jsonl"]))
    assert text.count("* teacher: &lt;b&gt;mosaic.onnx, sha256 1234abcd…") == 1


def test_page_names_every_bundle_and_its_digest(tmp_path: Path) -> None:
    page = report(tmp_path, synthetic.usual_records())
    for name in synthetic.BUNDLES:
        assert name in page.text
        assert synthetic.digest(name) in page.text


def test_frame_rates_are_those_of_the_frames(tmp_path: Path) -> None:
    records = synthetic.usual_records()
    page = report(tmp_path, records)
    shown = [float(data["value"] or "nan") for data in page.all("data")]
    for record in records:
        if record["record"] == "result":
            assert any(value == pytest.approx(fps_of(record), rel=1e-9) for value in shown)


def test_headline_compares_the_student_with_what_would_ship_otherwise(tmp_path: Path) -> None:
    student, unpruned = synthetic.result("student", ONNX), synthetic.result("resnet9", ONNX)
    page = report(tmp_path, [*(synthetic.bundle(name) for name in ("student", "resnet9")), student, unpruned])
    ratio = fps_of(student) / fps_of(unpruned)
    assert f"{fps_of(student):.0f} FPS on Pixel 8 in ONNX Runtime: {ratio:.1f}× the unpruned resnet9" in page.text
    assert "12.0× fewer MACs, L1 0.11 against 0.10 for its teacher" in page.text


def test_speed_ratio_across_sessions_says_so(tmp_path: Path) -> None:
    other = synthetic.result("resnet9", ONNX, session="another")
    records = [*(synthetic.bundle(n) for n in ("student", "resnet9")), synthetic.result("student", ONNX), other]
    assert "measured in another session" in report(tmp_path, records).text


@pytest.mark.parametrize("attack", ["<script>alert(1)</script>", '"><img src=https://evil.example/x onerror=alert(1)>'])
def test_foreign_text_stays_text(tmp_path: Path, attack: str) -> None:
    bundle = synthetic.bundle("student", quality={attack: 0.5, "l1": 0.1})
    device = {**synthetic.DEVICE, "name": attack, "cpu": attack, "os": attack}
    ran = synthetic.result("student", ONNX, device=device, runtime_version=attack, errors=[attack])
    page = report(tmp_path, [bundle, ran])
    assert page.all("script") == [{}]
    assert all((image["src"] or "").startswith("data:") for image in page.all("img"))
    assert attack in page.text


def test_picture_that_is_no_png_is_left_out(tmp_path: Path) -> None:
    bundle = synthetic.bundle("student")
    bundle["samples"] = [{**bundle["samples"][0], "target": '" onload="alert(1)', "output": "QUJD"}]
    page = report(tmp_path, [bundle, synthetic.result("student", ONNX)])
    assert [image["alt"] for image in page.all("img")] == ["Sample 1, input", "Sample 1, teacher"]


def test_pictures_stand_in_the_order_input_target_teacher_student(tmp_path: Path) -> None:
    page = report(tmp_path, synthetic.usual_records())
    slid = 2 * len(page.all("input"))
    first = [image["alt"] for image in page.all("img")][slid:][:4]
    assert first == ["Sample 1, input", "Sample 1, target", "Sample 1, teacher", "Sample 1, student"]


def test_untrained_bundle_shows_latency_but_no_quality(tmp_path: Path) -> None:
    bundle = synthetic.bundle("student", trained=False, quality={"l1": 0.98765})
    page = report(tmp_path, [bundle, synthetic.result("student", ONNX)])
    assert "untrained: latency only" in page.text
    assert "0.98" not in page.text
    assert page.all("img") == []


@pytest.mark.parametrize("trained", [True, False])
def test_a_missed_floor_is_told_of_trained_networks_alone(tmp_path: Path, trained: bool) -> None:
    bundle = synthetic.bundle("student", trained=trained, spec={"family": "resnet"})  # one of our own
    entries = bundle["manifest"]["entries"]
    bundle["manifest"]["entries"] = [{**one, "parity": {**one["parity"], "psnr_db": 5}} for one in entries]
    page = report(tmp_path, [bundle, synthetic.result("student", ONNX)])
    assert ("misses its floor" in page.text) == trained
    assert ("untrained: no floor" in page.text) != trained


def test_simulated_device_gives_no_performance_number(tmp_path: Path) -> None:
    ran = synthetic.result("student", ONNX, device={**synthetic.DEVICE, "simulated": True})
    page = report(tmp_path, [synthetic.bundle("student"), ran])
    assert "No frame rate : all results come from simulated devices" in page.text
    assert "Simulated device: student" in page.text
    assert page.all("svg") == []
    assert not any(data["value"] == str(fps_of(ran)) for data in page.all("data"))


def test_errors_are_shown_in_words(tmp_path: Path) -> None:
    failed = synthetic.result("teacher", ONNX, frames=[], errors=["the runtime ran out of memory"])
    records = [*(synthetic.bundle(n) for n in ("student", "teacher")), synthetic.result("student", ONNX), failed]
    text = report(tmp_path, records).text
    assert "Error: teacher" in text
    assert "the runtime ran out of memory" in text


def test_bundle_without_results_says_so(tmp_path: Path) -> None:
    records = [*(synthetic.bundle(n) for n in ("student", "teacher")), synthetic.result("student", ONNX)]
    assert "No results for teacher" in report(tmp_path, records).text


def test_core_ml_that_was_not_measured_says_what_it_needs(tmp_path: Path) -> None:
    text = report(tmp_path, synthetic.usual_records()).text
    assert text.count("not measured on this device: needs an iPhone or a Mac") == len(synthetic.BUNDLES)


def test_only_the_latest_result_of_a_job_counts(tmp_path: Path) -> None:
    old = synthetic.result("student", ONNX, count=20, started_at="2025-01-01T00:00:00Z")
    new = synthetic.result("student", ONNX)
    page = report(tmp_path, [synthetic.bundle("student"), new, old])
    shown = {data["value"] for data in page.all("data")}
    assert str(fps_of(new)) in shown
    assert str(fps_of(old)) not in shown
    assert "1 earlier result is not shown" in page.text


def test_method_gives_the_command_that_repeats_it(tmp_path: Path) -> None:
    text = report(tmp_path, synthetic.usual_records()).text
    assert "pocketgan bench student.pgb teacher.pgb resnet9.pgb --device android --mode latency" in text
    assert "--iterations 250 --rounds 5 --runs 1 --warmup 5 --warmup-timeout 10 --threads 4" in text


def test_method_counts_the_processes_of_a_measurement(tmp_path: Path) -> None:
    first = synthetic.result("student", ONNX)
    runs = [{**first, "job": {**first["job"], "run": number}} for number in range(3)]
    text = report(tmp_path, [synthetic.bundle("student"), *runs]).text
    assert "--iterations 750 --rounds 15 --runs 3 --warmup 5" in text
    assert "750 frames in 15 rounds over 3 processes" in text


def test_the_front_holds_what_no_other_model_beats() -> None:
    def point(name: str, fps: float, distance: float) -> Point:
        return Point(Series(name, "student", fps, None, np.ones(1)), distance)

    fast, good = point("fast", 100, 0.5), point("good", 10, 0.1)
    beaten, as_fast, as_good = point("beaten", 50, 0.6), point("as fast", 100, 0.6), point("as good", 5, 0.1)
    assert best([good, beaten, as_good, as_fast, fast]) == [fast, good]


def test_charts_and_tables_can_be_read_aloud(tmp_path: Path) -> None:
    page = report(tmp_path, synthetic.usual_records())
    charts = [svg for svg in page.all("svg") if svg.get("class") == "chart"]
    assert len(charts) == 4
    assert all(svg.get("role") == "img" and svg.get("aria-label") for svg in charts)
    assert len(page.all("title")) == 1 + len(charts)
    assert len(page.all("caption")) == len(page.all("table")) == 3
    assert all(head.get("scope") in {"col", "row"} for head in page.all("th"))


@pytest.mark.parametrize("records", [[], [synthetic.bundle("student")]], ids=["empty", "bundle alone"])
def test_no_results_is_one_line_and_no_page(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    with pytest.raises(ResultsError, match="no results to report") as error:
        report(tmp_path, records)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "report.html").exists()


def test_result_without_its_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="has no bundle record"):
        report(tmp_path, [synthetic.result("student", ONNX)])


def test_failed_report_leaves_the_old_page_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    with pytest.raises(ResultsError):
        report(tmp_path, [])
    assert (tmp_path / "report.html").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "results.jsonl"]


@pytest.mark.parametrize("count", [1, 2, 9])
def test_a_handful_of_frames_is_enough_for_a_page(tmp_path: Path, count: int) -> None:
    ran = synthetic.result("student", ONNX, count=count)
    page = report(tmp_path, [synthetic.bundle("student"), ran])
    assert str(fps_of(ran)) in {data["value"] for data in page.all("data")}


def test_equal_frame_times_draw_a_finite_chart(tmp_path: Path) -> None:
    ran = synthetic.result("student", ONNX, count=30)
    for frame in ran["frames"]:
        frame["inference_ns"] = 9_000_000
    report(tmp_path, [synthetic.bundle("student"), ran])
    assert "nan" not in re.sub(r"base64,[^\"]+", "", (tmp_path / "report.html").read_text()).lower().split()


def test_many_frames_are_thinned_in_the_drawing(tmp_path: Path) -> None:
    ran = synthetic.result("student", ONNX, count=20_000)
    report(tmp_path, [synthetic.bundle("student", with_samples=False), ran])
    assert (tmp_path / "report.html").stat().st_size < 60_000


def sustained(name: str, slower_after_s: float | None, **changes: Any) -> dict[str, Any]:
    """A minute without a pause, a quarter slower from some second on."""
    rng, now, frames = np.random.default_rng(3), 0, []
    while now < 60e9:
        slow = slower_after_s is not None and now > slower_after_s * 1e9
        time = int(synthetic.BUNDLES[name][2] * 1e6 * (1.25 if slow else 1) * np.exp(0.02 * rng.standard_normal()))
        frames.append({"start_ns": now, "pre_ns": 0, "inference_ns": time, "post_ns": 0, "round": 0})
        now += time
    states = [
        {"at_ns": 0, "thermal_state": "nominal", "temperature_c": 31, "frequency_mhz": 2900},
        {"at_ns": 40_000_000_000, "thermal_state": "serious", "temperature_c": 68, "frequency_mhz": 2100},
    ]
    record: dict[str, Any] = synthetic.result(name, ONNX, frames=frames, conditions=states, **changes)
    job = {**record["job"], "mode": "sustained", "iterations": None, "duration_s": 60, "rounds": 1}
    return {**record, "job": job}


def test_a_sustained_run_shows_whether_it_throttles(tmp_path: Path) -> None:
    records = [*(synthetic.bundle(n) for n in ("student", "teacher")), sustained("student", 30)]
    page = report(tmp_path, [*records, sustained("teacher", None)])
    assert re.search(r"student falls from 8\d\.\d to 6\d\.\d FPS \(-2\d%\), first after [23]\d s", page.text)
    assert re.search(r"teacher holds 14\.\d FPS for \d\d s", page.text)
    assert "nominal → serious · 31 → 68 °C · 2,900 → 2,100 MHz" in page.text
    assert {"thermal-nominal", "thermal-serious"} <= {rect.get("class") for rect in page.all("rect")}


def test_results_of_several_devices_give_a_matrix(tmp_path: Path) -> None:
    other = {**synthetic.DEVICE, "name": "iPhone 15", "kind": "ios", "model": "iPhone15,4"}
    records = synthetic.usual_records()
    assert "Every model on every device" not in report(tmp_path, records).text
    page = report(tmp_path, [*records, synthetic.result("student", "coreml-fp16", device=other)])
    assert "Every model on every device" in page.text
    assert "iPhone 15 FPS" in page.text


def camera(estimated: bool = False) -> dict[str, Any]:
    """A frame of 12 ms is shown every 50 ms: 20 FPS."""
    job = {
        "bundle": synthetic.digest("student"), "entry": ONNX, "mode": "camera", "iterations": None, "duration_s": 10,
        "rounds": 1, "threads": 4, "via": "app", "provider": "nnapi",
    }  # fmt: skip
    ms = 1_000_000
    frames = [
        {
            "start_ns": at * ms, "pre_ns": ms, "inference_ns": 10 * ms, "post_ns": ms, "round": 0,
            "capture_ns": at * ms - ms, "display_ns": at * ms + 20 * ms, "display_estimated": estimated,
        }
        for at in range(1000, 11000, 50)
    ]  # fmt: skip
    return synthetic.result("student", ONNX, schema_version="1.1", job=job, frames=frames, dropped_frames=4)


def test_a_camera_shows_what_the_eye_sees(tmp_path: Path) -> None:
    page = report(tmp_path, [synthetic.bundle("student"), camera()])
    shown = [float(data["value"] or "nan") for data in page.all("data")]
    assert any(value == pytest.approx(20) for value in shown)
    assert "4 frames dropped" in page.text
    assert "estimated: the system does not tell" not in page.text
    assert "estimated: the system does not tell" in report(tmp_path, [synthetic.bundle("student"), camera(True)]).text


def test_runs_in_other_ways_are_groups_of_their_own(tmp_path: Path) -> None:
    app, shell = camera(), camera()
    shell["job"] = {**shell["job"], "via": "shell"}
    text = report(tmp_path, [synthetic.bundle("student"), app, shell]).text
    assert "via app · provider nnapi" in text
    assert "via shell · provider nnapi" in text


def test_what_was_measured_otherwise_is_marked_and_compared_with_nothing(tmp_path: Path) -> None:
    records = [*(synthetic.bundle(name) for name in synthetic.BUNDLES), synthetic.result("student", ONNX)]
    records += [synthetic.result("teacher", ONNX), synthetic.result("resnet9", ONNX, app_build="debug")]
    page = report(tmp_path, records)
    assert "Not comparable: resnet9" in page.text
    assert "build: release and debug" in page.text
    assert "× the teacher" in page.text
    assert "× the unpruned" not in page.text


def test_pictures_can_be_slid_apart(tmp_path: Path) -> None:
    page = report(tmp_path, synthetic.usual_records())
    sliders = [one for one in page.all("input") if one.get("type") == "range"]
    assert len(sliders) == 3
    assert all("Share of the input" in (one.get("aria-label") or "") for one in sliders)
    assert "Drag to see what student makes of the input" in page.text


def test_whole_photos_are_slid_apart_and_crops_stand_in_rows_alone(tmp_path: Path) -> None:
    student = synthetic.bundle("student")
    whole = base64.b64decode(student["samples"][0]["input"])
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(whole)) as photo:
        photo.resize((3 * photo.width, 2 * photo.height)).save(buffer, "PNG")
    student["samples"][0] |= dict.fromkeys(("input", "output"), base64.b64encode(buffer.getvalue()).decode())
    page = report(tmp_path, [student, synthetic.result("student", ONNX)])
    assert len([one for one in page.all("input") if one.get("type") == "range"]) == 1
    assert len([one for one in page.all("img") if one.get("alt", "").startswith("Sample 3, ")]) == 4


def test_edits_of_several_components_are_composed_and_say_so(tmp_path: Path) -> None:
    manifest = synthetic.manifest("resnet9")
    (entry,) = [one for one in manifest["entries"] if one["id"] == ONNX]
    (whole,) = entry["components"]
    parts = []
    for name, repeat in (("encoder", 1), ("denoiser", 40)):
        path = f"models/{ONNX}/{name}.bin"
        files = [synthetic.file_record(path, 100)]
        parts.append({**whole, "name": name, "repeat": repeat, "entry_point": path, "files": files})
    records = [synthetic.bundle("resnet9", role="diffusion", entries=[{**entry, "components": parts}])]
    for name, ms in (("encoder", 20), ("denoiser", 10)):
        frame = {"start_ns": 0, "pre_ns": 0, "post_ns": 0, "round": 0}
        frames = [{**frame, "inference_ns": ms * 1_000_000 + number} for number in range(12)]
        record = synthetic.result("resnet9", ONNX, frames=frames)
        records.append({**record, "job": {**record["job"], "component": name}})
    page = report(tmp_path, records)
    assert "resnet9 runs at 2.38 FPS" in page.text  # 20 ms + 40 times 10 ms
    assert "an edit of resnet9 is encoder + 40 × denoiser, each timed alone and added up" in page.text
    text = summaries.markdown(summaries.selection_of([tmp_path / "results.jsonl"]))
    assert "| onnx-fp32 (composed) |" in text
    (item,) = summaries.selection_of([tmp_path / "results.jsonl"]).timed
    # Each edit goes on where the last one ended: 40 frames of 12 are three times around and the next four.
    steps = [sum(number % 12 for number in range(first, first + 40)) for first in (0, 40)]
    assert [frame.inference_ns for frame in item.result.frames[:2]] == [420_000_000 + steps[0], 420_000_001 + steps[1]]
    report(tmp_path, records[:2])
    (item,) = summaries.selection_of([tmp_path / "results.jsonl"]).failed
    assert item.result.errors == ["no frames of the components denoiser, so that no edit can be composed"]


def test_markdown_and_junit_carry_the_same_figures(tmp_path: Path) -> None:
    records = synthetic.usual_records()
    records += [synthetic.result("teacher", "coreml-fp16", frames=[], errors=["wrong output"])]
    simulated = {**synthetic.DEVICE, "simulated": True, "name": "emulator"}
    records += [synthetic.result("student", "coreml-fp16", device=simulated)]
    selection = summaries.selection_of([synthetic.write_records(tmp_path / "r.jsonl", records)])
    text = summaries.markdown(selection)
    assert text.startswith("### student runs at 10")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len({row.count("|") for row in rows}) == 1
    assert len(rows) == 2 + 6
    assert "* teacher coreml-fp16: wrong output" in text
    assert "* student: simulated, no performance number" in text
    suites = {suite.get("name"): suite for suite in ElementTree.fromstring(summaries.junit(selection))}
    assert suites["Pixel 8"].attrib == {"name": "Pixel 8", "tests": "7", "failures": "1", "skipped": "0"}
    assert suites["emulator"].get("skipped") == "1"


def test_the_headline_sets_the_student_against_the_diffusion_editor_too(tmp_path: Path) -> None:
    records = [synthetic.bundle("student"), synthetic.bundle("resnet9"), synthetic.result("student", ONNX)]
    records += [synthetic.bundle("teacher", role="diffusion", trained=False), synthetic.result("resnet9", ONNX)]
    page = report(tmp_path, [*records, synthetic.result("teacher", ONNX)])
    assert re.search(r"9\.\d× the unpruned resnet9, 12\.0× fewer MACs, 6\.\d× the teacher", page.text)
    alone = [synthetic.bundle("teacher", role="diffusion"), synthetic.result("teacher", ONNX)]
    assert "×" not in report(tmp_path, alone).text.split(" Median frame")[0]
