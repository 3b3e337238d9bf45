"""`pocketgan compare`: the gate, for people and for CI."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketgan import console
from pocketgan.cli.options import (
    ApkFile,
    ClockOf,
    Concepts,
    EntryId,
    Json,
    ProviderOf,
    PublicKeys,
    ViaOption,
    output_file,
    parse_duration,
    parse_share,
)
from pocketgan.cli.verdicts import MaxMs, MinFps, Wait, exit_code, finite, held_payload

if TYPE_CHECKING:
    from pocketgan.bench.verdict import Judged, Pair

Operand = Annotated[
    str, typer.Argument(help="A bundle (.pgb), measured now, a results file (.jsonl), or with --store a commit or tag.")
]


def compare(
    base: Operand,
    candidate: Operand,
    max_slowdown: Annotated[
        str | None, typer.Option("--max-slowdown", help="How much slower passes, such as 3%.", show_default="3%")
    ] = None,
    tolerances: Annotated[
        Path | None, typer.Option("--tolerances", help="TOML file of tolerances by metric: p50 = 0.03, memory = 0.05.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="Where bundles run; see `pocketgan devices`.")] = "local",
    via: ViaOption = None,
    apk: ApkFile = None,
    entry: EntryId = None,
    concept: Concepts = None,
    rounds: Annotated[int, typer.Option("--rounds", min=8, help="Turns of each bundle before the first look.")] = 10,
    most_rounds: Annotated[
        int, typer.Option("--most-rounds", min=8, help="Turns at most, where the gate asks for more.")
    ] = 160,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of the runtime.")] = 1,
    provider: ProviderOf = "default",
    clock: ClockOf = "free",
    markdown: Annotated[
        Path | None,
        typer.Option(
            "--markdown",
            parser=output_file("--markdown"),
            metavar="FILE",
            help="File to append a summary to, such as $GITHUB_STEP_SUMMARY.",
        ),
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option(
            "--junit",
            parser=output_file("--junit"),
            metavar="FILE",
            help="JUnit XML to write: a test for each metric.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            parser=output_file("--out"),
            metavar="FILE",
            help="Results file to append what was measured to, for `pocketgan report`.",
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            "--store", envvar="POCKETGAN_STORE", help="Where commits and tags are looked up; PASS moves last-green."
        ),
    ] = None,
    min_fps: MinFps = None,
    max_ms: MaxMs = None,
    wait: Wait = "0s",
    public_key: PublicKeys = None,
    json: Json = False,
) -> None:
    """Say whether CANDIDATE is slower than BASE.

    Or than a budget, with --min-fps or --max-ms. PASS (exit code 0), REGRESSION or TOO SLOW (1), NOISY or INCOMPARABLE
    (3).
    """
    from pocketgan import api
    from pocketgan.bench.gate import read_tolerances
    from pocketgan.bench.report import verdicts
    from pocketgan.files import append_text, write_atomic

    if json:
        console.use_json()
    decision = api.compare(
        base,
        candidate,
        max_slowdown=None if max_slowdown is None else parse_share(max_slowdown, "--max-slowdown"),
        tolerances=None if tolerances is None else read_tolerances(tolerances),
        device=device,
        via=via,
        apk=apk,
        entry=entry,
        concept=concept,
        rounds=rounds,
        most_rounds=most_rounds,
        threads=threads,
        provider=provider,
        clock=clock,
        out=out,
        store=store,
        min_fps=min_fps,
        max_ms=max_ms,
        wait_s=parse_duration(wait, "--wait"),
        public_keys=public_key or (),
    )
    verdict, pairs = decision.verdict, decision.pairs
    if markdown is not None:
        append_text(markdown, verdicts.markdown(pairs, verdict))
    if junit is not None:
        write_atomic(junit, verdicts.junit(pairs))
    console.result(_payload(pairs, verdict), "\n".join([*_text(pairs), verdict]))
    raise typer.Exit(exit_code(verdict))


def _payload(pairs: Sequence[Pair], verdict: str) -> dict[str, Any]:
    rows = [
        {
            "bundle": pair.bundle,
            "entry": pair.entry,
            "concept": pair.concept,
            "verdict": pair.verdict,
            "input": pair.input,
            "where": pair.where,
            "differences": list(pair.differences),
            "took_turns": pair.took_turns,
            "decide_with": pair.decide_with,
            **_ratio(pair.metrics[0]),
            "metrics": {one.metric: _metric(one) for one in pair.metrics},
            "budget": None
            if pair.budget is None
            else {**held_payload(pair.budget), "base_share_within": pair.base_share_within},
        }
        for pair in pairs
    ]
    first = next((row for row in rows if row["verdict"] == verdict), rows[0])
    return {"verdict": verdict, **{key: first[key] for key in ("ratio", "ci_low", "ci_high")}, "pairs": rows}


def _metric(one: Judged) -> dict[str, Any]:
    return {
        "verdict": one.verdict,
        "base": finite(one.base),
        "candidate": finite(one.candidate),
        "tolerance": one.tolerance,
        "rounds_needed": one.rounds,
        **_ratio(one),
    }


def _ratio(one: Judged) -> dict[str, float | None]:
    if one.ratio is None:
        return {"ratio": None, "ci_low": None, "ci_high": None}
    return {"ratio": one.ratio.estimate, "ci_low": finite(one.ratio.low), "ci_high": finite(one.ratio.high)}


def _text(pairs: Sequence[Pair]) -> list[str]:
    from pocketgan.bench.report.verdicts import COLUMNS, remarks, rows

    lines: list[str] = []
    for pair in pairs:
        lines += [
            pair.title,
            console.table(COLUMNS, rows(pair)),
            *remarks(pair),
            "",
        ]
    return lines
