"""The tables of the page: models, exported forms, start and memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from pocketgan.bench.inputs import input_size
from pocketgan.bench.journal import BundleRecord
from pocketgan.bench.report import labels
from pocketgan.bench.report.measurements import Group, Measurement, Selection, speed
from pocketgan.bench.ways import ways
from pocketgan.bundle.manifest import Entry, Manifest
from pocketgan.targets import APPLE, place_of

UNTRAINED = "untrained: latency only"
NEEDS_APPLE = f"not measured on this device: needs {APPLE}"


@dataclass(frozen=True)
class Cell:
    """One cell; `value` is the unrounded number where there is one, `role` gives a header cell its colour, `best`
    is the best of its row."""

    text: str
    note: str = ""
    value: float | None = None
    role: str | None = None
    bad: bool = False
    best: bool = False


@dataclass(frozen=True)
class Column:
    """Head of a column; numbers are set right-aligned."""

    label: str
    note: str = ""
    number: bool = True


@dataclass(frozen=True)
class Table:
    """The first cell of each row is its header. A sortable one is sorted by the page: its rows by any column, and the
    columns behind the second by any row."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[tuple[str, str], ...] = ()
    sortable: bool = False


NOTHING = Cell("–")


def model_table(bundles: Sequence[BundleRecord], selection: Selection, with_rates: bool = True) -> Table:
    """Quality, cost, size and, with a column for each group, frame rate; one row a bundle."""
    groups = selection.groups if with_rates else ()
    keys = labels.quality_order({key for b in bundles if b.manifest.trained for key in b.manifest.quality})
    columns = [Column("Model", number=False)]
    quality = [labels.quality_label(key) for key in keys]
    columns += [Column(label.name) for label in quality]
    columns += [
        Column("Input", number=False),
        Column("MACs", "per frame"),
        Column("Parameters"),
        Column("Size", "smallest form"),
    ]
    columns += [Column("FPS", group_name(group, selection)) for group in groups]
    rows = []
    for bundle in bundles:
        manifest, cost = bundle.manifest, bundle.manifest.cost
        row = [_bundle_cell(bundle, selection)]
        for key in keys:
            value = manifest.quality.get(key) if manifest.trained else None
            row.append(NOTHING if value is None else Cell(labels.significant(value), value=value))
        row.append(Cell(", ".join(dict.fromkeys(map(input_size, manifest.entries)))))
        row.append(NOTHING if cost is None else Cell(labels.count(cost.macs), value=cost.macs))
        row.append(NOTHING if cost is None else Cell(labels.count(cost.params), value=cost.params))
        smallest = min(manifest.entries, key=lambda entry: entry.bytes)
        row.append(Cell(labels.size(smallest.bytes), smallest.id, smallest.bytes))
        row += [_fps_cell(group, bundle, selection) for group in groups]
        rows.append(tuple(row))
    notes = tuple((label.name, label.meaning) for label in quality if label.meaning)
    caption = "Quality, cost, size and frame rate of each model" if groups else "Quality, cost and size of each model"
    return Table(caption, tuple(columns), tuple(rows), notes)


def form_table(bundles: Sequence[BundleRecord], selection: Selection) -> Table:
    """Every exported form of every bundle: size, parity against its floor, delegation, minimum OS, measured or not."""
    columns = (
        Column("Form", number=False),
        Column("Input", number=False),
        Column("Runtime", number=False),
        Column("Size"),
        Column("Parity", "PSNR to its source"),
        Column("Delegated", "of all operators"),
        Column("Minimum OS", number=False),
        Column("FPS here"),
    )
    rows = []
    for bundle in bundles:
        for entry in bundle.manifest.entries:
            form = Cell(entry.id, bundle.manifest.name, role=bundle.manifest.role)
            runtime = Cell(labels.runtime_name(entry.runtime), entry.runtime_version)
            os = Cell(entry.minimum_os) if entry.minimum_os else NOTHING
            concepts = len(bundle.manifest.concepts_of(entry.id))
            together = f"{labels.plural(concepts, 'concept')} together" if concepts else ""
            size = Cell(labels.size(entry.bytes), together, entry.bytes)
            measured = _measured_cell(bundle, entry, selection)
            parity = parity_cell(entry, bundle.manifest)
            pixels = Cell(input_size(entry))
            rows.append((form, pixels, runtime, size, parity, _delegation_cell(entry), os, measured))
    return Table("Exported forms", columns, tuple(rows))


def start_table(selection: Selection) -> Table | None:
    """Load times, first inference, memory and parity on the device; None where no real device told any."""
    columns = (
        Column("Model", number=False),
        Column("Entry", number=False),
        Column("Input", number=False),
        Column("Cold load", "fresh process"),
        Column("Warm load"),
        Column("First inference"),
        Column("Memory", "above the runtime"),
        Column("Parity here", "PSNR to golden"),
    )
    rows = []
    for item in selection.latest:
        result = item.result
        figures = (result.cold_load_ns, result.warm_load_ns, result.first_inference_ns, result.memory, result.parity)
        if result.device.simulated or not any(figures):
            continue
        memory = result.memory
        above = None if memory is None else max(memory.peak_bytes - memory.runtime_bytes, 0)
        total = "" if memory is None else f"{labels.size(memory.peak_bytes)} in all"
        rows.append(
            (
                Cell(item.name, labels.device_name(result.device), role=item.role),
                Cell(result.job.entry, labels.runtime_name(result.runtime)),
                Cell(input_size(item.entry, result.job.component)),
                _time_cell(result.cold_load_ns),
                _time_cell(result.warm_load_ns),
                _time_cell(result.first_inference_ns),
                NOTHING if above is None else Cell(labels.size(above), total, above),
                _measured_parity_cell(item),
            )
        )
    return Table("Load times, first inference and memory", columns, tuple(rows)) if rows else None


