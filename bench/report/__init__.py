"""The report: one self-contained HTML page that loads nothing, from results files."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pocketgan.bench.report.training import Course


def write_report(
    results: Sequence[Path],
    out: Path,
    title: str | None = None,
    trainings: Sequence[Course] = (),
    trusted: Sequence[bytes] = (),
) -> Path:
    """Write the page of these results files to `out`, whole or not at all, and return `out`.

    Args:
        results: one or more results.jsonl files, shown together.
        title: of the browser's tab; the headline if None.
        trainings: what was measured while the models were trained, where that is known.
        trusted: raw public keys, one of which must have signed each file; nobody need have where there are none.
    Raises:
        ResultsError: a file is missing, broken, foreign or not to be trusted, or there is no result in any.
        StorageError: the disk is full or read-only.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    from pocketgan.bench.journal import read_results
    from pocketgan.bench.report.page import build_page
    from pocketgan.files import write_atomic

    page = build_page(read_results(results, trusted), title, trainings)
    folder = files(__name__)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(folder.joinpath("page.html").read_text(encoding="utf-8"))
    style, script = (Markup(folder.joinpath(name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    write_atomic(out, template.render(page=page, style=style, script=script, script_hash=f"sha256-{digest}"))
    return out
