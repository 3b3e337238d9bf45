"""The stage `report`: one HTML page of all results."""

from __future__ import annotations

from typing import Any

from pocketgan.pipeline.bench import RESULTS
from pocketgan.pipeline.stage import Context, Stage

REPORT = "report.html"


def _make_report(context: Context) -> dict[str, Any]:
    from pocketgan.bench.report import write_report

    stage = context.recipe.report
    assert stage is not None
    write_report([context.run / "bench" / RESULTS], context.folder / REPORT, stage.title)
    return {}


STAGE = Stage("report", 1, _make_report, inputs=("bench",))
