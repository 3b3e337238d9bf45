"""The report's figures as Markdown for a pull request, and as JUnit XML for a CI's list of tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from pocketgan.bench.budget import USUAL_MS
from pocketgan.bench.inputs import input_size
from pocketgan.bench.journal import read_results
from pocketgan.bench.report import labels
from pocketgan.bench.report.headline import choose_hero, headline
from pocketgan.bench.report.markdown import escaped, table
from pocketgan.bench.report.matrix import device_matrix
from pocketgan.bench.report.matrix_tables import matrix_markdown
from pocketgan.bench.report.measurements import Measurement, Selection, select
from pocketgan.bench.report.remarks import remarks
from pocketgan.errors import ResultsError

COLUMNS = (
    "model", "entry", "input", "device", "mode", "FPS", "95 % interval", "median", "p90", "within 33.3 ms", "memory",
    "size", "parity",
)  # fmt: skip


def selection_of(results: Sequence[Path], trusted: Sequence[bytes] = ()) -> Selection:
    """What counts in these results files.

    Args:
        trusted: see `write_report`.
    Raises:
        ResultsError: a file is missing, broken, foreign or not to be trusted, or there is no result in any.
    """
    content = read_results(results, trusted)
    if not content.results:
        raise ResultsError("no results to report; measure first with: pocketgan bench BUNDLE... --out results.jsonl")
    return select(content)


def markdown(selection: Selection) -> str:
    """The headline, of several devices the matrix of models and devices, a table of everything measured, and what to
    know of it."""
    lines = [f"### {escaped(headline(selection, choose_hero(selection)).text)}", ""]
    matrix = device_matrix(selection)
    lines += [] if matrix is None else [*matrix_markdown(matrix), ""]
    lines += [*table(COLUMNS, [_row(item) for item in selection.timed]), ""]
    notes = [
        f"{item.name} {item.result.job.entry}: {error}" for item in selection.failed for error in item.result.errors
    ]
    notes += [f"{item.name}: simulated, no performance number" for item in selection.simulated]
    notes += [f"{item.name} cannot be compared: {', '.join(item.differences)}" for item in selection.incomparable]
    notes += [
        f"{item.name} {item.result.job.entry}: {line}" for item in selection.timed for line in remarks(item.result)
    ]
    teachers = (item.bundle.manifest.teacher for item in selection.latest)
    notes += dict.fromkeys(f"teacher: {teacher}" for teacher in teachers if teacher is not None)
    return "\n".join([*lines, *(f"* {escaped(note)}" for note in notes)]).rstrip() + "\n"


def junit(selection: Selection) -> str:
    """A suite for each device, a test for each entry of each bundle: failed where it has errors, skipped where its
    device is simulated."""
    root = ElementTree.Element("testsuites", name="pocketgan report")
    suites: dict[str, list[Measurement]] = {}
    for item in selection.latest:
        suites.setdefault(labels.device_name(item.result.device), []).append(item)
    for device, items in suites.items():
        failed = sum(bool(item.result.errors) for item in items)
        skipped = sum(item.result.device.simulated and not item.result.errors for item in items)
        counts = {"tests": str(len(items)), "failures": str(failed), "skipped": str(skipped)}
        suite = ElementTree.SubElement(root, "testsuite", {"name": device, **counts})
        for item in items:
            seconds = "0" if item.timing is None else f"{item.timing.summary.median / 1e3:.6f}"
            name = f"{item.result.job.entry} {item.result.job.mode}"
            case = ElementTree.SubElement(suite, "testcase", classname=item.name, name=name, time=seconds)
            if item.result.errors:
                ElementTree.SubElement(case, "failure", message="; ".join(item.result.errors))
            elif item.result.device.simulated:
                ElementTree.SubElement(case, "skipped", message="simulated: no performance number")
            elif item.timing is not None:
                told = [", ".join(_row(item)[5:]), *remarks(item.result)]
                ElementTree.SubElement(case, "system-out").text = "; ".join(told)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _row(item: Measurement) -> tuple[str, ...]:
    timing, result = item.timing, item.result
    assert timing is not None
    entry = item.entry
    if not item.bundle.manifest.has_reference(entry):
        parity = labels.NO_REFERENCE
    else:
        parity = "-" if result.parity is None else labels.decibel(result.parity.psnr_db)
    return (
        item.name,
        result.job.entry + (" (composed)" if result.composed else ""),
        input_size(entry, result.job.component),
        labels.device_name(result.device),
        result.job.mode,
        labels.fps(timing.fps),
        "-" if timing.bounds is None else " to ".join(labels.fps(bound) for bound in timing.bounds),
        labels.milliseconds(timing.summary.median),
        labels.milliseconds(timing.summary.p90),
        labels.percent(timing.share_within(USUAL_MS)),
        "-" if result.memory is None else labels.size(result.memory.peak_bytes),
        labels.size(entry.bytes),
        parity,
    )
