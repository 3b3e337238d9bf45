"""Results over commits: `pocketgan store` and `pocketgan history`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketgan import console
from pocketgan.cli.options import EntryId, Json, StoreAt, output_file, parse_share

if TYPE_CHECKING:
    from pocketgan.bench.changes import Level
    from pocketgan.bench.journal import Results
    from pocketgan.bench.schema.result import Result
    from pocketgan.bench.store import Series

DEFAULT = "pocketgan.db"

store = typer.Typer(name="store", help="Keep results by commit, in SQLite or a team's database.", no_args_is_help=True)


@store.command()
def add(
    results: Annotated[list[Path], typer.Argument(metavar="RESULTS...", help="Results files (.jsonl, .parquet).")],
    where: StoreAt = DEFAULT,
    commit: Annotated[str | None, typer.Option("--commit", help="What was measured; this folder's by default.")] = None,
    json: Json = False,
) -> None:
    """Add results under a commit.

    What is there already is not added twice.
    """
    from pocketgan.bench.store import Store, current_commit
    from pocketgan.errors import ResultsError

    if json:
        console.use_json()
    by_commit = _by_commit(results)
    if not by_commit:
        raise ResultsError(f"{', '.join(map(str, results))}: no results to add")
    name = commit or (current_commit() if "" in by_commit else "")
    with Store(where) as opened:
        counts = {of or name: opened.add_results(one, of or name) for of, one in by_commit.items()}
    added, there = (sum(side) for side in zip(*counts.values(), strict=True))
    payload = {"store": where, "commits": list(counts), "added": added, "already_there": there}
    more = f", {there} were there already" if there else ""
    console.result(payload, f"{where}: added {added} results of {', '.join(of[:12] for of in counts)}{more}")


@store.command()
def tag(
    name: Annotated[str, typer.Argument(help="Such as last-green, or a release.")],
    commit: Annotated[str, typer.Argument(help="A commit, the start of one, or another tag.")],
    where: StoreAt = DEFAULT,
    json: Json = False,
) -> None:
    """Let a tag name a commit's results."""
    from pocketgan.bench.store import Store

    if json:
        console.use_json()
    with Store(where, create=False) as opened:
        opened.tag(name, commit)
    console.result({"store": where, "tag": name, "commit": commit}, f"{where}: {name} is {commit}")


@store.command()
def export(
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            parser=output_file("--out"),
            metavar="FILE",
            help="File to write: .jsonl, or .parquet for data frames and SQL.",
        ),
    ],
    where: StoreAt = DEFAULT,
    commit: Annotated[str | None, typer.Option("--commit", help="Of one commit or tag alone.")] = None,
    json: Json = False,
) -> None:
    """Write what the store holds as one file."""
    from pocketgan.bench.journal import line_of
    from pocketgan.bench.parquet import write_parquet
    from pocketgan.bench.store import Store
    from pocketgan.errors import ResultsError
    from pocketgan.files import write_atomic

    if json:
        console.use_json()
    if out.suffix not in (".jsonl", ".parquet"):
        raise ResultsError(f"--out is a .jsonl or a .parquet file, not {out}")
    with Store(where, create=False) as opened:
        if commit is None:
            records = opened.everything()
        else:
            of_commit = opened.results(commit)
            records = [("", record) for record in of_commit.bundles.values()]
            records += [(commit, result) for result in of_commit.results]
    if out.suffix == ".parquet":
        write_parquet(out, records)
    else:
        write_atomic(out, b"".join(line_of(record) for _, record in records))
    console.result({"out": str(out), "records": len(records)}, f"{out}: {len(records)} records")


def history(
    where: StoreAt = DEFAULT,
    bundle: Annotated[str | None, typer.Option("--bundle", help="Of one bundle alone, by its name.")] = None,
    entry: EntryId = None,
    concept: Annotated[str | None, typer.Option("--concept", help="Of one concept of a pack alone.")] = None,
    max_slowdown: Annotated[
        str | None, typer.Option("--max-slowdown", help="Exit code 1 where the last change is slower, such as 5%.")
    ] = None,
    json: Json = False,
) -> None:
    """Show where frame times changed over commits.

    Levels, and the commit that each began with.
    """
    from pocketgan.bench.changes import change_points
    from pocketgan.bench.store import Store
    from pocketgan.errors import ResultsError

    if json:
        console.use_json()
    allowed = None if max_slowdown is None else parse_share(max_slowdown, "--max-slowdown")
    with Store(where, create=False) as opened:
        histories = opened.history(bundle, entry, concept)
    if not histories:
        raise ResultsError(f"{where} holds no timed results of that; add some: pocketgan store add results.jsonl")
    levels = [change_points([point.median_ms for point in series.points]) for series in histories]
    slower = [allowed is not None and len(of) > 1 and of[-1].value / of[-2].value > 1 + allowed for of in levels]
    payload = {"series": [_payload(*pair) for pair in zip(histories, levels, strict=True)], "slower": any(slower)}
    console.result(payload, "\n\n".join(_text(*pair) for pair in zip(histories, levels, strict=True)))
    if any(slower):
        raise typer.Exit(1)


def _by_commit(paths: list[Path]) -> dict[str, Results]:
    """Results by the commit that their file names, "" where it names none, each with the bundles that it needs."""
    from pocketgan.bench.journal import BundleRecord, Results, read_results
    from pocketgan.bench.parquet import read_parquet

    plain = read_results([path for path in paths if path.suffix != ".parquet"])
    records: list[tuple[str, BundleRecord | Result]] = [("", bundle) for bundle in plain.bundles.values()]
    records += [("", result) for result in plain.results]
    for path in paths:
        if path.suffix == ".parquet":
            records += read_parquet(path)
    everything, by_commit = Results(), dict[str, Results]()
    for commit, record in records:
        everything.add(record)
        if not isinstance(record, BundleRecord):
            by_commit.setdefault(commit or "", Results()).add(record)
    for results in by_commit.values():
        needed = {result.job.bundle for result in results.results}
        results.bundles = {digest: one for digest, one in everything.bundles.items() if digest in needed}
    return by_commit


def _payload(series: Series, levels: list[Level]) -> dict[str, Any]:
    return {
        "bundle": series.bundle,
        "entry": series.entry,
        "concept": series.concept,
        "device": series.device,
        "mode": series.mode,
        "threads": series.threads,
        "commits": [point.commit for point in series.points],
        "median_ms": [point.median_ms for point in series.points],
        "levels": [
            {"commit": series.points[level.start].commit, "commits": level.end - level.start, "median_ms": level.value}
            for level in levels
        ],
    }


def _text(series: Series, levels: list[Level]) -> str:
    from pocketgan.bench.naming import drawn_name

    what = f"{series.bundle} {drawn_name(series.entry, series.concept)}"
    head = f"{what} on {series.device}, {series.mode}, threads {series.threads}"
    rows, before = [], None
    for level in levels:
        change = "" if before is None else f"{level.value / before - 1:+.1%}"
        commit = series.points[level.start].commit[:12]
        rows.append((commit, level.end - level.start, f"{level.value:.4g} ms", change))
        before = level.value
    return f"{head}\n{console.table(('since', 'commits', 'median', 'change'), rows)}"
