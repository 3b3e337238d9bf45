"""What is measured of a bundle: the entries that a device can run, and the Job of each of their runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pocketgan import console
from pocketgan.bench.devices.device import Device
from pocketgan.bench.devices.remote import RemoteDevice
from pocketgan.bench.devices.turn_groups import ALONE
from pocketgan.bench.devices.web.budget import MOST_SAMPLES
from pocketgan.bench.providers import PAGES_ALONE, deprecated, must_take
from pocketgan.bench.schema.job import ClockRegime, CoolDown, Job, JobMode, Provider, Via, Warmup
from pocketgan.bundle.manifest import Entry
from pocketgan.bundle.reader import Bundle
from pocketgan.errors import DeviceError
from pocketgan.targets import TARGETS

# Stands for all concepts of a pack.
EVERY_CONCEPT = "all"


@dataclass(frozen=True)
class JobOptions:
    """What every Job of a session has in common (see Job). `entry` restricts it to one entry id, `concepts` are those
    that packs draw: named ones, `EVERY_CONCEPT`, or none for each pack's default.

    `iterations` and `rounds` are split evenly over `runs`, rounded up; each run is a process of its own, because what a
    process is lucky or unlucky with (where its memory lies) is drawn anew in the next one. Modes `sustained` and
    `camera` take `duration_s` instead and one run. With `until`, a share, there are as many more runs (`most_runs` in
    all) as it takes until the 95 % interval of every entry's median is that narrow on both sides. Without `via` it is
    the device's own way. `energy` needs one of the modes that take `duration_s`.
    """

    mode: JobMode = "latency"
    iterations: int = 60
    rounds: int = 12
    warmup: Warmup = field(default_factory=Warmup)
    threads: int = 1
    cold_repeats: int = 1
    entry: str | None = None
    concepts: tuple[str, ...] = ()
    runs: int = 3
    duration_s: float = 60.0
    cool_down: CoolDown | None = None
    until: float | None = None
    most_runs: int = 20
    via: Via | None = None
    provider: Provider = "default"
    clock: ClockRegime = "free"
    energy: bool = False

    @property
    def processes(self) -> int:
        """How many runs there are."""
        return 1 if self.mode in ALONE else min(self.runs, self.iterations)


def options_on(device: Device, options: JobOptions) -> JobOptions:
    """The options with what the device decides.

    Raises:
        DeviceError: it has no such thing; says which has.
    """
    if options.energy and options.mode not in ALONE:
        raise DeviceError("--energy needs --mode sustained or --mode camera: a battery's gauge takes its time")
    if device.name == "web":
        _must_suit_a_page(options)
        return replace(options, via="page")
    if not isinstance(device, RemoteDevice):
        _must_be_usual(options)
        return options
    if options.provider in PAGES_ALONE:
        raise DeviceError(f"--provider {options.provider} is a browser's: --device web measures in one")
    asked = replace(options, via=options.via or device.via)
    if asked.via == "shell":
        _must_have_no_screen(asked)
    if asked.provider != "default" and (told := deprecated(asked.provider, device.describe())):
        console.note(f"{told}: what it gives here, new phones need not")
    return asked


def _must_be_usual(options: JobOptions) -> None:
    """Refuse what this computer has not."""
    a_phone = "a phone: --device android:SERIAL (pocketgan devices lists them)"
    refusals = {
        f"--via {options.via} is a way on {a_phone}": options.via not in (None, "process"),
        f"--mode camera needs the camera and the screen of {a_phone}": options.mode == "camera",
        f"--provider {options.provider} asks {a_phone}": options.provider != "default",
        f"--clock {options.clock} holds the clock of {a_phone}": options.clock != "free",
        f"--energy reads the battery of {a_phone}": options.energy,
    }
    for refusal, asked in refusals.items():
        if asked:
            raise DeviceError(refusal)


def _must_suit_a_page(options: JobOptions) -> None:
    """Refuse what no browser has."""
    by_frames = options.mode == "latency"
    refusals = {
        f"--mode {options.mode}: a page measures frame by frame, --mode latency or --mode sustained": options.mode
        not in ("latency", "sustained"),
        f"--provider {options.provider} is no browser's, which has {' and '.join(PAGES_ALONE)}": options.provider
        not in ("default", *PAGES_ALONE),
        "--clock pinned: no browser holds a phone's clock; use --device android": options.clock != "free",
        "--energy: no browser tells what its battery gives; use --device android": options.energy,
        "--cool-down: no browser tells how warm its phone is": options.cool_down is not None,
        f"--iterations {options.iterations}: a page gives {MOST_SAMPLES:,} frames a run at most": by_frames
        and options.iterations > MOST_SAMPLES * options.processes,
    }
    for refusal, asked in refusals.items():
        if asked:
            raise DeviceError(f"{refusal} (--device web)")


def _must_have_no_screen(options: JobOptions) -> None:
    """Refuse what a phone's shell has not."""
    refusals = {
        "--mode camera needs the app, which has a camera and a screen": options.mode == "camera",
        "--energy needs the app, which may read the battery's gauge": options.energy,
    }
    for refusal, asked in refusals.items():
        if asked:
            raise DeviceError(f"{refusal}; use --via app")


