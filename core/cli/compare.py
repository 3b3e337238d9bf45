"""`pocketgan compare`: the gate, for people and for CI."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketgan import console
from pocketgan.cli.options import EntryId, Json

if TYPE_CHECKING:
    from pocketgan.bench.gate import Judged, Pair

Operand = Annotated[Path, typer.Argument(help="A bundle (.pgb), measured now, or a results file (.jsonl).")]
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
    json: Json = False,
) -> None:
    """Say whether CANDIDATE is slower than BASE: PASS (exit code 0), REGRESSION (1), NOISY or INCOMPARABLE (3)."""
    from pocketgan.bench.gate import TOLERANCES, read_tolerances, worst
    from pocketgan.errors import ResultsError

    if json:
        console.use_json()
    allowed = dict(TOLERANCES) if tolerances is None else read_tolerances(tolerances)
    if max_slowdown is not None:
        allowed["p50"] = parse_share(max_slowdown)
    stored = [path.suffix == ".jsonl" for path in (base, candidate)]
    if stored[0] != stored[1]:
        raise ResultsError("compare takes two bundles or two results files (.jsonl), not one of each")
    if stored[0]:
        from pocketgan.bench.gate import compare as judge_results
        from pocketgan.bench.journal import read_results

        pairs = judge_results(read_results([base]), read_results([candidate]), allowed)
        pairs = [pair for pair in pairs if entry is None or pair.entry == entry]
        if not pairs:
            raise ResultsError(f"the results share no entry {entry}")
    else:
        from pocketgan.bench.compare import compare_bundles
        from pocketgan.bench.devices import find_device
        from pocketgan.bench.session import JobOptions

        options = JobOptions(rounds=rounds, threads=threads, entry=entry)
        pairs = compare_bundles(base, candidate, find_device(device), options, allowed, max(rounds, most_rounds))
    verdict = worst([pair.verdict for pair in pairs])
    if markdown is not None:
        _append(markdown, _markdown(pairs, verdict))
    console.result(_payload(pairs, verdict), "\n".join([*_text(pairs), verdict]))
    raise typer.Exit(EXIT_CODES.get(verdict, UNDECIDED))


def parse_share(text: str) -> float:
    """`3%` -> 0.03.

    Raises:
        ResultsError: it is no percentage.
    """
    from pocketgan.errors import ResultsError

    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text.strip())
    if match is None:
        raise ResultsError(f"--max-slowdown is a percentage such as 3%, not {text!r}")
    return float(match[1]) / 100


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


COLUMNS = ("metric", "base", "candidate", "change", "99 % interval", "allowed", "verdict")


def _text(pairs: list[Pair]) -> list[str]:
    found: list[str] = []
    for pair in pairs:
        found += [f"{pair.bundle} {pair.entry}", console.table(COLUMNS, _rows(pair)), *_remarks(pair), ""]
    return found


def _rows(pair: Pair) -> list[tuple[str, ...]]:
    return [_row(one) for one in pair.metrics if one.base is not None and one.candidate is not None]


def _row(one: Judged) -> tuple[str, ...]:
    unit, scale = {"memory": ("MB", 1e6), "size": ("MB", 1e6), "parity": ("dB", 1.0)}.get(one.metric, ("ms", 1.0))

    def amount(value: float | None) -> str:
        return f"{(value or 0) / scale:.4g} {unit}"

    change = interval = "-"
    if one.ratio is not None:
        change = f"{one.ratio.estimate - 1:+.1%}"
        if one.ratio.low != one.ratio.high:
            interval = "open" if not one.ratio.low > 0 else f"{one.ratio.low - 1:+.1%} to {one.ratio.high - 1:+.1%}"
    allowed = "-"
    if one.tolerance is not None:
        allowed = f"-{one.tolerance:g} dB" if one.metric == "parity" else f"+{one.tolerance:.1%}"
    return (one.metric, amount(one.base), amount(one.candidate), change, interval, allowed, one.verdict or "-")


def _remarks(pair: Pair) -> list[str]:
    """What decides, or would."""
    found = [f"cannot be compared: {difference}" for difference in pair.differences]
    found += [
        f"undecided: {one.metric} needs {one.rounds} rounds in all (--most-rounds)"
        for one in pair.metrics
        if one.rounds is not None
    ]
    missing = [one.metric for one in pair.metrics if one.tolerance is not None and one.base is None]
    return found + [f"cannot be compared: {metric} was not measured" for metric in missing]


def _markdown(pairs: list[Pair], verdict: str) -> str:
    lines = [f"### pocketgan: {verdict}", ""]
    for pair in pairs:
        lines += [f"**{pair.bundle} {pair.entry}**", "", f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
        lines += [f"| {' | '.join(row)} |" for row in _rows(pair)]
        lines += ["", *(f"* {remark}" for remark in _remarks(pair)), ""]
    return "\n".join(lines) + "\n"


def _append(path: Path, text: str) -> None:
    from pocketgan.errors import storage_errors

    with storage_errors(path), path.open("a") as file:
        file.write(text)
