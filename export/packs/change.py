"""What a concept makes of one constant of an exported file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pocketgan.export.packs.low_rank import Factors, factorise

# Below this, factors would save less than they cost in nodes and items.
_LEAST_BYTES = 1024


@dataclass(frozen=True)
class Change:
    """The constant of a concept, by what is least: `whole`, or `factors`, to which the base's is added or not.

    Attributes:
        dtype: of the constant.
        added: whether the base's constant is added to the product.
    """

    dtype: np.dtype[Any]
    whole: np.ndarray | None = None
    factors: Factors | None = None
    added: bool = False

    @property
    def uses_base(self) -> bool:
        return self.factors is not None and self.added


def changes(base: Mapping[str, np.ndarray], concept: Mapping[str, np.ndarray], *, alone: bool) -> dict[str, Change]:
    """What differs, by the constants' names, which are the same in both.

    Args:
        alone: whether a product may stand for a constant without the base's.
    """
    return {
        name: _change(base[name], new, alone=alone)
        for name, new in concept.items()
        if not np.array_equal(base[name], new)
    }


def _change(old: np.ndarray, new: np.ndarray, *, alone: bool) -> Change:
    if new.nbytes < _LEAST_BYTES or new.dtype not in (np.float32, np.float16):
        return Change(new.dtype, whole=new)
    size = float(max(np.abs(old).max(), np.abs(new).max()))
    exact = new.astype(np.float64)
    by_difference = factorise(exact - old, size, new.dtype)
    itself = factorise(exact, size, new.dtype) if alone else None
    if itself is not None and (by_difference is None or itself.numbers <= by_difference.numbers):
        return Change(new.dtype, factors=itself)
    if by_difference is not None:
        return Change(new.dtype, factors=by_difference, added=True)
    return Change(new.dtype, whole=new)


def products(changed: Mapping[str, Change]) -> list[dict[str, int]]:
    """How many numbers each product has, by the constant that it is for; those of one b stand together."""
    sharing: dict[int, dict[str, int]] = {}
    for name, change in changed.items():
        if change.factors is not None:
            sharing.setdefault(id(change.factors.b), {})[name] = change.factors.numbers
    return list(sharing.values())


def stored_type(change: Change, halved: bool) -> type[np.floating[Any]]:
    """In what a product's factors are stored; those of a float16 constant are never wider."""
    return np.float16 if halved or change.dtype == np.float16 else np.float32


def with_common_factors(changed: Mapping[str, Change]) -> dict[str, Change]:
    """The same changes with as few b as may be: the phases of a transposed convolution, which were one weight, take the
    first one's."""
    found: dict[str, Change] = {}
    kept: list[np.ndarray] = []
    for name, change in changed.items():
        found[name] = change
        if change.factors is None:
            continue
        shared = next((one for b in kept if (one := change.factors.on(b)) is not None), None)
        if shared is None:
            kept.append(change.factors.b)
        else:
            found[name] = replace(change, factors=shared)
    return found
