"""What only a phone has, where people read it: terminal, JSON, page, Markdown, JUnit, Parquet."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import synthetic_results as synthetic
from typer.testing import CliRunner

from pocketgan.bench.journal import read_results
from pocketgan.bench.measured import measured
from pocketgan.bench.report import write_report
from pocketgan.bench.report.remarks import remarks
from pocketgan.bench.schema.result import Result

CAMERA = synthetic.camera_result("student", seconds=60, delay_ms=80, dropped=3)
ENERGY = synthetic.energy_result("student", seconds=120, watts=4.0, frame_ms=20.0, noise=0.02)


def pinned(**changes: Any) -> dict[str, Any]:
    record = synthetic.result("student", "onnx-fp32", 60, schema_version="1.2", **changes)
    record["job"] = {**record["job"], "clock": "pinned", "via": "app"}
    return {**record, "clock": {"regime": "pinned", "before_mhz": 1803.0, "after_mhz": 1803.0}, **changes}


def result(record: dict[str, Any]) -> Result:
    return Result.model_validate({key: value for key, value in record.items() if key != "record"})


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., Path]:
    def make(*records: dict[str, Any]) -> Path:
        return synthetic.write_records(tmp_path / "r.jsonl", [synthetic.bundle("student", False), *records])

    return make


def page(path: Path) -> str:
    """Its words."""
    written = write_report([path], path.with_suffix(".html")).read_text()
    words = re.sub(r"<style.*?</style>|<script.*?</script>|<[^>]+>", " ", written, flags=re.DOTALL)
    return " ".join(html.unescape(words).split())


def test_a_camera_run_is_read_in_one_line() -> None:
    assert remarks(result(CAMERA)) == [
        "30.0 frames a second on the screen for 60 s; 3 dropped (0.2 %); from sensor to screen 80.0 ms, 95 % within "
        "83.3 ms; display 60 Hz"
    ]


def test_estimated_display_times_are_labelled_wherever_they_are_read(files: Callable[..., Path]) -> None:
    frames = [{**frame, "display_estimated": True} for frame in CAMERA["frames"]]
    estimated = {**CAMERA, "frames": frames}
    assert remarks(result(estimated))[0].endswith("display times estimated: the system does not tell them")
    assert page(files(estimated)).count("estimated") >= 3  # tile, bar, table


def test_the_page_tells_the_way_from_the_camera_to_the_screen(files: Callable[..., Path]) -> None:
    told = page(files(CAMERA))
    assert "student shows 30 FPS from the camera to the screen on Pixel 8 in ONNX Runtime" in told
    assert "Sensor to screen 80.0 ms 95 % within 83.3 ms" in told
    assert "Dropped frames 3 0.2 % of the camera's" in told
    assert "From the camera to the screen What the eye sees" in told
    assert "--mode camera --seconds 60" in told
    assert "--via app" in told


def test_the_page_tells_energy_with_its_interval_and_its_proof(files: Callable[..., Path]) -> None:
    told = page(files(ENERGY))
    found = measured(result(ENERGY)).energy
    assert found is not None
    assert re.search(r"Energy per frame (79|80)\.\d mJ \d\d\.\d to \d\d\.\d mJ, 95 %; the whole phone's", told)
    assert "readings of the battery's gauge in 119 s" in told
    assert "looked 2 times adb over Wi-Fi, no charger, nothing simulated" in told
    assert "--mode sustained --seconds 120" in told
    assert "--energy" in told


def test_energy_that_is_not_known_says_why_and_gives_no_number(files: Callable[..., Path]) -> None:
    short = synthetic.energy_result("student", seconds=20)
    assert remarks(result(short)) == [
        "no energy per frame: its gauge was read for 19 s; 30 s at least are needed (--seconds)"
    ]
    told = page(files(short))
    assert "not known its gauge was read for 19 s" in told
    assert " mJ" not in told


def test_no_headline_comes_from_a_held_clock(files: Callable[..., Path]) -> None:
    told = page(files(pinned()))
    assert "No frame rate : the clock was held, which is for comparisons alone" in told
    assert "pinned clock: for comparisons alone, no frame rate of an app (held at 1,803 MHz)" in told
    assert "pinned: 1,803 MHz before the frames, 1,803 MHz after them" in told
    # Beside one with its clock free, that one speaks.
    free = synthetic.result("student", "executorch-xnnpack-fp32", 60)
    assert "student runs at 1" in page(files(pinned(), free))
    assert "in ExecuTorch" in page(files(pinned(), free)).split("Frame rate")[0]


def test_a_phone_that_did_not_cool_in_time_is_told_with_what_to_do() -> None:
    hot = synthetic.result("student", "onnx-fp32", 60, schema_version="1.2", cool_down={"waited_s": 60, "cool": False})
    hot["job"] = {**hot["job"], "cool_down": {"timeout_s": 60}}
    hot["conditions"] = [{"at_ns": 0, "thermal_state": "serious", "temperature_c": 45.2}]
    assert remarks(result(hot)) == [
        "still hot after 60 s of waiting (serious, 45 °C), so that it was measured hot: let it cool somewhere cooler, "
        "or wait longer (--cool-down 120)"
    ]


def test_nnapi_is_called_deprecated_beside_its_figures() -> None:
    record = synthetic.result("student", "onnx-fp32", 60, schema_version="1.2")
    record["job"] = {**record["job"], "provider": "nnapi", "via": "app"}
    assert remarks(result(record)) == ["NNAPI is deprecated since Android 15"]
    older = {**record, "device": {**record["device"], "os": "Android 14"}}
    assert remarks(result(older)) == []


def test_markdown_and_junit_tell_it_as_well(files: Callable[..., Path], tmp_path: Path) -> None:
    from pocketgan.cli import app

    markdown, junit = tmp_path / "s.md", tmp_path / "s.xml"
    told = CliRunner().invoke(
        app,
        [
            "report",
            str(files(CAMERA, ENERGY)),
            "--out",
            str(tmp_path / "s.html"),
            "--markdown",
            str(markdown),
            "--junit",
            str(junit),
        ],
    )
    assert told.exit_code == 0, told.output
    assert "* student onnx-fp32: 30.0 frames a second on the screen for 60 s; 3 dropped (0.2 %)" in markdown.read_text()
    assert "the whole phone's" in markdown.read_text()
    outputs = [node.text or "" for node in ElementTree.parse(junit).iter("system-out")]
    assert any("3 dropped (0.2 %)" in text for text in outputs)
    assert any("mJ" in text for text in outputs)


def test_json_figures_of_camera_and_energy_are_numbers() -> None:
    from pocketgan.cli.measure import _figures

    seen = json.loads(json.dumps(_figures(measured(result(CAMERA)))))
    assert seen["camera"]["fps"] == pytest.approx(30)
    assert (seen["camera"]["dropped"], seen["camera"]["estimated"], seen["energy"]) == (3, False, None)
    drawn = json.loads(json.dumps(_figures(measured(result(ENERGY)))))
    assert drawn["camera"] is None
    assert drawn["energy"]["ci_low_j"] < 0.080 < drawn["energy"]["ci_high_j"]
    assert drawn["energy"]["watts"] == pytest.approx(4.0, rel=0.02)
    assert drawn["remarks"][0].endswith("the whole phone's")


def test_parquet_and_the_store_keep_what_a_phone_told(files: Callable[..., Path], tmp_path: Path) -> None:
    from pocketgan.bench.parquet import read_parquet, write_parquet
    from pocketgan.bench.store import Store

    path = files(CAMERA, ENERGY, pinned())
    known = read_results([path]).results
    write_parquet(tmp_path / "r.parquet", [("", one) for one in known])
    assert [one for _, one in read_parquet(tmp_path / "r.parquet")] == known
    with Store(str(tmp_path / "s.sqlite")) as store:
        store.add([path], "a" * 40)
        assert sorted(one.started_at for one in store.results("aaaa").results) == sorted(
            one.started_at for one in known
        )
        assert {one.model_dump_json() for one in store.results("aaaa").results} == {
            one.model_dump_json() for one in known
        }
