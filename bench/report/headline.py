"""What a mobile engineer wants to read first: the student's frame rate, against what would be shipped otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from pocketgan.bench.budget import USUAL_MS
from pocketgan.bench.camera import camera_figures
from pocketgan.bench.energy import known_energy
from pocketgan.bench.report import labels
from pocketgan.bench.report.measurements import Group, Measurement, Selection, speed
from pocketgan.bench.report.remarks import energy_words
from pocketgan.bench.schema.result import Result


@dataclass(frozen=True)
class Headline:
    """One sentence; `number` is the part that is set large, with the colour of `role`."""

    before: str
    number: str
    after: str
    role: str | None = None

    @property
    def text(self) -> str:
        return f"{self.before}{self.number}{self.after}"


@dataclass(frozen=True)
class Tile:
    """One key figure under the headline."""

    label: str
    value: str
    unit: str
    note: str


@dataclass(frozen=True)
class Hero:
    """The measurement that the headline is about, in its group."""

    group: Group
    item: Measurement

    @property
    def reference(self) -> Measurement | None:
        """What the user would ship otherwise: the unpruned generator, the teacher, or a diffusion editor."""
        if self.item.role != "student":
            return None
        fastest_of_roles = (self.group.of_role(role) for role in ("unpruned", "teacher", "diffusion"))
        return next((other for other in fastest_of_roles if other is not None), None)


def choose_hero(selection: Selection) -> Hero | None:
    """The fastest student in the group that compares it with most others; without a student the fastest bundle.

    Latency comes before other modes, and what has no errors before what has some. What was measured with a held clock
    is for comparisons alone.
    """
    heroes = [Hero(group, item) for group in selection.groups for item in group.members]
    heroes = [hero for hero in heroes if hero.item.result.job.clock == "free"]
    return max(heroes, key=_weight, default=None)


def headline(selection: Selection, hero: Hero | None) -> Headline:
    """The sentence on top of the page."""
    if hero is None:
        return _nothing_measured(selection)
    item, first = hero.item, hero.group.first
    from_camera = first.job.mode == "camera"
    after = " from the camera to the screen" if from_camera else ""
    after += f" on {labels.device_name(first.device)} in {labels.runtime_name(first.runtime)}"
    clauses = _clauses(hero)
    if item.flagged:
        clauses.append("with errors, see below")
    if clauses:
        after += ": " + ", ".join(clauses)
    does = "shows" if from_camera else "runs at"
    return Headline(f"{item.name} {does} ", f"{_rounded(speed(item))} FPS", after, item.role)


def tiles(hero: Hero) -> list[Tile]:
    """Key figures of the measurement that the headline is about."""
    timing, manifest, result = hero.item.timing, hero.item.bundle.manifest, hero.item.result
    assert timing is not None
    figures = [
        *_phone_tiles(result),
        Tile("Median frame", *_split(labels.milliseconds(timing.summary.median)), _tail(timing.summary.p90)),
        Tile(
            "Frames within 16.7 ms",
            *_split(labels.percent(timing.share_within(1000 / 60))),
            f"the 60 FPS budget; {labels.percent(timing.share_within(USUAL_MS))} within 33.3 ms",
        ),
    ]
    if manifest.cost is not None:
        params = f"{labels.count(manifest.cost.params)} parameters"
        figures.append(Tile("MACs per frame", *_split(labels.count(manifest.cost.macs)), params))
    entry = next((entry for entry in manifest.entries if entry.id == result.job.entry), None)
    if entry is not None:
        concepts = len(manifest.concepts_of(entry.id))
        shared = f", {labels.plural(concepts, 'concept')}" if concepts else ""
        figures.append(Tile("Size", *_split(labels.size(entry.bytes)), f"all files of {entry.id}{shared}"))
    if manifest.trained and "l1" in manifest.quality:
        note = "mean absolute difference to the target on [-1, 1], lower is better"
        figures.append(Tile("L1", f"{manifest.quality['l1']:.3f}", "", note))
    return figures


def _phone_tiles(result: Result) -> list[Tile]:
    """What only a phone has: the way from its camera to its screen, and its battery."""
    figures = []
    if (seen := camera_figures(result)) is not None:
        late = f"95 % within {labels.milliseconds(seen.delay_p95_ms)}{', estimated' if seen.estimated else ''}"
        figures.append(Tile("Sensor to screen", *_split(labels.milliseconds(seen.delay_ms)), late))
        if seen.dropped is not None and seen.dropped_share is not None:
            note = f"{labels.percent(seen.dropped_share)} of the camera's"
            figures.append(Tile("Dropped frames", f"{seen.dropped:,}", "", note))
    if (drawn := known_energy(result)) is not None:
        value, unit, interval = energy_words(drawn).split(" ", 2)
        figures.append(Tile("Energy per frame", value, unit, f"{interval[1:-1]} mJ, 95 %; the whole phone's"))
    return figures


def _clauses(hero: Hero) -> list[str]:
    manifest, other = hero.item.bundle.manifest, hero.reference
    clauses = []
    if other is not None:
        name = other.name if other.role in other.name else f"{labels.ROLES[other.role]} {other.name}"
        apart = "" if other.result.session == hero.item.result.session else " (measured in another session)"
        clauses.append(f"{labels.times(speed(hero.item) / speed(other))} the {name}{apart}")
        mine, theirs = manifest.cost, other.bundle.manifest.cost
        if mine is not None and theirs is not None and mine.macs > 0 and theirs.macs > mine.macs:
            clauses.append(f"{labels.times(theirs.macs / mine.macs)} fewer MACs")
    editor = hero.group.of_role("diffusion")
    if hero.item.role == "student" and editor is not None and editor is not other:
        clauses.append(f"{labels.times(speed(hero.item) / speed(editor))} the {editor.name}")
    if not manifest.trained:
        clauses.append("untrained: latency only")
    elif "l1" in manifest.quality:
        teacher = _teacher_l1(hero)
        against = "" if teacher is None else f" against {teacher:.2f} for its teacher"
        clauses.append(f"L1 {manifest.quality['l1']:.2f}{against}")
    return clauses


def _teacher_l1(hero: Hero) -> float | None:
    manifest = hero.item.bundle.manifest
    if "teacher_l1" in manifest.quality:
        return manifest.quality["teacher_l1"]
    teacher = hero.group.of_role("teacher")
    if manifest.role != "student" or teacher is None or not teacher.bundle.manifest.trained:
        return None
    return teacher.bundle.manifest.quality.get("l1")


def _nothing_measured(selection: Selection) -> Headline:
    if selection.failed:
        why = "the runs ended with errors"
    elif selection.pinned:
        why = "the clock was held, which is for comparisons alone"
    elif selection.simulated:
        why = "all results come from simulated devices"
    else:
        why = "the results hold no timed frames"
    return Headline("", "No frame rate", f": {why}")


def _weight(hero: Hero) -> tuple[bool, bool, bool, int, float]:
    item = hero.item
    roles = len({member.role for member in hero.group.members})
    return (not item.flagged, item.role == "student", item.result.job.mode == "latency", roles, speed(item))


def _rounded(fps: float) -> str:
    return f"{fps:,.0f}" if fps >= 20 else labels.fps(fps)


def _tail(p90_ms: float) -> str:
    return f"9 of 10 frames within {labels.milliseconds(p90_ms)}"


def _split(text: str) -> tuple[str, str]:
    value, _, unit = text.partition(" ")
    return value, unit
