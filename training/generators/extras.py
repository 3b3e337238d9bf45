"""Residual blocks beside a family's own: UGC inserts some after its down- and up-sampling layers.

They are data like everything else of a spec: the width `down1.extra2` is the inner one of the second block behind the
layer `down1`. A spec without such widths is the family's plain network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pocketgan.errors import ModelError
from pocketgan.training.generators.spec import GeneratorSpec

_MARK = ".extra"


def extra_name(place: str, number: int) -> str:
    """The inner width of the block of that number, counted from 1, behind the layer `place`."""
    return f"{place}{_MARK}{number}"


def extra_count(spec: GeneratorSpec, place: str) -> int:
    """How many extra blocks stand behind a layer."""
    count = 0
    while extra_name(place, count + 1) in spec.widths:
        count += 1
    return count


def is_extra(width: str) -> bool:
    """Whether a width is of an extra block."""
    return _MARK in width


def without_extras(spec: GeneratorSpec) -> dict[str, int]:
    """The widths of the family's plain network."""
    return {name: width for name, width in spec.widths.items() if not is_extra(name)}


def check_extras(spec: GeneratorSpec, places: Mapping[str, str], parts: Sequence[str]) -> None:
    """Check the extra blocks of a spec.

    Args:
        places: layers of the family that may be followed by extra blocks; none where it has no such layer.
        parts: what names an extra block's widths, behind `extra_name`.
    Raises:
        ModelError: blocks at other places, with a number left out, without one of their widths, or of width 0.
    """
    extras = {name for name in spec.widths if is_extra(name)}
    if not extras:
        return
    if not places:
        raise ModelError(f"{spec.family} takes no extra blocks; it has no widths called {', '.join(sorted(extras))}")
    blocks = [extra_name(place, number) for place in places for number in range(1, extra_count(spec, place) + 1)]
    expected = {f"{block}{part}" for block in blocks for part in parts}
    if unknown := sorted(extras - expected):
        raise ModelError(
            f"{spec.family} has no widths called {', '.join(unknown)}; its extra blocks are numbered from 1, without a "
            f"gap, behind {', '.join(places)}"
        )
    if missing := sorted(name for name in expected if spec.widths.get(name, 0) < 1):
        raise ModelError(f"{spec.family} needs a width of at least 1 for {', '.join(missing)}")