def runnable_entries(
    bundle: Bundle, device: Device, entry_id: str | None, provider: Provider = "default"
) -> list[Entry]:
    """The entries that the device can run and that take the provider, or the one of that id.

    Raises:
        DeviceError: there is none.
    """
    entries = bundle.manifest.entries
    there = ", ".join(entry.id for entry in entries)
    if entry_id is not None:
        entries = [entry for entry in entries if entry.id == entry_id]
        if not entries:
            raise DeviceError(f"{bundle.path} has no entry {entry_id}; it has: {there}")
    runnable = [entry for entry in entries if device.runs(entry)]
    if not runnable:
        subject = entry_id or f"none of the entries of {bundle.path} ({there})"
        verb = "cannot run" if entry_id else "can run"
        fitting = " or ".join(fitting_targets(device))
        raise DeviceError(
            f"device {device.name} {verb} {subject}; it runs: {', '.join(device.runtimes) or 'nothing'}"
            f"{f'; an entry for it: pocketgan export --target {fitting}' if fitting else ''}"
        )
    return must_take(runnable, provider)


def drawn_entries(
    bundle: Bundle,
    device: Device,
    entry_id: str | None,
    concepts: Sequence[str] = (),
    provider: Provider = "default",
) -> list[tuple[Entry, str | None]]:
    """The entries of `runnable_entries`, of a pack each with the concepts that are asked (see JobOptions) and that it
    draws; with None where the bundle is no pack.

    Raises:
        BundleError: the pack has no such concept, or the one entry does not draw it.
        DeviceError: the device can run nothing of that.
    """
    entries = runnable_entries(bundle, device, entry_id, provider)
    if not bundle.manifest.concepts:
        return [(entry, None) for entry in entries]
    if EVERY_CONCEPT in concepts:
        return [(entry, concept) for entry in entries for concept in bundle.manifest.concepts_of(entry.id)]
    wanted = dict.fromkeys(concepts or [str(bundle.manifest.default_concept)])
    found: list[tuple[Entry, str | None]] = []
    for concept in wanted:
        bundle.must_have_concept(concept)
        drawing = [entry for entry in entries if concept in bundle.manifest.concepts_of(entry.id)]
        if not drawing and entry_id is not None:
            bundle.entry(entry_id, concept)
        if not drawing:
            able = ", ".join(e.id for e in bundle.manifest.entries if concept in bundle.manifest.concepts_of(e.id))
            raise DeviceError(
                f"device {device.name} can run none of the entries of {bundle.path} that draw {concept}: {able}"
            )
        found += [(entry, concept) for entry in drawing]
    return sorted(found, key=lambda pair: entries.index(pair[0]))


def must_have_concepts(bundles: Sequence[Bundle], concepts: Sequence[str]) -> None:
    """Raises BundleError where concepts are asked and none of the bundles is a pack, or a pack lacks one."""
    packs = [bundle for bundle in bundles if bundle.manifest.concepts]
    for bundle in packs or bundles[:1]:
        for concept in concepts:
            if concept != EVERY_CONCEPT or not packs:
                bundle.must_have_concept(concept)


def fitting_targets(device: Device) -> list[str]:
    """The targets whose files the device would run."""
    return [facts.name for facts in TARGETS.values() if device.runs(_entry_of(facts.name, facts.runtime))]


def _entry_of(target: str, runtime: str) -> Entry:
    """With what a device asks of it, and without files."""
    return Entry.model_construct(id=f"{target}-fp32", target=target, runtime=runtime, precision="fp32", components=[])


def plan_job(
    bundle: Bundle,
    entry_id: str,
    options: JobOptions,
    run: int = 0,
    component: str | None = None,
    concept: str | None = None,
) -> Job:
    """The Job of one run of one entry, or of one of its components; of a pack with the concept that it draws."""
    by_seconds = options.mode in ALONE
    return Job(
        bundle=bundle.digest,
        entry=entry_id,
        component=component,
        concept=concept,
        mode=options.mode,
        via=options.via or "process",
        provider=options.provider,
        clock=options.clock,
        warmup=options.warmup,
        iterations=None if by_seconds else -(-options.iterations // options.processes),
        duration_s=options.duration_s if by_seconds else None,
        rounds=1 if by_seconds else -(-options.rounds // options.processes),
        run=run,
        threads=options.threads,
        cold_repeats=options.cold_repeats,
        cool_down=options.cool_down,
        energy=options.energy,
    )
