"""What the gate says of a pair of results, of a metric of it, and of a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pocketgan.bench.statistics import Interval

# Of the interval that a verdict comes from, however often the gate looked.
CONFIDENCE = 0.99


class Verdict(StrEnum):
    """What the gate says; where several are joined, the first of this order counts."""

    REGRESSION = "REGRESSION"
    TOO_SLOW = "TOO SLOW"
    INCOMPARABLE = "INCOMPARABLE"
    NOISY = "NOISY"
    PASS = "PASS"


@dataclass(frozen=True)
class Judged:
    """One metric of a pair.

    Attributes:
        base, candidate: milliseconds, joules, bytes or dB; None where it was not measured.
        ratio: candidate / base; without an interval (all three equal) where it is no matter of chance.
        tolerance: None where the metric is shown alone.
        rounds: how many rounds in all would decide, where the verdict is NOISY.
    """

    metric: str
    base: float | None
    candidate: float | None
    ratio: Interval | None
    tolerance: float | None
    verdict: Verdict | None
    rounds: int | None = None


@dataclass(frozen=True)
class Held:
    """Whether frames hold a budget.

    Attributes:
        limit_ms: the budget.
        frame: what a frame takes, in milliseconds; see `budget.frame_interval`.
        share_within: of the frames, the fraction that took at most `limit_ms`.
        frames: how many frames in all would decide, where the verdict is NOISY.
    """

    limit_ms: float
    frame: Interval
    share_within: float
    verdict: Verdict
    frames: int | None = None


@dataclass(frozen=True)
class Pair:
    """An entry of both sides.

    Attributes:
        bundle, entry, concept: the candidate's; the concept is None where its bundle is no pack.
        differences: circumstances that differ, as "threads: 1 and 4".
        input: sizes of what the candidate takes, as "3x256x256".
        took_turns: whether what the machine did meanwhile cancels; never between two sessions.
        decide_with: the command that measures both in turns until the gate decides, or for longer where runs are so
            many seconds; None where they were measured in turns now.
        by_seconds: whether runs are so many seconds.
        budget: whether the candidate holds it; None where none was given.
        base_share_within: of the base's frames, the fraction within the budget.
        where: what both were measured on, as "on web:0a1b2c3d, wasm, 1 thread"; "" where there is no other.
    """

    bundle: str
    entry: str
    differences: tuple[str, ...]
    metrics: tuple[Judged, ...]
    concept: str | None = None
    input: str = ""
    took_turns: bool = True
    by_seconds: bool = False
    decide_with: str | None = None
    budget: Held | None = None
    base_share_within: float | None = None
    where: str = ""

    @property
    def name(self) -> str:
        """What of the bundle is compared, as "onnx-fp32 ink"."""
        return self.entry if self.concept is None else f"{self.entry} {self.concept}"

    @property
    def title(self) -> str:
        """What is compared of which bundle, at which size and where."""
        return " ".join(filter(None, (self.bundle, self.name, self.input, self.where)))

    @property
    def verdict(self) -> Verdict:
        compared = [one.verdict for one in self.metrics if one.verdict is not None]
        if self.differences:
            compared = [Verdict.INCOMPARABLE]
        return worst(compared if self.budget is None else [*compared, self.budget.verdict])


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The joined verdict; INCOMPARABLE where there is none to join."""
    return min(verdicts, key=list(Verdict).index, default=Verdict.INCOMPARABLE)
