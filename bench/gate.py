"""Whether a candidate is worse than its base. Pure functions on results; tolerances come from a file.

A verdict is only given where the interval of the ratio allows it: REGRESSION where it lies above 1 + tolerance, PASS
where it lies below, NOISY where it does neither. The interval has a confidence of 99 %, however often the gate looked
(`looks`), so that an unchanged candidate is called a regression in one comparison of 200 at most, and far less often
where the tolerance is wider than the noise. A budget in milliseconds is judged likewise: TOO SLOW where the interval of
a frame's time lies above it.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pocketgan.bench.budget import hold, share_of_result
from pocketgan.bench.circumstances import differences
from pocketgan.bench.deciding import command_that_decides
from pocketgan.bench.inputs import input_size
from pocketgan.bench.journal import BundleRecord, Results
from pocketgan.bench.judging import METRICS, judged_metrics
from pocketgan.bench.looks import confidence_of_each
from pocketgan.bench.naming import concept_of
from pocketgan.bench.runs import joined, measurements, paired
from pocketgan.bench.schema.result import Result
from pocketgan.bench.verdict import CONFIDENCE, Pair
from pocketgan.bundle.manifest import Entry
from pocketgan.errors import ResultsError

# What is judged where nobody says otherwise: by how much a metric may grow, as a share; parity may fall, in dB.
TOLERANCES = {"p50": 0.03}
# Bundle, entry, concept and component ("" where there is none).
What = tuple[str, str, str, str]
# Device, provider and threads.
Where = tuple[str, str, int]


def read_tolerances(path: Path) -> dict[str, float]:
    """Tolerances by metric of a TOML file: `p50 = 0.03`, `memory = 0.05`, `parity = 1.0` (dB).

    Raises:
        ResultsError: the file cannot be read, or names a metric that there is not, or a tolerance that is none.
    """
    try:
        tolerances = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ResultsError(f"{path}: cannot read tolerances: {error}") from error
    for metric, tolerance in tolerances.items():
        if metric not in METRICS:
            raise ResultsError(f"{path}: there is no metric {metric!r}; there are {', '.join(METRICS)}")
        if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < math.inf:
            raise ResultsError(f"{path}: {metric} needs a number of 0 or more, such as 0.03, not {tolerance!r}")
    return {metric: float(tolerance) for metric, tolerance in tolerances.items()}


def compare(
    base: Results,
    candidate: Results,
    tolerances: Mapping[str, float] | None = None,
    budget_ms: float | None = None,
) -> list[Pair]:
    """Judge every entry that both sides have: matched by bundle name, entry id and concept, or each other where a side
    holds one. Where both have it of a device, provider and number of threads alike, each of those is a pair of its own;
    else the latest of each side. Of several results that are alike in that the latest counts.

    Args:
        tolerances: by metric; `TOLERANCES` where None. budget_ms: what a frame of the candidate may take.
    Raises:
        ResultsError: a side holds no timed result, or nothing of it is on the other side.
    """
    sides = _latest(base, "base"), _latest(candidate, "candidate")
    keys = [(key, key) for key in sides[0] if key in sides[1]]
    if len(sides[0]) == len(sides[1]) == 1:
        keys = [(next(iter(sides[0])), next(iter(sides[1])))]
    if not keys:
        names = [", ".join(sorted(" ".join(filter(None, key)) for key in side)) for side in sides]
        raise ResultsError(f"base and candidate share no entry: base has {names[0]}, candidate {names[1]}")
    used = TOLERANCES if tolerances is None else tolerances
    pairs = []
    for one, other in keys:
        for runs, where in _alike(sides[0][one], sides[1][other]):
            records = base.bundles[runs[0][0].job.bundle], candidate.bundles[runs[1][0].job.bundle]
            judged = judge((runs[0], records[0]), (runs[1], records[1]), used, budget_ms=budget_ms)
            pairs.append(replace(judged, decide_with=command_that_decides(runs[0][0], runs[1][0]), where=where))
    return pairs


def _alike(
    base: Mapping[Where, Sequence[Result]], candidate: Mapping[Where, Sequence[Result]]
) -> Iterator[tuple[tuple[Sequence[Result], Sequence[Result]], str]]:
    """Runs of both sides that are compared, and where they ran, "" where there is no other."""
    shared = [where for where in base if where in candidate]
    if not shared or len(base) == len(candidate) == 1:
        yield (list(base.values())[-1], list(candidate.values())[-1]), ""
        return
    for device, provider, threads in shared:
        way = "" if provider == "default" else f", {provider}"
        words = f"on {device}{way}, {threads} thread{'s' if threads > 1 else ''}"
        yield (base[device, provider, threads], candidate[device, provider, threads]), words


def judge(
    base: tuple[Sequence[Result], BundleRecord],
    candidate: tuple[Sequence[Result], BundleRecord],
    tolerances: Mapping[str, float],
    *,
    budget_ms: float | None = None,
    looks: int = 1,
) -> Pair:
    """Judge two measurements (the runs of each), with what is known of their bundles.

    Args:
        budget_ms: what a frame of the candidate may take.
        looks: how often the two are judged at most, with more frames each time; see `looks.looks`.
    """
    runs = base[0], candidate[0]
    results = joined(runs[0]), joined(runs[1])
    entries = _entry(results[0], base[1]), _entry(results[1], candidate[1])
    confidence = confidence_of_each(CONFIDENCE, looks)
    job = results[1].job
    entry = job.entry if job.component is None else f"{job.entry} {job.component}"
    return Pair(
        results[1].bundle_name,
        entry,
        tuple(differences(results, entries)),
        judged_metrics(runs, entries, tolerances, confidence),
        concept=concept_of(job, candidate[1].manifest),
        input=input_size(entries[1], job.component),
        took_turns=paired(*runs),
        by_seconds=job.duration_s is not None,
        budget=None if budget_ms is None else hold(results[1], budget_ms, confidence),
        base_share_within=None if budget_ms is None else share_of_result(results[0], budget_ms),
    )


def _entry(result: Result, bundle: BundleRecord) -> Entry:
    return bundle.manifest.entry(result.job.entry, result.job.concept)


def _latest(side: Results, name: str) -> dict[What, dict[Where, list[Result]]]:
    """The runs of the latest measurement of each. What an edit runs 60 times is judged alone."""
    latest: dict[What, dict[Where, list[Result]]] = {}
    for runs in measurements(side.results):
        if timed := [run for run in runs if run.frames]:
            job = timed[0].job
            concept = concept_of(job, side.bundles[job.bundle].manifest) if job.bundle in side.bundles else job.concept
            found = latest.setdefault((timed[0].bundle_name, job.entry, concept or "", job.component or ""), {})
            where = (timed[0].device.name, job.provider, job.threads)
            found.pop(where, None)  # what comes later stands later
            found[where] = timed
    if not latest:
        raise ResultsError(f"the {name} holds no timed result")
    return latest
