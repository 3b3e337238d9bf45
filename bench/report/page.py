"""What the page shows, as data: built from Results, rendered by `page.html`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pocketgan.bench.inputs import input_size
from pocketgan.bench.journal import BundleRecord, Results
from pocketgan.bench.report import charts, effects, labels, method, phone_tables, tables
from pocketgan.bench.report.headline import Headline, Tile, choose_hero, headline, tiles
from pocketgan.bench.report.matrix import device_matrix
from pocketgan.bench.report.matrix_tables import matrix_table
from pocketgan.bench.report.measurements import Group, Measurement, select
from pocketgan.bench.report.pareto import Point, quality_against_latency
from pocketgan.bench.report.remarks import FOR_COMPARISONS, warnings
from pocketgan.bench.report.sustained import frame_rate_over_time, sustained_run
from pocketgan.bench.report.training import Course, course_chart, course_table, metric_name, metrics_of
from pocketgan.bench.ways import ways
from pocketgan.errors import ResultsError

PNG_START = b"\x89PNG\r\n\x1a\n"
FEWEST_FOR_SCATTER = 3
# So many groups are charts and columns that nobody reads one by one: the matrix stands for them, the rest is folded.
MOST_GROUPS_IN_FULL = 8


@dataclass(frozen=True)
class Chart:
    """A drawing with its heading and what it was measured on."""

    heading: str
    note: str
    svg: Markup


@dataclass(frozen=True)
class Slider:
    """A picture before and after: base64 PNGs, `width` pixels across; `name` is the model's."""

    name: str
    before: str
    after: str
    width: int


@dataclass(frozen=True)
class Picture:
    """A PNG as base64, None where there is none."""

    label: str
    png: str | None
    role: str | None = None


@dataclass(frozen=True)
class Failure:
    """A run that went wrong, in words."""

    name: str
    where: str
    messages: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """Everything that the template prints, in its order."""

    title: str
    headline: Headline
    tiles: list[Tile]
    roles: list[tuple[str, str]]
    failures: list[Failure]
    unmeasured: list[str]
    untrained: list[str]
    frame_rates: list[Chart]
    latencies: list[Chart]
    models: tables.Table
    teachers: list[str]
    scatter: Chart | None
    matrix: tables.Table | None
    folded: bool
    sustained: list[Chart]
    camera: tables.Table | None
    energy: tables.Table | None
    warnings: list[tuple[str, str, list[str]]]
    sliders: list[Slider]
    incomparable: list[tuple[str, str, tuple[str, ...]]]
    picture_rows: list[list[Picture]]
    galleries: list[effects.Gallery]
    concepts: list[tables.Table]
    trainings: tables.Table | None
    courses: list[Chart]
    forms: tables.Table
    start: tables.Table | None
    simulated: list[tuple[str, str]]
    sessions: list[method.Session]
    digests: list[tuple[str, str]]
    superseded: int


def build_page(results: Results, title: str | None = None, trainings: Sequence[Course] = ()) -> Page:
    """The page of these results, and of the trainings that the models come from.

    Raises:
        ResultsError: no result at all, or a result whose bundle has no record.
    """
    if not results.results:
        raise ResultsError("no results to report; measure first with: pocketgan bench BUNDLE... --out results.jsonl")
    selection = select(results)
    hero = choose_hero(selection)
    order = {role: place for place, role in enumerate(labels.ROLE_ORDER)}
    bundles = sorted(results.bundles.values(), key=lambda b: (order[b.manifest.role], b.manifest.name))
    measured = {item.bundle.digest for item in selection.latest}
    head = headline(selection, hero)
    measured_trainings = [course for course in trainings if course.values]
    roles = {bundle.manifest.role for bundle in bundles}
    matrix = device_matrix(selection)
    folded = matrix is not None and len(selection.groups) > MOST_GROUPS_IN_FULL
    return Page(
        title=title or head.text,
        headline=head,
        tiles=tiles(hero) if hero else [],
        roles=[(role, labels.ROLES[role]) for role in labels.ROLE_ORDER if role in roles],
        failures=[_failure(item) for item in selection.failed],
        unmeasured=[b.manifest.name for b in bundles if b.digest not in measured],
        untrained=[b.manifest.name for b in bundles if not b.manifest.trained],
        frame_rates=[_frame_rates(group) for group in selection.groups],
        latencies=[_latencies(group) for group in selection.groups],
        models=tables.model_table(bundles, selection, with_rates=not folded),
        teachers=list(dict.fromkeys(str(b.manifest.teacher) for b in bundles if b.manifest.teacher)),
        scatter=_scatter(hero.group) if hero else None,
        matrix=None if matrix is None else matrix_table(matrix),
        folded=folded,
        sustained=[chart for item in selection.timed if (chart := _sustained(item)) is not None],
        camera=phone_tables.camera_table(selection),
        energy=phone_tables.energy_table(selection),
        warnings=[(item.name, _where(item), told) for item in selection.timed if (told := warnings(item.result))],
        sliders=_sliders(bundles),
        incomparable=[(item.name, _where(item), item.differences) for item in selection.incomparable],
        picture_rows=_picture_rows(bundles),
        galleries=effects.galleries(bundles),
        concepts=effects.concept_tables(bundles, selection),
        trainings=course_table(measured_trainings) if measured_trainings else None,
        courses=[
            Chart(metric_name(metric), "", course_chart(measured_trainings, metric))
            for metric in metrics_of(measured_trainings)
        ],
        forms=tables.form_table(bundles, selection),
        start=tables.start_table(selection),
        simulated=[(item.name, _where(item)) for item in selection.simulated],
        sessions=method.sessions(selection.latest),
        digests=method.digests(bundles),
        superseded=selection.superseded,
    )


