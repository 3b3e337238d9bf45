"""What the gate says as Markdown for a pull request, and as JUnit XML for a CI's list of tests."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from pocketgan.bench.report import labels
from pocketgan.bench.report.markdown import escaped, table
from pocketgan.bench.statistics import Interval
from pocketgan.bench.verdict import Held, Judged, Pair, Verdict

COLUMNS = ("metric", "base", "candidate", "change", "99 % interval", "allowed", "verdict")
_UNITS = {"energy": ("mJ", 1e-3), "memory": ("MB", 1e6), "size": ("MB", 1e6), "parity": ("dB", 1.0)}


# What stands for an interval that is open.
TOO_FEW = "too few samples"


def rows(pair: Pair) -> list[tuple[str, ...]]:
    """A row of COLUMNS for each metric that both sides have, and for the budget."""
    found = [_row(one) for one in pair.metrics if one.base is not None and one.candidate is not None]
    return found if pair.budget is None else [*found, *_budget_rows(pair.budget, pair.base_share_within)]


def remarks(pair: Pair) -> list[str]:
    """Why there is no decision, and what would bring one; empty where there is one."""
    reasons = [f"cannot be compared: {difference}" for difference in pair.differences]
    noisy = [one for one in pair.metrics if one.verdict is Verdict.NOISY]
    if noisy and not pair.differences:
        reasons += _undecided(pair, noisy)
    if pair.budget is not None and pair.budget.verdict is Verdict.NOISY:
        more = " (--most-rounds)" if pair.decide_with is None else f": {pair.decide_with}"
        reasons.append(f"the budget: {budget_line(pair.budget)}{more}")
    if pair.budget is not None and pair.budget.verdict is Verdict.INCOMPARABLE:
        reasons.append(
            "the budget cannot be judged: it is one of whole frames on a real device, and this is one component of "
            "several (`pocketgan bench` adds them up), an emulator's time, or that of a pinned clock"
        )
    missing = [one.metric for one in pair.metrics if one.tolerance is not None and one.base is None]
    return reasons + [f"cannot be compared: {metric} was not measured" for metric in missing]


def budget_line(held: Held) -> str:
    """Whether a budget is held, in words."""
    frames = f"a frame takes {_milliseconds(held.frame.estimate)} ({_range(held.frame)}), "
    allowed = f"{_milliseconds(held.limit_ms)} ({labels.fps(1000 / held.limit_ms)} FPS) allowed"
    needed = f"; {held.frames:,} frames in all would decide" if held.frames is not None else ""
    return f"{held.verdict}: {frames}{allowed}, {labels.percent(held.share_within)} of the frames within it{needed}"


def _undecided(pair: Pair, noisy: Sequence[Judged]) -> list[str]:
    names = ", ".join(one.metric for one in noisy)
    if pair.decide_with is None:
        return [
            f"undecided: {one.metric} needs {one.rounds} rounds in all (--most-rounds {one.rounds})" for one in noisy
        ]
    if pair.by_seconds:
        return [f"undecided: {names}: the runs were too short; to decide, measure both for longer: {pair.decide_with}"]
    why = (
        "the two took turns for too few rounds"
        if pair.took_turns
        else "the two were measured in different sessions and did not take turns, so that what the machine did "
        "meanwhile is in the ratio"
    )
    return [f"undecided: {names}: {why}; to decide, measure both in turns: {pair.decide_with}"]


def _budget_rows(held: Held, base_share: float | None) -> list[tuple[str, ...]]:
    limit, nothing = _milliseconds(held.limit_ms), "-"
    base = nothing if base_share is None else labels.percent(base_share)
    shares = (f"within {limit}", base, labels.percent(held.share_within), nothing, nothing, nothing, nothing)
    return [
        ("budget", nothing, _milliseconds(held.frame.estimate), nothing, _range(held.frame), limit, held.verdict),
        shares,
    ]


def _milliseconds(value: float) -> str:
    return f"{value:.4g} ms"


def _range(frame: Interval) -> str:
    return TOO_FEW if not frame.low > 0 else f"{frame.low:.4g} to {_milliseconds(frame.high)}"


def markdown(pairs: Sequence[Pair], verdict: Verdict) -> str:
    """A heading with the joined verdict, and a table for each pair."""
    lines = [f"### pocketgan: {verdict}", ""]
    for pair in pairs:
        lines += [f"**{escaped(pair.title)}**", "", *table(COLUMNS, rows(pair))]
        lines += ["", *(f"* {escaped(remark)}" for remark in remarks(pair)), ""]
    return "\n".join(lines) + "\n"


def junit(pairs: Sequence[Pair]) -> str:
    """A suite for each pair, a test for each metric that is judged: failed where it is a REGRESSION, skipped where
    nothing is decided."""
    root = ElementTree.Element("testsuites", name="pocketgan compare")
    for pair in pairs:
        what = " ".join(filter(None, (pair.name, pair.where)))
        suite = ElementTree.SubElement(root, "testsuite", name=f"{pair.bundle} {what}")
        counts = {"tests": 0, "failures": 0, "skipped": 0}
        for one in pair.metrics:
            verdict = Verdict.INCOMPARABLE if pair.differences and one.verdict else one.verdict
            if verdict is None:
                continue
            case = ElementTree.SubElement(suite, "testcase", classname=f"{pair.bundle}.{what}", name=one.metric)
            counts["tests"] += 1
            message = "; ".join([", ".join(_row(one)[1:5]), *remarks(pair)])
            if verdict is Verdict.REGRESSION:
                counts["failures"] += 1
                ElementTree.SubElement(case, "failure", message=f"{verdict}: {message}")
            elif verdict is not Verdict.PASS:
                counts["skipped"] += 1
                ElementTree.SubElement(case, "skipped", message=f"{verdict}: {message}")
        if pair.budget is not None:
            case = ElementTree.SubElement(suite, "testcase", classname=f"{pair.bundle}.{what}", name="budget")
            counts["tests"] += 1
            if pair.budget.verdict is Verdict.TOO_SLOW:
                counts["failures"] += 1
                ElementTree.SubElement(case, "failure", message=budget_line(pair.budget))
            elif pair.budget.verdict is not Verdict.PASS:
                counts["skipped"] += 1
                ElementTree.SubElement(case, "skipped", message=budget_line(pair.budget))
        for name, count in counts.items():
            suite.set(name, str(count))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _row(one: Judged) -> tuple[str, ...]:
    unit, scale = _UNITS.get(one.metric, ("ms", 1.0))

    def amount(value: float | None) -> str:
        return "-" if value is None else f"{value / scale:.4g} {unit}"

    change = interval = allowed = "-"
    if one.ratio is not None:
        change = f"{one.ratio.estimate - 1:+.1%}"
        if one.ratio.low != one.ratio.high:
            interval = TOO_FEW if not one.ratio.low > 0 else f"{one.ratio.low - 1:+.1%} to {one.ratio.high - 1:+.1%}"
    if one.tolerance is not None:
        allowed = f"-{one.tolerance:g} dB" if one.metric == "parity" else f"+{one.tolerance:.1%}"
    return (one.metric, amount(one.base), amount(one.candidate), change, interval, allowed, one.verdict or "-")
