"""What the gate says as Markdown for a pull request, and as JUnit XML for a CI's list of tests."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from pocketgan.bench.gate import Judged, Pair, Verdict

COLUMNS = ("metric", "base", "candidate", "change", "99 % interval", "allowed", "verdict")
_UNITS = {"memory": ("MB", 1e6), "size": ("MB", 1e6), "parity": ("dB", 1.0)}


def rows(pair: Pair) -> list[tuple[str, ...]]:
    """A row of COLUMNS for each metric that both sides have."""
    return [_row(one) for one in pair.metrics if one.base is not None and one.candidate is not None]


def remarks(pair: Pair) -> list[str]:
    """Why there is no decision, and what would bring one; empty where there is one."""
    reasons = [f"cannot be compared: {difference}" for difference in pair.differences]
    reasons += [
        f"undecided: {one.metric} needs {one.rounds} rounds in all (--most-rounds)"
        for one in pair.metrics
        if one.rounds is not None
    ]
    missing = [one.metric for one in pair.metrics if one.tolerance is not None and one.base is None]
    return reasons + [f"cannot be compared: {metric} was not measured" for metric in missing]


def markdown(pairs: Sequence[Pair], verdict: Verdict) -> str:
    """A heading with the joined verdict, and a table for each pair."""
    lines = [f"### pocketgan: {verdict}", ""]
    for pair in pairs:
        lines += [f"**{pair.bundle} {pair.entry}**", "", _line(COLUMNS), _line(["---"] * len(COLUMNS))]
        lines += [_line(row) for row in rows(pair)]
        lines += ["", *(f"* {remark}" for remark in remarks(pair)), ""]
    return "\n".join(lines) + "\n"


def junit(pairs: Sequence[Pair]) -> str:
    """A suite for each pair, a test for each metric that is judged: failed where it is a REGRESSION, skipped where
    nothing is decided."""
    root = ElementTree.Element("testsuites", name="pocketgan compare")
    for pair in pairs:
        suite = ElementTree.SubElement(root, "testsuite", name=f"{pair.bundle} {pair.entry}")
        counts = {"tests": 0, "failures": 0, "skipped": 0}
        for one in pair.metrics:
            verdict = Verdict.INCOMPARABLE if pair.differences and one.verdict else one.verdict
            if verdict is None:
                continue
            case = ElementTree.SubElement(suite, "testcase", classname=f"{pair.bundle}.{pair.entry}", name=one.metric)
            counts["tests"] += 1
            message = "; ".join([", ".join(_row(one)[1:5]), *remarks(pair)])
            if verdict is Verdict.REGRESSION:
                counts["failures"] += 1
                ElementTree.SubElement(case, "failure", message=f"{verdict}: {message}")
            elif verdict is not Verdict.PASS:
                counts["skipped"] += 1
                ElementTree.SubElement(case, "skipped", message=f"{verdict}: {message}")
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
            interval = "open" if not one.ratio.low > 0 else f"{one.ratio.low - 1:+.1%} to {one.ratio.high - 1:+.1%}"
    if one.tolerance is not None:
        allowed = f"-{one.tolerance:g} dB" if one.metric == "parity" else f"+{one.tolerance:.1%}"
    return (one.metric, amount(one.base), amount(one.candidate), change, interval, allowed, one.verdict or "-")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
