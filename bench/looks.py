"""When a comparison is looked at, and how sure each look must be, so that all together are as sure as one.

Who looks again and again, each time at 99 %, is wrong more often than once in a hundred. So the looks are fixed before
the first frame, few because the rounds about double from one to the next, and the chance of an error is spent over them
in equal parts. By Bonferroni's inequality that holds exactly, however the looks depend on each other, and also for who
stops at any of them. A boundary that counts on the looks' correlation (Pocock 1977) would decide with 2 % fewer
rounds, but holds of many rounds only.
"""

from __future__ import annotations

import math


def looks(first: int, most: int, confidence: float, step: int = 1) -> tuple[int, ...]:
    """After how many rounds in all to look, ascending.

    The first look waits until signed ranks can decide anything at its confidence, the last is at `most`.

    Args:
        first, most: rounds that are wanted before the first look, and at most.
        confidence: of all looks together.
        step: rounds that are measured in one go; all looks but the last are after a multiple of them.
    Raises:
        ValueError: no rounds, or a confidence outside 0 to 1.
    """
    if min(first, most, step) < 1 or not 0 < confidence < 1:
        raise ValueError(f"no looks from {first} to {most} rounds in steps of {step} at {confidence}")
    doublings = max(0, round(math.log2(max(1.0, most / first))))
    # The most extreme signed ranks of n rounds have the probability 2^-n on each side.
    least = math.ceil(-math.log2((1 - confidence_of_each(confidence, doublings + 1)) / 2))
    begin = min(most, max(first, least))
    wanted = [begin * (most / begin) ** (number / max(1, doublings)) for number in range(doublings + 1)]
    found = sorted({min(most, step * math.ceil(round(rounds, 6) / step)) for rounds in wanted} | {most})
    # The last look may be one more than there were doublings; what the first can no longer decide, it need not look at.
    while len(found) > 1 and 2.0 ** -found[0] > (1 - confidence_of_each(confidence, len(found))) / 2:
        found = found[1:]
    return tuple(found)


def confidence_of_each(confidence: float, count: int) -> float:
    """The confidence of the interval at each of `count` looks, all of which hold the truth with `confidence`."""
    return 1 - (1 - confidence) / count
