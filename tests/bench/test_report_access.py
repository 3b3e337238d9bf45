"""Nothing of the report keeps anybody out: axe-core on pages with all that a page can show, light and dark, wide and
narrow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import synthetic_results as synthetic
from axe import needs_axe, violations
from chromium import chromium, needs_chromium
from concept_pack import pack_of_concepts

from pocketgan.bench.devices.local import LocalDevice
from pocketgan.bench.jobs import EVERY_CONCEPT, JobOptions
from pocketgan.bench.report import write_report
from pocketgan.bench.report.training import Course
from pocketgan.bench.schema.job import Warmup
from pocketgan.bench.session import measure

pytestmark = [needs_chromium, needs_axe, pytest.mark.slow]
PHONE = {**synthetic.DEVICE, "name": "phone", "kind": "android"}


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    with chromium() as browser:
        yield browser.new_page()


def everything(folder: Path) -> Path:
    """Models, a matrix of devices, camera, energy, trainings, and whatever there is to be warned of."""
    sustained = synthetic.energy_result("student", device=PHONE, seconds=60)
    failed = synthetic.result("teacher", "coreml-fp16", frames=[], errors=["the runtime ran out of memory"])
    simulated = synthetic.result(
        "student", "executorch-xnnpack-fp32", device={**PHONE, "name": "emulator", "simulated": True}
    )
    records = [
        *synthetic.usual_records(count=40), synthetic.result("student", "onnx-fp32", count=40, device=PHONE),
        synthetic.camera_result("student", seconds=5, device=PHONE), sustained, simulated, failed,
        synthetic.bundle("resnet9", trained=False),
    ]  # fmt: skip
    values = [(step, {"l1": 0.3 - step / 10_000}) for step in (100, 200, 300)]
    course = Course("student", "student", 300, values, shipped_step=200, best_by="l1", images=8)
    trainings = [course, replace(course, name="teacher", role="teacher")]
    results = synthetic.write_records(folder / "results.jsonl", records)
    return write_report([results], folder / "report.html", trainings=trainings)


def of_a_pack(folder: Path) -> Path:
    """Effects and their pictures."""
    pack = pack_of_concepts(folder / "unpacked", folder / "effects.pgb")
    options = JobOptions(
        iterations=4, rounds=2, runs=1, warmup=Warmup(iterations=1, timeout_s=0), concepts=(EVERY_CONCEPT,)
    )
    measure([pack], LocalDevice(lock_folder=folder), options, folder / "results.jsonl")
    return write_report([folder / "results.jsonl"], folder / "report.html")


@pytest.mark.parametrize("written", [everything, of_a_pack])
def test_the_report_keeps_nobody_out(page: Any, tmp_path: Path, written: Any) -> None:
    page.goto(written(tmp_path).as_uri())
    for width, scheme in ((1400, "light"), (390, "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == [], (width, scheme)
