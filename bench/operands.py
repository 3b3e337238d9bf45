"""The two sides of a comparison: bundles, results files, or commits in a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pocketgan.bench.gate import compare as judge_results
from pocketgan.bench.jobs import EVERY_CONCEPT, JobOptions
from pocketgan.bench.journal import Results, read_results
from pocketgan.bench.schema.job import Via
from pocketgan.bench.verdict import Pair, Verdict, worst
from pocketgan.errors import ResultsError


def judge_operands(
    base: str,
    candidate: str,
    tolerances: Mapping[str, float],
    *,
    device: str,
    via: Via | None = None,
    apk: Path | None = None,
    options: JobOptions,
    most_rounds: int,
    out: Path | None,
    store: str | None,
    budget_ms: float | None = None,
    wait_s: float = 0,
    trusted: Sequence[bytes] = (),
) -> list[Pair]:
    """The pairs of two sides of one kind. Of two commits that pass, the candidate becomes the store's last green one.

    Args:
        device, via, apk, options, most_rounds, out, wait_s: how bundles are measured; its entry and concepts restrict
            all kinds.
        budget_ms: what a frame of the candidate may take.
        trusted: raw public keys, one of which must have signed each results file.
    Raises:
        BundleError, DeviceError, ResultsError: the sides differ in kind, cannot be read or measured, or share no entry.
    """
    kinds = {_kind(operand, store) for operand in (base, candidate)}
    if len(kinds) > 1:
        raise ResultsError("compare takes two bundles, two results files (.jsonl) or two commits, not one of each")
    if trusted and kinds != {"results"}:
        raise ResultsError(
            "--public-key is for two results files (.jsonl); the signature of a bundle: pocketgan bundle verify BUNDLE "
            "--public-key KEY"
        )
    if kinds == {"bundle"}:
        from pocketgan.bench.compare import compare_bundles
        from pocketgan.bench.devices import find_device

        comparisons = compare_bundles(
            Path(base),
            Path(candidate),
            find_device(device, via, apk),
            options,
            tolerances,
            most_rounds,
            out,
            budget_ms=budget_ms,
            wait_s=wait_s,
        )
        return [one.pair for one in comparisons]
    before, after = (_results(side, store, trusted) for side in (base, candidate))
    pairs = judge_results(before, after, tolerances, budget_ms)
    pairs = [pair for pair in pairs if options.entry in (None, pair.entry) and _is_asked(pair, options.concepts)]
    if not pairs:
        asked = " that draws ".join([options.entry or "", *([", ".join(options.concepts)] if options.concepts else [])])
        raise ResultsError(f"the results share no entry {asked.strip()}")
    if kinds == {"reference"} and worst([pair.verdict for pair in pairs]) == Verdict.PASS:
        _tag_green(candidate, store)
    return pairs


def _is_asked(pair: Pair, concepts: Sequence[str]) -> bool:
    return not concepts or EVERY_CONCEPT in concepts or pair.concept in concepts


def _kind(operand: str, store: str | None) -> Literal["bundle", "results", "reference"]:
    """Raises ResultsError where it is no file and there is no store to look in."""
    path = Path(operand)
    if path.suffix == ".jsonl":
        return "results"
    if path.suffix == ".pgb" or path.exists():
        return "bundle"
    if store is None:
        raise ResultsError(f"there is no file {operand}; a commit or a tag needs --store")
    return "reference"


def _results(operand: str, store: str | None, trusted: Sequence[bytes]) -> Results:
    if store is None or _kind(operand, store) == "results":
        return read_results([Path(operand)], trusted)
    from pocketgan.bench.store import Store

    with Store(store, create=False) as opened:
        return opened.results(operand)


def _tag_green(candidate: str, store: str | None) -> None:
    from pocketgan.bench.store import LAST_GREEN, Store

    assert store is not None
    with Store(store, create=False) as opened:
        opened.tag(LAST_GREEN, candidate)
