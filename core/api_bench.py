"""The functions of the Python API that measure, compare and report: `from pocketgan import api`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from pocketgan.api_concepts import FilePath
from pocketgan.outcomes import GateDecision

if TYPE_CHECKING:
    from pocketgan.bench.devices.web.options import WebOptions
    from pocketgan.bench.journal import GalleryRow
    from pocketgan.bench.measured import Measured
    from pocketgan.bench.schema.job import CoolDown, Via, Warmup
    from pocketgan.bench.schema.words import ClockRegime, JobMode, Provider
    from pocketgan.bundle.manifest import Manifest


def bench(
    bundles: FilePath | Sequence[FilePath],
    *,
    device: str = "local",
    via: Via | None = None,
    apk: FilePath | None = None,
    entry: str | None = None,
    concept: str | Sequence[str] | None = None,
    mode: JobMode = "latency",
    iterations: int = 60,
    rounds: int = 12,
    runs: int = 3,
    seconds: float = 60,
    provider: Provider = "default",
    clock: ClockRegime = "free",
    energy: bool = False,
    warmup: Warmup | None = None,
    cool_down: CoolDown | None = None,
    threads: int = 1,
    cold_repeats: int = 1,
    until: float | None = None,
    most_runs: int = 20,
    out: FilePath = "results.jsonl",
    resume: bool = False,
    gallery: FilePath | None = None,
    min_fps: float | None = None,
    max_ms: float | None = None,
    wait_s: float = 0,
    web: WebOptions | None = None,
    sign_results: FilePath | None = None,
) -> list[Measured]:
    """Measure bundles: frame times, loads, memory. Entries of the same id take turns, so that they compare.

    Args:
        bundles: one or several.
        device: where they run: this computer, `android:SERIAL`, a phone, or `web`, whoever opens the page in a browser.
        via: what measures on a phone, its "app", which None stands for, or its "shell".
        apk: the app; the one that was built or came with this installation where None.
        entry: one entry alone, such as onnx-fp32.
        concept: of packs, one, several or "all"; each pack's default where None.
        mode: frame by frame, frames that overlap ("throughput"), without a pause for `seconds` ("sustained"), or for
            so long from a phone's camera to its screen ("camera").
        provider: what a phone's runtime is to compute with. clock: "pinned" holds a phone's clock, for comparisons.
        energy: of each frame, of a sustained or camera run on a phone that no charger is on.
        iterations: timed frames of each entry.
        rounds: turns that the frames are split into.
        runs: processes that the turns are split over.
        warmup: five frames at least, then until they are steady, where None.
        cool_down: wait before each run until the device is cool.
        threads: of the runtime.
        cold_repeats: loads in fresh processes, per run.
        until: go on until the median's 95 % interval is so narrow, such as 0.01, `most_runs` at most.
        out: results file with all raw samples; one that is there is continued.
        resume: take over the runs that `out` already holds.
        gallery: photos that the report shows every concept of a pack on, the first four of a folder; its golden picture
            where None.
        min_fps, max_ms: a budget: each row's `budget` says whether it is held, at 99 %; the stricter of the two counts.
        wait_s: how long to wait for a device that another process measures on.
        web: how the page of `web` is served, and to how many phones.
        sign_results: Ed25519 private key in PEM; `out` is signed with it as it ends, in a file `.sig` beside it.
    Returns:
        What was measured of each bundle, entry and concept, its raw `result` included.
    Raises:
        BundleError: a bundle is damaged, or has no such concept; the key file is none.
        DeviceError: the device is unknown or locked, or can run nothing of a bundle.
        ResultsError, StorageError: the results file is foreign or broken, or cannot be written; a budget that is none.
    """
    from pocketgan.bench.budget import limit_ms
    from pocketgan.bench.devices import find_device
    from pocketgan.bench.inputs import input_size
    from pocketgan.bench.jobs import JobOptions
    from pocketgan.bench.measured import measured
    from pocketgan.bench.schema.job import Warmup
    from pocketgan.bench.session import measure
    from pocketgan.bench.signed import signature_path
    from pocketgan.bundle.reader import open_bundle
    from pocketgan.bundle.signature import read_private_key
    from pocketgan.files import file_to_write

    journal, budget_ms = file_to_write(out, "out"), limit_ms(min_fps, max_ms)
    key = None
    if sign_results is not None:
        key = read_private_key(Path(sign_results))
        file_to_write(signature_path(journal), "out")
    options = JobOptions(
        mode=mode,
        iterations=iterations,
        rounds=rounds,
        warmup=warmup or Warmup(),
        threads=threads,
        cold_repeats=cold_repeats,
        entry=entry,
        concepts=() if concept is None else tuple(listed(concept)),
        runs=runs,
        duration_s=seconds,
        provider=provider,
        clock=clock,
        energy=energy,
        cool_down=cool_down,
        until=until,
        most_runs=most_runs,
    )
    paths = _paths(bundles)
    manifests: dict[str, Manifest] = {}
    packs: dict[str, Path] = {}
    for path in paths:
        with open_bundle(path) as bundle:
            manifests[bundle.digest] = bundle.manifest
            if bundle.manifest.concepts:
                packs[bundle.digest] = path
    where = find_device(device, via, None if apk is None else Path(apk), web)
    shown = {} if gallery is None else _galleries(packs, Path(gallery))
    results = measure(paths, where, options, journal, gallery=shown, resume=resume, wait_s=wait_s, sign_with=key)
    return [
        measured(result, budget_ms, input_size(manifests[result.job.bundle].entry(result.job.entry)))
        for result in results
    ]


def _galleries(packs: Mapping[str, Path], photos: Path) -> dict[str, list[GalleryRow]]:
    """By digest."""
    from pocketgan.errors import DataError
    from pocketgan.gallery import photo_gallery

    if not packs:
        raise DataError("--gallery shows what the concepts of a pack make of photos; none of the bundles is a pack")
    return {digest: photo_gallery(pack, photos) for digest, pack in packs.items()}


def compare(
    base: FilePath,
    candidate: FilePath,
    *,
    max_slowdown: float | None = None,
    tolerances: Mapping[str, float] | None = None,
    device: str = "local",
    via: Via | None = None,
    apk: FilePath | None = None,
    entry: str | None = None,
    concept: str | Sequence[str] | None = None,
    rounds: int = 10,
    most_rounds: int = 160,
    threads: int = 1,
    provider: Provider = "default",
    clock: ClockRegime = "free",
    out: FilePath | None = None,
    store: str | None = None,
    min_fps: float | None = None,
    max_ms: float | None = None,
    wait_s: float = 0,
    public_keys: FilePath | Sequence[FilePath] = (),
) -> GateDecision:
    """Say whether `candidate` is slower than `base`, and whether it holds a budget.

    Args:
        base, candidate: two bundles, measured now in turns; two results files; or, with `store`, two commits or tags.
        max_slowdown: how much slower passes, such as 0.03, which is what None stands for.
        tolerances: by metric (`bench.judging.METRICS`), instead of the medians' alone.
        device, via, apk: where bundles are measured; see `bench`. entry, concept: what of them; see `bench`.
        rounds: turns of each bundle before the first look, and `most_rounds` at most.
        provider, clock: see `bench`.
        out: results file to append what was measured to.
        store: where commits and tags are looked up (`pocketgan store`).
        min_fps, max_ms: what the candidate must hold, else the verdict is TOO SLOW; the stricter of the two counts.
        wait_s: how long to wait for a device that another process measures on.
        public_keys: of results files, see `report`.
    Raises:
        BundleError, DeviceError, ResultsError: the two cannot be measured, read or trusted, or share no entry.
    """
    from pocketgan.bench.budget import limit_ms
    from pocketgan.bench.gate import TOLERANCES
    from pocketgan.bench.jobs import JobOptions
    from pocketgan.bench.operands import judge_operands
    from pocketgan.bench.verdict import worst
    from pocketgan.files import file_to_write

    allowed = dict(TOLERANCES if tolerances is None else tolerances)
    if max_slowdown is not None:
        allowed["p50"] = max_slowdown
    pairs = judge_operands(
        str(base),
        str(candidate),
        allowed,
        device=device,
        via=via,
        apk=None if apk is None else Path(apk),
        options=JobOptions(
            rounds=rounds,
            threads=threads,
            entry=entry,
            concepts=() if concept is None else tuple(listed(concept)),
            provider=provider,
            clock=clock,
        ),
        most_rounds=max(rounds, most_rounds),
        out=None if out is None else file_to_write(out, "out"),
        store=store,
        budget_ms=limit_ms(min_fps, max_ms),
        wait_s=wait_s,
        trusted=_trusted(public_keys),
    )
    return GateDecision(worst([pair.verdict for pair in pairs]), tuple(pairs))


def report(
    results: FilePath | Sequence[FilePath],
    out: FilePath = "report.html",
    *,
    title: str | None = None,
    public_keys: FilePath | Sequence[FilePath] = (),
) -> Path:
    """Make one self-contained HTML page of results files, and return its path.

    Args:
        public_keys: Ed25519 public keys in PEM or base64, one of which must have signed each file as it is.
    Raises:
        BundleError: a key file is none.
        ResultsError: a file is missing, broken, foreign or not to be trusted, or there is no result in any.
    """
    from pocketgan.bench.report import write_report
    from pocketgan.files import file_to_write

    page = file_to_write(out, "out")
    return write_report(_paths(results), page, title, trusted=_trusted(public_keys))


def _trusted(key_files: FilePath | Sequence[FilePath]) -> list[bytes]:
    from pocketgan.bundle.signature import read_public_key

    return [read_public_key(path) for path in _paths(key_files)]


def _paths(files: FilePath | Sequence[FilePath]) -> list[Path]:
    return [Path(path) for path in ([files] if isinstance(files, str | PathLike) else files)]


def listed(value: str | Sequence[str]) -> list[str]:
    """ "a,b" and ["a", "b"] -> ["a", "b"]."""
    parts = value.split(",") if isinstance(value, str) else value
    return [part.strip() for part in parts]
