"""The matrix of models and devices: what is a column, what is best, how far it spreads, and how the page sorts it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import synthetic_fleet as fleet
import synthetic_results as synthetic
from chromium import chromium, needs_chromium

from pocketgan.bench.report import summaries, write_report
from pocketgan.bench.report.matrix import Matrix, device_matrix

PHONE, TWIN, OTHER = fleet.phone(1), fleet.phone(2), fleet.phone(3, "iPhone")
SHOWN = "Every model on every device"


def matrix(folder: Path, *results: list[dict[str, Any]]) -> Matrix | None:
    return device_matrix(summaries.selection_of([write(folder, *results)]))


def write(folder: Path, *results: list[dict[str, Any]]) -> Path:
    measured = [record for records in results for record in records]
    models = dict.fromkeys(record["bundle_name"] for record in measured)
    return synthetic.write_records(folder / "r.jsonl", [*map(fleet.bundle, models), *measured])


def must(found: Matrix | None) -> Matrix:
    assert found is not None
    return found


def columns(found: Matrix | None) -> list[str]:
    return [column.label for column in must(found).columns]


def test_phones_of_one_model_are_a_column_with_the_best_and_the_spread_over_all_runs(tmp_path: Path) -> None:
    found = must(matrix(tmp_path, fleet.result("m", PHONE, 50, 40, 45), fleet.result("m", TWIN, 80, 100)))
    assert [(column.name, column.devices) for column in found.columns] == [("Pixel 8", 2)]
    (rate,) = found.rows[0].rates
    assert rate is not None
    # Of frames of 12.5 and 10 ms, as many of each, the median lies in the middle.
    assert rate.fps == pytest.approx(1000 / 11.25)
    assert (rate.low, rate.high) == pytest.approx((40, 100))
    assert (rate.devices, rate.runs) == (2, 5)


def test_a_single_device_has_no_matrix_however_it_computes(tmp_path: Path) -> None:
    ways = [fleet.result("m", PHONE, 50), fleet.result("m", PHONE, 90, provider="webgpu")]
    assert matrix(tmp_path, *ways) is None
    page = write_report([write(tmp_path, *ways)], tmp_path / "r.html").read_text()
    assert SHOWN not in page
    assert '<table class="sortable">' not in page
    assert "<details" not in page
    assert "webgpu" in page


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"provider": "webgpu"}, {"Pixel 8, wasm", "Pixel 8, webgpu"}),
        ({"threads": 2}, {"Pixel 8, 1 thread", "Pixel 8, 2 threads"}),
        ({"page": {"browser": "Firefox 140"}}, {"Pixel 8, Chrome 156", "Pixel 8, Firefox 140"}),
        ({"page": {"isolated": False}}, {"Pixel 8, isolated", "Pixel 8, not isolated"}),
        ({"page": {"gpu": "arm bifrost"}}, {"Pixel 8, GPU arm valhall", "Pixel 8, GPU arm bifrost"}),
        ({"app_build": "debug"}, {"Pixel 8, build release", "Pixel 8, build debug"}),
        ({"runtime_version": "1.30"}, {"Pixel 8, onnxruntime 1.23.2", "Pixel 8, onnxruntime 1.30"}),
    ],
)
def test_what_makes_results_incomparable_is_a_column_of_its_own(
    tmp_path: Path, told: dict[str, Any], expected: set[str]
) -> None:
    found = matrix(tmp_path, fleet.result("m", PHONE, 50), fleet.result("m", TWIN, 90, **told))
    assert set(columns(found)) == expected


def test_another_system_is_another_column(tmp_path: Path) -> None:
    later = fleet.phone(2, os="Android 17")
    found = matrix(tmp_path, fleet.result("m", PHONE, 50), fleet.result("m", later, 50))
    assert columns(found) == ["Pixel 8, Android 16", "Pixel 8, Android 17"]


def test_a_state_that_others_were_not_in_is_left_out_and_told(tmp_path: Path) -> None:
    hidden = fleet.result("m", TWIN, 900, conditions=[{"at_ns": 0, "visible": False}])
    third = fleet.result("m", fleet.phone(4), 60)
    found = must(matrix(tmp_path, fleet.result("m", PHONE, 50), hidden, third))
    (rate,) = found.rows[0].rates
    assert rate is not None
    assert rate.fps == pytest.approx(60)
    assert rate.notes == ("1 device left out: page: in front and hidden",)


def test_simulated_devices_have_no_place_in_it(tmp_path: Path) -> None:
    emulator = fleet.phone(9, "Emulator", simulated=True)
    measured = [fleet.result("m", PHONE, 50), fleet.result("m", emulator, 500)]
    assert matrix(tmp_path, *measured) is None
    assert columns(matrix(tmp_path, *measured, fleet.result("m", OTHER, 70))) == ["iPhone", "Pixel 8"]


def test_a_model_that_failed_on_a_device_is_an_error_and_one_that_was_not_measured_nothing(tmp_path: Path) -> None:
    failed = fleet.result("b", OTHER, 1, frames=[], errors=["out of memory"])
    found = must(matrix(tmp_path, fleet.result("a", PHONE, 50), fleet.result("a", OTHER, 70), failed))
    assert [column.name for column in found.columns] == ["iPhone", "Pixel 8"]
    first, second = found.rows
    assert found.best(first) == 0
    assert found.best(second) is None
    assert second.rates[0] is not None
    assert second.rates[0].fps is None
    assert second.rates[1] is None


def test_two_bundles_of_one_name_are_told_apart(tmp_path: Path) -> None:
    again = fleet.bundle("m") | {"digest": "f" * 64}
    others = fleet.result("m", OTHER, 70)
    others[0]["job"]["bundle"] = "f" * 64
    records = [fleet.bundle("m"), again, *fleet.result("m", PHONE, 50), *others]
    page = write_report([synthetic.write_records(tmp_path / "r.jsonl", records)], tmp_path / "r.html").read_text()
    assert "ffffffff" in page.split(SHOWN)[1].split("Frame rate</h2>")[0]


def test_markdown_and_json_carry_it(tmp_path: Path, pocketgan: Callable[..., CompletedProcess[str]]) -> None:
    write(tmp_path, fleet.result("m", PHONE, 50, 40), fleet.result("m", OTHER, 125))
    done = pocketgan("report", "r.jsonl", "--markdown", "r.md", "--json")
    told = json.loads(done.stdout)["matrix"]
    assert [device["name"] for device in told["devices"]] == ["iPhone", "Pixel 8"]
    (row,) = told["rows"]
    assert (row["bundle"], row["entry"], row["concept"], row["best_on"]) == ("m", "onnx-fp32", None, 0)
    assert [rate["fps"] for rate in row["rates"]] == pytest.approx([125, 1000 / 22.5])
    assert row["rates"][1]["spread"] == pytest.approx([40, 50])
    text = (tmp_path / "r.md").read_text()
    assert "| model | entry | best on | iPhone | Pixel 8 |" in text
    assert "| m | onnx-fp32, 3x256x256 | iPhone | 125 (one run) | 44.4 (40.0 to 50.0, 2 runs) |" in text


def test_of_many_phones_the_matrix_stands_open_and_the_rest_is_folded(tmp_path: Path) -> None:
    phones = [fleet.phone(number, f"Phone {number % 25}") for number in range(30)]
    records = fleet.fleet(phones, [f"model-{number}" for number in range(10)])
    page = write_report([synthetic.write_records(tmp_path / "r.jsonl", records)], tmp_path / "r.html").read_text()
    table = page.split('<table class="sortable">')[1].split("</table>")[0]
    assert table.count('<th scope="col"') == 2 + 25
    assert table.count('<th scope="row"') == 10
    # The thirtieth phone has runs at 147, 144 and 141 FPS; the first of its model is at 72, 70.6 and 69.1.
    assert ">144</data>" in table
    assert "69.1\u00a0to\u00a0147" in table
    assert [part.split("</summary>")[0] for part in page.split("<summary>")[1:]] == [
        "30 charts", "30 charts", "300 measurements", "30 sessions",
    ]  # fmt: skip
    assert SHOWN not in "".join(part.split("</details>")[0] for part in page.split("<details")[1:])


@needs_chromium
def test_it_is_sorted_by_its_heads_with_the_keyboard(tmp_path: Path) -> None:
    slow_on_iphone = [fleet.result("a", PHONE, 50), fleet.result("a", OTHER, 10)]
    fast_on_iphone = [fleet.result("b", PHONE, 30), fleet.result("b", OTHER, 90), fleet.result("c", OTHER, 40)]
    page_file = write_report([write(tmp_path, *slow_on_iphone, *fast_on_iphone)], tmp_path / "r.html")
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.goto(page_file.as_uri())

        def models() -> list[str]:
            return [text.split()[0] for text in page.locator(".sortable tbody th").all_inner_texts()]

        def devices() -> list[str]:
            return [text.split("\n")[0] for text in page.locator(".sortable thead th").all_inner_texts()[2:]]

        def press(name: str, key: str = "Enter") -> None:
            page.locator(".sortable button", has_text=name).first.focus()
            page.keyboard.press(key)

        assert (models(), devices()) == (["a", "b", "c"], ["iPhone", "Pixel 8"])
        press("iPhone")
        assert models() == ["b", "c", "a"]
        press("iPhone", "Space")
        assert models() == ["a", "c", "b"]
        assert page.locator(".sortable thead [aria-sort=ascending]").count() == 1
        press("Pixel 8")
        assert models() == ["a", "b", "c"]  # c has no figure there
        page.locator(".sortable tbody button").first.click()
        assert devices() == ["Pixel 8", "iPhone"]
        figures = page.locator(".sortable tbody tr").first.locator("td data").all_inner_texts()
        assert figures == ["50.0", "50.0", "10.0"]
        # Scrolling is the table's, never the page's.
        assert page.evaluate("document.documentElement.scrollWidth") == 390
