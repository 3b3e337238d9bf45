"""Which images are kept for choosing: a fixed share of the training images, by their names and a seed alone.

So that whoever chooses with the same seed keeps the same ones, and most stay the same when images are added.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

SHARE = 0.15


def kept_for_choosing(names: Sequence[str], seed: int) -> set[str]:
    """15 % of the names, one at least."""
    drawn = sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    return set(drawn[: max(1, round(SHARE * len(names)))])