def group_name(group: Group, selection: Selection) -> str:
    """What tells the group from the others: its entry, and mode, threads or device where they differ."""
    first = group.first
    parts = [first.job.entry]
    for of in (
        lambda result: labels.device_name(result.device),
        lambda result: result.job.mode,
        lambda result: labels.plural(result.job.threads, "thread"),
        lambda result: f"compute units {result.job.compute_units}",
        lambda result: ", ".join(ways(result.job)) or "in a process",
    ):
        if len({of(other.first) for other in selection.groups}) > 1:
            parts.append(of(first))
    return ", ".join(parts)


def _bundle_cell(bundle: BundleRecord, selection: Selection) -> Cell:
    manifest = bundle.manifest
    notes = [labels.ROLES[manifest.role]]
    if not manifest.trained:
        notes.append(UNTRAINED)
    if not any(item.bundle.digest == bundle.digest for item in selection.latest):
        notes.append("no results: not measured")
    return Cell(manifest.name, " · ".join(notes), role=manifest.role)


def concept_cell(group: Group, bundle: BundleRecord, concept: str) -> Cell:
    """Frame rate of one concept of a pack."""
    members = [one for one in group.members if (one.bundle.digest, one.concept) == (bundle.digest, concept)]
    return fps_cell(members[0]) if members else NOTHING


def _fps_cell(group: Group, bundle: BundleRecord, selection: Selection) -> Cell:
    members = [member for member in group.members if member.bundle.digest == bundle.digest]
    if members:
        return _pack_cell(members)
    entry, device = group.first.job.entry, group.device
    for item in selection.failed:
        result = item.result
        if item.bundle.digest == bundle.digest and (result.job.entry, result.device) == (entry, device):
            return Cell("error", "see the top", bad=True)
    return NOTHING


def _pack_cell(members: Sequence[Measurement]) -> Cell:
    """Frame rate of a bundle; of a pack that of its default, or else of its fastest concept, and which that is."""
    shown = next((one for one in members if one.concept == one.bundle.manifest.default_concept), members[0])
    cell = fps_cell(shown)
    if shown.concept is None:
        return cell
    rates = [speed(one) for one in members]
    others = f", {labels.plural(len(members), 'concept')} {labels.fps(min(rates))} to {labels.fps(max(rates))}"
    note = f"{shown.concept}{others if members[1:] else ''}"
    return replace(cell, note=" · ".join(filter(None, (cell.note, note))))


def fps_cell(item: Measurement) -> Cell:
    """Frame rate with its 95 % interval."""
    timing = item.timing
    if timing is None:
        return NOTHING
    notes = [] if timing.bounds is None else [f"{labels.fps(timing.bounds[0])} to {labels.fps(timing.bounds[1])}"]
    if item.flagged:
        notes.append("with errors")
    if item.differences:
        notes.append("not comparable")
    if item.result.composed:
        notes.append("composed")
    notes += labels.camera_notes(item.result)
    notes += ["pinned clock"] if item.result.job.clock == "pinned" else []
    return Cell(labels.fps(timing.fps), ", ".join(notes), timing.fps, bad=item.flagged or bool(item.differences))


def _measured_cell(bundle: BundleRecord, entry: Entry, selection: Selection) -> Cell:
    of_entry = [
        item for item in selection.latest if item.bundle.digest == bundle.digest and item.result.job.entry == entry.id
    ]
    timed = [item for item in of_entry if item.timing is not None]
    if timed:
        latency = [item for item in timed if item.result.job.mode == "latency"]
        return _pack_cell(latency or timed)
    if any(item.flagged for item in of_entry):
        return Cell("error", "see the top", bad=True)
    if any(item.result.device.simulated for item in of_entry):
        return Cell("simulated only", "no performance number")
    if place_of(entry.target) == APPLE:
        return Cell(NEEDS_APPLE)
    return Cell("not measured")


def parity_cell(entry: Entry, manifest: Manifest) -> Cell:
    """What it was exported with; red below a floor that binds it."""
    parity = entry.parity
    if not manifest.has_reference(entry):
        return Cell(labels.NO_REFERENCE)
    if parity is None:
        return Cell("not checked", entry.unchecked or "")
    if not manifest.must_meet_floors():
        return Cell(labels.decibel(parity.psnr_db), "untrained: no floor", parity.psnr_db)
    note = f"floor {parity.floor_db:g} dB" if parity.passed else f"misses its floor of {parity.floor_db:g} dB"
    return Cell(labels.decibel(parity.psnr_db), note, parity.psnr_db, bad=not parity.passed)


def _measured_parity_cell(item: Measurement) -> Cell:
    manifest, parity = item.bundle.manifest, item.result.parity
    if not manifest.has_reference(item.entry):
        return Cell(labels.NO_REFERENCE)
    if parity is None:
        return NOTHING
    return Cell(labels.decibel(parity.psnr_db), f"max error {parity.max_abs_error:.2g}")


def _delegation_cell(entry: Entry) -> Cell:
    delegation = entry.delegation
    if delegation is None:
        return NOTHING
    note = labels.plural(delegation.subgraphs, "subgraph")
    if delegation.fallen:
        note += "; outside: " + ", ".join(f"{name} ×{count}" for name, count in sorted(delegation.fallen.items()))
    return Cell(labels.percent(delegation.delegated_fraction), note, delegation.delegated_fraction)


def _time_cell(times_ns: Sequence[int]) -> Cell:
    if not times_ns:
        return NOTHING
    value_ms = median(times_ns) / 1e6
    return Cell(
        labels.milliseconds(value_ms), "one run" if len(times_ns) == 1 else f"median of {len(times_ns)}", value_ms
    )
