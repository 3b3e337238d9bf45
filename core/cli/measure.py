"""Commands that measure: bench, verify, report."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketgan import console
from pocketgan.bench.schema.words import JobMode
from pocketgan.cli.options import (
    ApkFile,
    ClockOf,
    Concepts,
    EntryId,
    Json,
    OrtWeb,
    ProviderOf,
    PublicKeys,
    ViaOption,
    WebAddress,
    WebPhones,
    WebPlainHttp,
    WebPort,
    WebTimeLimit,
    output_file,
    parse_duration,
    parse_share,
    web_options,
)
from pocketgan.cli.verdicts import MaxMs, MinFps, Wait, energy_payload, exit_code, held_payload

if TYPE_CHECKING:
    from pocketgan.bench.measured import Measured
    from pocketgan.bench.schema.result import DeviceInfo
    from pocketgan.bench.verdict import Held

BundlePaths = Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="Bundles (.pgb) to measure side by side.")]
DeviceName = Annotated[str, typer.Option("--device", help="Where to run; see `pocketgan devices`.")]

COLUMNS = ("bundle", "entry", "input", "runtime", "FPS", "median ms", "p90 ms", "first ms", "load ms", "memory MB")


def bench(
    bundles: BundlePaths,
    device: DeviceName = "local",
    via: ViaOption = None,
    apk: ApkFile = None,
    entry: EntryId = None,
    concept: Concepts = None,
    mode: Annotated[
        JobMode,
        typer.Option(
            "--mode",
            help="Frame by frame, frames that overlap, without a pause for --seconds, or for so long from a phone's "
            "camera to its screen.",
        ),
    ] = "latency",
    iterations: Annotated[int, typer.Option("--iterations", min=1, help="Timed frames per entry.")] = 60,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Turns that the frames are split into.")] = 12,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Processes that the turns are split over.")] = 3,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="How long a sustained or camera run lasts.")] = 60,
    provider: ProviderOf = "default",
    clock: ClockOf = "free",
    energy: Annotated[
        bool, typer.Option("--energy", help="Energy per frame of a sustained or camera run, of an unplugged phone.")
    ] = False,
    warmup: Annotated[
        int, typer.Option("--warmup", min=0, help="Untimed frames at least; then until their times are steady.")
    ] = 5,
    warmup_timeout: Annotated[
        float, typer.Option("--warmup-timeout", min=0, help="Seconds of warm-up at most; 0: --warmup frames.")
    ] = 10,
    cool_down: Annotated[
        float, typer.Option("--cool-down", min=0, help="Seconds to wait at most until the device is cool.")
    ] = 0,
    cool_below: Annotated[
        float | None, typer.Option("--cool-below", help="°C that count as cool, where the device tells.")
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of the runtime.")] = 1,
    cold_repeats: Annotated[int, typer.Option("--cold-repeats", min=0, help="Loads in fresh processes, per run.")] = 1,
    until: Annotated[
        str | None, typer.Option("--until", help="Go on until the median's 95 % interval is so narrow, such as 1%.")
    ] = None,
    most_runs: Annotated[int, typer.Option("--most-runs", min=1, help="Runs at most, with --until.")] = 20,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            parser=output_file("--out"),
            metavar="FILE",
            help="Results file; one that is there is continued.",
        ),
    ] = Path("results.jsonl"),
    resume: Annotated[bool, typer.Option("--resume", help="Skip what the results file already holds.")] = False,
    sign_results: Annotated[
        Path | None,
        typer.Option(
            "--sign-results",
            metavar="KEY",
            help="Ed25519 private key in PEM: signs the results file as it ends, in a file .sig beside it.",
        ),
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(
            "--gallery",
            metavar="IMAGES",
            help="Photos that the report shows every concept of a pack on, the first four of a folder.",
        ),
    ] = None,
    min_fps: MinFps = None,
    max_ms: MaxMs = None,
    wait: Wait = "0s",
    phones: WebPhones = None,
    time_limit: WebTimeLimit = None,
    address: WebAddress = None,
    port: WebPort = None,
    plain_http: WebPlainHttp = False,
    ort_web: OrtWeb = None,
    json: Json = False,
) -> None:
    """Measure bundles: frame times, loads, memory.

    Entries of the same id take turns, so that they compare. They run on this computer, which is no phone: its figures
    compare models with each other, and a phone has other ones; --device android:SERIAL measures in a phone's app,
    --device web in the browser of any phone that opens the address it prints.
    With --min-fps or --max-ms each gets a verdict: PASS
    (exit code 0), TOO SLOW (1) or NOISY (3).
    """
    from pocketgan import api
    from pocketgan.bench.schema.job import CoolDown, Warmup
    from pocketgan.bench.signed import signer
    from pocketgan.bench.verdict import worst

    _start(json)
    gate = None
    if cool_down or cool_below is not None:
        gate = CoolDown(maximum_temperature_c=cool_below, timeout_s=cool_down or CoolDown().timeout_s)
    rows = api.bench(
        bundles,
        device=device,
        via=via,
        apk=apk,
        entry=entry,
        concept=concept,
        mode=mode,
        iterations=iterations,
        rounds=rounds,
        runs=runs,
        seconds=seconds,
        provider=provider,
        clock=clock,
        energy=energy,
        warmup=Warmup(iterations=warmup, timeout_s=warmup_timeout),
        cool_down=gate,
        threads=threads,
        cold_repeats=cold_repeats,
        until=None if until is None else parse_share(until, "--until"),
        most_runs=most_runs,
        out=out,
        resume=resume,
        gallery=gallery,
        min_fps=min_fps,
        max_ms=max_ms,
        wait_s=parse_duration(wait, "--wait"),
        web=web_options(phones, time_limit, address, port, plain_http, ort_web),
        sign_results=sign_results,
    )
    signed_by = None if sign_results is None else signer(out)
    payload: dict[str, Any] = {
        "results": str(out),
        "device": device,
        "measured_on": [_machine(info) for info in _devices(rows)],
        "measured": [_figures(row) for row in rows],
        "signed_by": signed_by,
    }
    verdicts = [row.budget.verdict for row in rows if row.budget is not None]
    if verdicts:
        payload["verdict"] = worst(verdicts)
    console.result(payload, _bench_text(rows, out, signed_by))
    if any(row.fps is None for row in rows):
        raise typer.Exit(1)
    if verdicts:
        raise typer.Exit(exit_code(worst(verdicts)))


def verify(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A .pgb file.")],
    entry: EntryId = None,
    concept: Concepts = None,
    json: Json = False,
) -> None:
    """Compare what entries compute with their golden outputs.

    Runs every entry that this host can run, of a pack with every concept; exit code 1 if one differs.
    """
    from pocketgan import api

    _start(json)
    answer = api.verify(bundle, entry=entry, concept=concept)
    lines = [f"skipped: {entry}: {reason}" for entry, reason in answer.skipped.items()]
    lines += [f"{entry}: {reason}" for entry, reason in answer.unproven.items()]
    lines += [f"problem: {problem}" for problem in answer.problems] or ["no problem found" if answer.unproven else "ok"]
    payload = {
        "ok": answer.ok,
        "problems": list(answer.problems),
        "skipped": dict(answer.skipped),
        "unproven": dict(answer.unproven),
    }
    console.result(payload, "\n".join(lines))
    if not answer.ok:
        raise typer.Exit(1)


def report(
    results: Annotated[list[Path], typer.Argument(metavar="RESULTS...", help="Results files (.jsonl).")],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            parser=output_file("--out"),
            metavar="FILE",
            help="Page to write; it appears whole or not at all.",
        ),
    ] = Path("report.html"),
    markdown: Annotated[
        Path | None,
        typer.Option(
            "--markdown",
            parser=output_file("--markdown"),
            metavar="FILE",
            help="File to append the figures to, such as $GITHUB_STEP_SUMMARY.",
        ),
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option(
            "--junit",
            parser=output_file("--junit"),
            metavar="FILE",
            help="JUnit XML to write: a test for each entry measured.",
        ),
    ] = None,
    public_key: PublicKeys = None,
    json: Json = False,
) -> None:
    """Make one self-contained HTML page of results files.

    Of several devices it begins with a matrix of models and devices. With --public-key, files that are not signed by
    one of these keys, or were changed since, are refused.
    """
    from pocketgan import api
    from pocketgan.bench.report import summaries
    from pocketgan.bench.report.matrix import device_matrix
    from pocketgan.bench.report.matrix_tables import matrix_payload
    from pocketgan.bundle.signature import read_public_key
    from pocketgan.files import append_text, write_atomic

    _start(json)
    keys = public_key or []
    page = api.report(results, out, public_keys=keys)
    payload: dict[str, Any] = {"report": str(page)}
    if json or markdown is not None or junit is not None:
        selection = summaries.selection_of(results, [read_public_key(path) for path in keys])
        if markdown is not None:
            append_text(markdown, summaries.markdown(selection))
        if junit is not None:
            write_atomic(junit, summaries.junit(selection))
        matrix = device_matrix(selection)
        payload["matrix"] = None if matrix is None else matrix_payload(matrix)
    console.result(payload, f"{page}: {page.stat().st_size:,} bytes")


def _way(row: Measured) -> str:
    """Of several phones and ways to compute, which."""
    job = row.result.job
    threads = f"{job.threads} thread{'s' if job.threads > 1 else ''}"
    return f" ({job.provider}, {threads}, {row.result.device.name})" if job.via == "page" else ""


def _start(json: bool) -> None:
    if json:
        console.use_json()


def _figures(row: Measured) -> dict[str, Any]:
    """Everything but the raw samples, which are in the results file."""
    from pocketgan.bench.report.remarks import remarks

    figures = {field.name: getattr(row, field.name) for field in fields(row) if field.name != "result"}
    return {
        **figures,
        "device": row.result.device.name,
        "provider": row.result.job.provider,
        "threads": row.result.job.threads,
        "budget": None if row.budget is None else held_payload(row.budget),
        "camera": None if row.camera is None else asdict(row.camera),
        "energy": None if row.energy is None else energy_payload(row.energy),
        "remarks": remarks(row.result),
    }


def _devices(rows: Sequence[Measured]) -> list[DeviceInfo]:
    """What measured, each once."""
    return list({row.result.device.model_dump_json(): row.result.device for row in rows}.values())


def _machine(info: DeviceInfo) -> dict[str, Any]:
    return {
        "processor": info.cpu,
        "cores": info.cores,
        "system": info.os,
        "phone": info.kind != "local",
        "simulated": info.simulated,
    }


def _bench_text(rows: Sequence[Measured], out: Path, signed_by: str | None) -> str:
    from pocketgan.bench.naming import drawn_name
    from pocketgan.bench.report.labels import device_name, percent, plural, significant
    from pocketgan.bench.report.remarks import remarks
    from pocketgan.bench.report.verdicts import budget_line
    from pocketgan.bench.signed import signature_path

    def cell(value: float | None) -> str:
        return "-" if value is None else significant(value)

    cells = [
        (
            row.bundle,
            drawn_name(row.entry, row.concept) + (" (composed)" if row.composed else "") + _way(row),
            row.input,
            row.runtime,
            *map(cell, (row.fps, row.median_ms, row.p90_ms, row.first_inference_ms, row.cold_load_ms)),
            cell(None if row.memory_bytes is None else row.memory_bytes / 1e6),
            "-" if row.share_within_budget is None else percent(row.share_within_budget),
        )
        for row in rows
    ]

    def told(held: Held) -> str:
        more = "" if held.frames is None else f" (--iterations {held.frames})"
        return f"{budget_line(held)}{more}"

    def machine(info: DeviceInfo) -> str:
        no_phone = ": simulated, no phone" if info.simulated else ": no phone" if info.kind == "local" else ""
        told = [part for part in (info.model, info.cpu) if part and part not in device_name(info)]
        model = "" if info.kind == "local" or not told else f" ({', '.join(told)})"
        return f"{device_name(info)}{model}, {plural(info.cores, 'core')}, {info.os}{no_phone}"

    def name(row: Measured) -> str:
        return f"{row.bundle} {drawn_name(row.entry, row.concept)}"

    problems = [f"{name(row)}: {problem}" for row in rows for problem in row.errors]
    return "\n".join(
        [
            console.table((*COLUMNS, f"in {significant(rows[0].budget_ms)} ms"), cells),
            "",
            *problems,
            *(f"{name(row)}: {remark}" for row in rows for remark in remarks(row.result)),
            *(f"{name(row)}: {told(row.budget)}" for row in rows if row.budget is not None),
            f"measured on {', '.join(map(machine, _devices(rows)))}",
            f"results: {out}",
            *([] if signed_by is None else [f"signed:  {signature_path(out)}, by key {signed_by}"]),
            f"report:  pocketgan report {shlex.quote(str(out))} --out report.html",
        ]
    )
