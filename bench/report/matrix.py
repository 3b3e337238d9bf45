"""Every model on every device: the best frame rate of each, and its spread over runs and over devices of one model.

Devices whose results cannot be compared, such as two browsers or two providers, are columns of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pocketgan.bench.circumstances import circumstances, differing
from pocketgan.bench.inputs import input_size
from pocketgan.bench.naming import drawn_name
from pocketgan.bench.report import labels
from pocketgan.bench.report.measurements import Measurement, Selection, speed
from pocketgan.bench.schema.result import DeviceInfo

# What a column stands for. What else makes times incomparable is a row's (_OF_ROW), the runtime's version, which is a
# column's where several were met, or the state that a device was in, which a cell tells.
_OF_COLUMN = (
    "device", "processor", "system", "build", "via", "provider", "clock", "threads", "compute units", "browser",
    "isolation", "timer step", "GPU",
)  # fmt: skip
_OF_ROW = ("mode", "precision", "input")
# What is said of a column wherever columns differ in it; the rest only between columns of one name.
_WORTH_SAYING = ("build", "via", "provider", "clock", "threads", "compute units", "browser", "isolation")
_USUAL = {"via process", "provider default", "clock free", "compute units all"}


@dataclass(frozen=True)
class Column:
    """Devices whose results compare with each other: their model, what tells it from other columns, how many."""

    name: str
    facts: tuple[str, ...]
    devices: int
    pinned: bool

    @property
    def label(self) -> str:
        """Name and facts on one line."""
        return ", ".join((self.name, *self.facts))


@dataclass(frozen=True)
class Rate:
    """Frames per second of a row on a column: of the best device, and from the slowest run of any to the fastest.

    `fps` is None where all that was measured are errors. `notes` are what it must not be read without; `sound` where
    there is nothing that forbids to compare it.
    """

    fps: float | None
    low: float = 0.0
    high: float = 0.0
    devices: int = 0
    runs: int = 0
    notes: tuple[str, ...] = ()
    sound: bool = True


@dataclass(frozen=True)
class Row:
    """An entry of a bundle, of a pack with the concept that it draws; `rates` are in the order of the columns."""

    model: str
    digest: str
    entry: str
    concept: str | None
    mode: str
    input: str
    role: str
    rates: tuple[Rate | None, ...]

    @property
    def drawn(self) -> str:
        """Entry and concept."""
        return drawn_name(self.entry, self.concept)


@dataclass(frozen=True)
class Matrix:
    """Rows by columns."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def best(self, row: Row) -> int | None:
        """The column that the row is fastest on; not one with a held clock, nor what cannot be compared."""
        rates = {
            place: rate.fps
            for place, (column, rate) in enumerate(zip(self.columns, row.rates, strict=True))
            if rate is not None and rate.fps is not None and rate.sound and not column.pinned
        }
        return max(rates, key=lambda place: rates[place], default=None)


@dataclass
class _Gathered:
    """Measurements that compare but for the state that their devices were in, with their circumstances."""

    facts: dict[str, object]
    items: list[tuple[Measurement, dict[str, object]]] = field(default_factory=list)

    @property
    def name(self) -> str:
        devices = [item.result.device for item, _ in self.items]
        names = list(dict.fromkeys(map(labels.device_name, devices)))
        return names[0] if len(names) == 1 and not _is_address(devices[0]) else devices[0].model or "unknown"

    @property
    def devices(self) -> int:
        return len({item.result.device.name for item, _ in self.items})


def device_matrix(selection: Selection) -> Matrix | None:
    """The matrix of everything that is a performance number; None where that is of one device alone."""
    devices = {(item.result.device.kind, labels.device_name(item.result.device)) for item in selection.timed}
    if len(devices) < 2:
        return None
    # What a group's members differ in is judged anew, within a column.
    shown = [item for item in selection.latest if not item.result.device.simulated and (item.timing or item.flagged)]
    gathered = sorted(_gather(shown), key=lambda one: (one.name.casefold(), str(one.facts)))
    columns = _columns(gathered)
    rates = [_rates(one) for one in gathered]
    heads = {_row_key(item): item for item in shown}
    rows = [
        Row(
            model=item.bundle.manifest.name,
            digest=item.bundle.digest,
            entry=item.result.job.entry,
            concept=item.concept,
            mode=item.result.job.mode,
            input=input_size(item.entry, item.result.job.component),
            role=item.role,
            rates=tuple(of.get(key) for of in rates),
        )
        for key, item in sorted(heads.items(), key=lambda one: one[0])
    ]
    return Matrix(tuple(columns), tuple(rows))


def _is_address(device: DeviceInfo) -> bool:
    """Whether its name says where it hung and not what it is."""
    return device.name.startswith(f"{device.kind}:")


