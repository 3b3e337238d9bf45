"""Tables of what only a phone has: the way from its camera to its screen, and energy from its battery."""

from __future__ import annotations

from pocketgan.bench.camera import camera_figures, refresh_words
from pocketgan.bench.energy import Energy, energy
from pocketgan.bench.report import labels
from pocketgan.bench.report.measurements import Measurement, Selection
from pocketgan.bench.report.remarks import energy_words, gauge_words
from pocketgan.bench.report.tables import NOTHING, Cell, Column, Table


def camera_table(selection: Selection) -> Table | None:
    """Frames shown a second, dropped ones, and the delay; None where nothing was measured from a camera."""
    columns = (
        Column("Model", number=False),
        Column("Entry", number=False),
        Column("FPS", "shown a second"),
        Column("Dropped"),
        Column("Sensor to screen", "median"),
        Column("95 % within"),
        Column("Display", number=False),
    )
    rows = []
    for item in selection.timed:
        found = camera_figures(item.result)
        if found is None:
            continue
        bounds = None if item.timing is None else item.timing.bounds
        note = "" if bounds is None or bounds[0] == bounds[1] else " to ".join(map(labels.fps, bounds))
        share = "" if found.dropped_share is None else labels.percent(found.dropped_share)
        told = "estimated" if found.estimated else "told by the system"
        rows.append(
            (
                *_names(item),
                Cell(labels.fps(found.fps), note, found.fps),
                NOTHING if found.dropped is None else Cell(f"{found.dropped:,}", share, found.dropped),
                Cell(labels.milliseconds(found.delay_ms), told, found.delay_ms),
                Cell(labels.milliseconds(found.delay_p95_ms), "", found.delay_p95_ms),
                Cell(refresh_words(found.refresh_hz) or "unknown", f"for {found.seconds:.0f} s"),
            )
        )
    return Table("From the camera to the screen", columns, tuple(rows)) if rows else None


def energy_table(selection: Selection) -> Table | None:
    """Energy of a frame with its interval, or why it is not known; None where nobody asked."""
    columns = (
        Column("Model", number=False),
        Column("Entry", number=False),
        Column("Energy per frame", "95 % interval"),
        Column("Power", "the whole phone's"),
        Column("Proof", "that no charger was on it", number=False),
    )
    rows = []
    for item in selection.timed:
        if not item.result.job.energy:
            continue
        found = energy(item.result)
        if isinstance(found, Energy):
            known = Cell(energy_words(found), value=found.per_frame_j.estimate)
            power = Cell(f"{labels.significant(found.watts)} W", gauge_words(found).partition(" by ")[2], found.watts)
        else:
            known, power = Cell("not known", found), NOTHING
        rows.append((*_names(item), known, power, _proof(item)))
    return Table("Energy per frame", columns, tuple(rows)) if rows else None


def _names(item: Measurement) -> tuple[Cell, Cell]:
    job = item.result.job
    return (
        Cell(item.name, labels.device_name(item.result.device), role=item.role),
        Cell(job.entry, f"{job.mode}, {labels.runtime_name(item.result.runtime)}"),
    )


def _proof(item: Measurement) -> Cell:
    """What the host saw; where something charged the phone, a Result has no frames."""
    looks = item.result.charger_checks
    if not looks:
        return Cell("none", "nobody looked", bad=True)
    return Cell(f"looked {labels.plural(len(looks), 'time')}", "adb over Wi-Fi, no charger, nothing simulated")