def _heading(group: Group) -> tuple[str, str]:
    """Runtime and entry; and under it mode, threads, device."""
    first, job = group.first, group.first.job
    # Members of other sizes are told to be not comparable.
    size = input_size(group.members[0].entry, job.component)
    units = "" if job.compute_units == "all" else f" · compute units {job.compute_units}"
    units += "".join(f" · {way}" for way in ways(job))
    note = f"{job.mode} · {labels.plural(job.threads, 'thread')}{units} · {size} · {labels.device_name(group.device)}"
    return f"{labels.runtime_name(first.runtime)} · {job.entry}", note


def _series(group: Group) -> list[charts.Series]:
    series = []
    for item in group.members:
        if item.timing is None:
            continue
        notes = [] if item.role in item.name else [labels.ROLES[item.role]]
        notes += [] if item.bundle.manifest.trained else [tables.UNTRAINED]
        notes += ["with errors"] if item.flagged else []
        notes += ["composed of its components"] if item.result.composed else []
        notes += labels.camera_notes(item.result)
        notes += [FOR_COMPARISONS] if item.result.job.clock == "pinned" else []
        notes += ["not comparable"] if item.differences else []
        timing = item.timing
        note = " · ".join(notes)
        series.append(
            charts.Series(
                item.name, item.role, fps=timing.fps, bounds=timing.bounds, times_ms=timing.times_ms, note=note
            )
        )
    return series


def _frame_rates(group: Group) -> Chart:
    heading, note = _heading(group)
    return Chart(heading, note, charts.fps_bars(_series(group), f"Frames per second, {heading}"))


def _latencies(group: Group) -> Chart:
    heading, note = _heading(group)
    return Chart(heading, note, charts.latency_distributions(_series(group), f"Frame times, {heading}"))


def _scatter(group: Group) -> Chart | None:
    manifests = {(item.name, item.role): item.bundle.manifest for item in group.members}
    points = []
    for series in _series(group):
        manifest = manifests[series.name, series.role]
        if manifest.trained and "l1" in manifest.quality:
            points.append(Point(series, manifest.quality["l1"], manifest.cost.macs if manifest.cost else None))
    if len(points) < FEWEST_FOR_SCATTER:
        return None
    heading, note = _heading(group)
    where = f"{heading} · {note} · the larger the dot, the more MACs; the line joins those that none beats in both"
    return Chart("Quality against latency", where, quality_against_latency(points, "L1", heading))


def _sustained(item: Measurement) -> Chart | None:
    if item.result.job.mode != "sustained":
        return None
    run = sustained_run(item.name, item.role, item.result)
    if run is None:
        return None
    result = item.result
    where = f"{result.job.entry} · {labels.runtime_name(result.runtime)} · {labels.device_name(result.device)}"
    chart = frame_rate_over_time(run, f"Frame rate over time, {item.name}")
    return Chart(f"{item.name} {run.verdict}", where, chart)


def _failure(item: Measurement) -> Failure:
    return Failure(item.name, _where(item), tuple(item.result.errors))


def _where(item: Measurement) -> str:
    result = item.result
    device = labels.device_name(result.device)
    return f"{result.job.entry} in {labels.runtime_name(result.runtime)} on {device}, {result.job.mode}"


def _picture_rows(bundles: Sequence[BundleRecord]) -> list[list[Picture]]:
    """Rows input | target | teacher | outputs, one for each input; untrained bundles show no output."""
    trained = [bundle for bundle in bundles if bundle.manifest.trained]
    inputs = list(dict.fromkeys(row.input for bundle in trained for row in bundle.samples if row.input))
    by_input = {b.digest: {row.input: row for row in b.samples if row.input} for b in trained}
    # A teacher's own output is the teacher column; a second column would repeat it.
    columns = [b for b in trained if b.manifest.role != "teacher" and any(row.output for row in b.samples)]
    table = []
    for key in inputs:
        rows = [by_input[b.digest][key] for b in trained if key in by_input[b.digest]]
        teachers = [by_input[b.digest].get(key) for b in trained if b.manifest.role == "teacher"]
        teacher = next((row.teacher for row in rows if row.teacher), None)
        teacher = teacher or next((row.output for row in teachers if row is not None and row.output), None)
        pictures = [
            Picture("input", _png(key)),
            Picture("target", _png(next((row.target for row in rows if row.target), None))),
            Picture("teacher", _png(teacher), "teacher"),
        ]
        for bundle in columns:
            row = by_input[bundle.digest].get(key)
            pictures.append(Picture(bundle.manifest.name, _png(row.output if row else None), bundle.manifest.role))
        table.append(pictures)
    filled = [place for place in range(max(map(len, table), default=0)) if any(row[place].png for row in table)]
    return [[row[place] for place in filled] for row in table]


def _sliders(bundles: Sequence[BundleRecord]) -> list[Slider]:
    """What the student, or else the first trained model, makes of the largest samples: whole photos beside crops."""
    pictured = [bundle for bundle in bundles if bundle.manifest.trained and any(row.output for row in bundle.samples)]
    if not pictured:
        return []
    pairs = [(_png(row.input), _png(row.output)) for row in pictured[0].samples]
    sliders = [Slider(pictured[0].manifest.name, one, other, _width(one)) for one, other in pairs if one and other]
    widest = max((slider.width for slider in sliders), default=0)
    return [slider for slider in sliders if 2 * slider.width > widest]


def _width(png: str) -> int:
    """Pixels across of a base64 PNG, as its header says; 0 where that is cut off."""
    header = base64.b64decode(png[:32])
    return int.from_bytes(header[16:20], "big")


def _png(text: str | None) -> str | None:
    """`text` if it is base64 of a PNG, otherwise None."""
    if text is None:
        return None
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return text if content.startswith(PNG_START) else None