def _row_key(item: Measurement) -> tuple[str, str, str, str, str]:
    job = item.result.job
    return (job.entry, item.bundle.manifest.name, item.concept or "", job.mode, item.bundle.digest)


def _gather(items: Iterable[Measurement]) -> list[_Gathered]:
    by_facts: dict[tuple[object, ...], list[tuple[Measurement, dict[str, object]]]] = {}
    for item in items:
        told = circumstances(item.result, item.entry)
        by_facts.setdefault(tuple(told.get(what) for what in _OF_COLUMN), []).append((item, told))
    found: list[_Gathered] = []
    for key, members in by_facts.items():
        versions: dict[str, set[object]] = {}
        for item, told in members:
            versions.setdefault(item.result.runtime, set()).add(told["runtime"])
        facts = {what: value for what, value in zip(_OF_COLUMN, key, strict=True) if value is not None}
        parts: dict[object, _Gathered] = {}
        for item, told in members:
            version = told["runtime"] if len(versions[item.result.runtime]) > 1 else None
            own = facts if version is None else {**facts, "runtime": version}
            parts.setdefault(version, _Gathered(own)).items.append((item, told))
        found += parts.values()
    return found


def _columns(gathered: Sequence[_Gathered]) -> list[Column]:
    everywhere = _varying(gathered)
    columns = []
    for one in gathered:
        here = _varying([other for other in gathered if other.name == one.name])
        said = [what for what in one.facts if what in here or (what in everywhere and what in _WORTH_SAYING)]
        words = (_words(what, one.facts[what]) for what in said)
        clock = str(one.facts["clock"])
        columns.append(Column(one.name, tuple(filter(None, words)), one.devices, pinned=clock != "free"))
    return columns


def _varying(gathered: Sequence[_Gathered]) -> set[str]:
    """In what they differ."""
    names = {what for one in gathered for what in one.facts}
    return {what for what in names if len({str(one.facts.get(what)) for one in gathered}) > 1}


def _words(what: str, value: object) -> str:
    """A circumstance as a column's head says it, such as "2 threads", "webgpu" or "GPU apple"."""
    if f"{what} {value}" in _USUAL:
        return ""
    if what == "threads" and isinstance(value, int):
        return labels.plural(value, "thread")
    if what in ("provider", "browser", "isolation", "system", "processor", "device", "runtime"):
        return str(value).strip()
    return f"{what} {value}"


def _rates(column: _Gathered) -> dict[tuple[str, ...], Rate]:
    states = [_state(told) for _, told in column.items]
    usual = max(states, key=lambda one: (states.count(one), -states.index(one)))
    cells: dict[tuple[str, ...], list[tuple[Measurement, list[str]]]] = {}
    for (item, _), state in zip(column.items, states, strict=True):
        cells.setdefault(_row_key(item), []).append((item, differing(usual, state)))
    return {key: _rate(members) for key, members in cells.items()}


def _state(told: Mapping[str, object]) -> dict[str, object]:
    """Circumstances that may be other ones in the next minute."""
    fixed = (*_OF_COLUMN, *_OF_ROW, "runtime")
    return {what: value for what, value in told.items() if what not in fixed}


def _rate(members: Sequence[tuple[Measurement, list[str]]]) -> Rate:
    """Best and spread of those that compare with the rest of the column, or where none does, of all."""
    timed = [(item, differences) for item, differences in members if item.timing is not None]
    if not timed:
        return Rate(None, notes=("see the top",), sound=False)
    sound = [(item, differences) for item, differences in timed if not differences and not item.flagged]
    counted = sound or timed
    best, differences = max(counted, key=lambda one: speed(one[0]))
    speeds = [rate for item, _ in counted for rate in item.run_rates or (speed(item),)]
    notes = ["with errors"] if best.flagged else []
    notes += [f"not comparable: {', '.join(differences)}"] if differences else []
    notes += ["composed"] if best.result.composed else []
    notes += labels.camera_notes(best.result)
    left_out = len(members) - len(counted)
    notes += [f"{labels.plural(left_out, 'device')} left out: {_why(members, counted)}"] if left_out else []
    return Rate(
        fps=speed(best),
        low=min(speeds),
        high=max(speeds),
        devices=len({item.result.device.name for item, _ in counted}),
        runs=sum(item.runs for item, _ in counted),
        notes=tuple(notes),
        sound=bool(sound),
    )


def _why(members: Sequence[tuple[Measurement, list[str]]], counted: Sequence[tuple[Measurement, list[str]]]) -> str:
    out = [one for one in members if one not in counted]
    reasons = [reason for item, differences in out for reason in (differences or (["errors"] if item.flagged else []))]
    return ", ".join(dict.fromkeys(reasons)) or "no frames"
