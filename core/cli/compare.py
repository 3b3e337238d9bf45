"""`pocketgan compare`: the gate, for people and for CI."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketgan import console
from pocketgan.cli.options import EntryId, Json, parse_share

if TYPE_CHECKING:
    from pocketgan.bench.gate import Judged, Pair
    from pocketgan.bench.journal import Results

Operand = Annotated[
    str, typer.Argument(help="A bundle (.pgb), measured now, a results file (.jsonl), or with --store a commit or tag.")
]
# NOISY and INCOMPARABLE decide nothing.
EXIT_CODES = {"PASS": 0, "REGRESSION": 1}
UNDECIDED = 3


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
    entry: EntryId = None,
    rounds: Annotated[int, typer.Option("--rounds", min=8, help="Turns of each bundle before the first look.")] = 10,
    most_rounds: Annotated[
        int, typer.Option("--most-rounds", min=8, help="Turns at most, where the gate asks for more.")
    ] = 160,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of the runtime.")] = 1,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="File to append a summary to, such as $GITHUB_STEP_SUMMARY.")
    ] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="JUnit XML to write: a test for each metric.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Results file to append what was measured to, for `pocketgan report`.")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            "--store", envvar="POCKETGAN_STORE", help="Where commits and tags are looked up; PASS moves last-green."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Say whether CANDIDATE is slower than BASE: PASS (exit code 0), REGRESSION (1), NOISY or INCOMPARABLE (3)."""
    from pocketgan.bench.gate import TOLERANCES, read_tolerances, worst
    from pocketgan.bench.report import verdicts
    from pocketgan.errors import ResultsError
    from pocketgan.files import append_text, write_atomic

    if json:
        console.use_json()
    allowed = dict(TOLERANCES) if tolerances is None else read_tolerances(tolerances)
    if max_slowdown is not None:
        allowed["p50"] = parse_share(max_slowdown, "--max-slowdown")
    kinds = {_kind(operand, store) for operand in (base, candidate)}
    if len(kinds) > 1:
        raise ResultsError("compare takes two bundles, two results files (.jsonl) or two commits, not one of each")
    if kinds == {"bundle"}:
        from pocketgan.bench.compare import compare_bundles
        from pocketgan.bench.devices import find_device
        from pocketgan.bench.session import JobOptions

        options = JobOptions(rounds=rounds, threads=threads, entry=entry)
        paths = Path(base), Path(candidate)
        found = compare_bundles(*paths, find_device(device), options, allowed, max(rounds, most_rounds), out)
        pairs = [one.pair for one in found]
    else:
        from pocketgan.bench.gate import compare as judge_results

        pairs = judge_results(_results(base, store), _results(candidate, store), allowed)
        pairs = [pair for pair in pairs if entry is None or pair.entry == entry]
        if not pairs:
            raise ResultsError(f"the results share no entry {entry}")
    verdict = worst([pair.verdict for pair in pairs])
    if markdown is not None:
        append_text(markdown, verdicts.markdown(pairs, verdict))
    if junit is not None:
        write_atomic(junit, verdicts.junit(pairs))
    if kinds == {"reference"} and verdict == "PASS":
        _tag_green(candidate, store)
    console.result(_payload(pairs, verdict), "\n".join([*_text(pairs), verdict]))
    raise typer.Exit(EXIT_CODES.get(verdict, UNDECIDED))


def _kind(operand: str, store: str | None) -> str:
    """Raises ResultsError where it is no file and there is no store to look in."""
    from pocketgan.errors import ResultsError

    path = Path(operand)
    if path.suffix == ".jsonl":
        return "results"
    if path.suffix == ".pgb" or path.exists():
        return "bundle"
    if store is None:
        raise ResultsError(f"there is no file {operand}; a commit or a tag needs --store")
    return "reference"


def _results(operand: str, store: str | None) -> Results:
    if store is None or _kind(operand, store) == "results":
        from pocketgan.bench.journal import read_results

        return read_results([Path(operand)])
    from pocketgan.bench.store import Store

    with Store(store, create=False) as opened:
        return opened.results(operand)


def _tag_green(candidate: str, store: str | None) -> None:
    from pocketgan.bench.store import LAST_GREEN, Store

    assert store is not None
    with Store(store, create=False) as opened:
        opened.tag(LAST_GREEN, candidate)


def _payload(pairs: list[Pair], verdict: str) -> dict[str, Any]:
    rows = [
        {
            "bundle": pair.bundle,
            "entry": pair.entry,
            "verdict": pair.verdict,
            "differences": list(pair.differences),
            **_ratio(pair.metrics[0]),
            "metrics": {one.metric: _metric(one) for one in pair.metrics},
        }
        for pair in pairs
    ]
    first = next((row for row in rows if row["verdict"] == verdict), rows[0])
    return {"verdict": verdict, **{key: first[key] for key in ("ratio", "ci_low", "ci_high")}, "pairs": rows}


def _metric(one: Judged) -> dict[str, Any]:
    return {
        "verdict": one.verdict,
        "base": _finite(one.base),
        "candidate": _finite(one.candidate),
        "tolerance": one.tolerance,
        "rounds_needed": one.rounds,
        **_ratio(one),
    }


def _ratio(one: Judged) -> dict[str, float | None]:
    if one.ratio is None:
        return {"ratio": None, "ci_low": None, "ci_high": None}
    return {"ratio": one.ratio.estimate, "ci_low": _finite(one.ratio.low), "ci_high": _finite(one.ratio.high)}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _text(pairs: list[Pair]) -> list[str]:
    from pocketgan.bench.report.verdicts import COLUMNS, remarks, rows

    found: list[str] = []
    for pair in pairs:
        found += [f"{pair.bundle} {pair.entry}", console.table(COLUMNS, rows(pair)), *remarks(pair), ""]
    return found
