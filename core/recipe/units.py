"""Numbers as people write them in recipes and on the command line: `2.6G`, `12ms`, `256`, `[256, 512]`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

_COUNTS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_NUMBER = r"\s*(\d+(?:\.\d+)?)\s*"
_COUNT = f"({'|'.join(_COUNTS)})"
_TIME = f"({'|'.join(_MILLISECONDS)})"


def parse_count(value: object) -> object:
    """`2.6G` -> 2600000000; numbers stay as they are."""
    if isinstance(value, str):
        match = re.fullmatch(rf"{_NUMBER}{_COUNT}\s*", value)
        if not match:
            raise ValueError(f"expected a number with an optional K, M, G or T such as 2.6G, got {value!r}")
        return round(float(match[1]) * _COUNTS[match[2]])
    return value


def parse_budget(value: object) -> object:
    """`2.6G` -> 2600000000, `12ms` -> 12.0 milliseconds; numbers stay as they are."""
    if isinstance(value, str) and (match := re.fullmatch(rf"{_NUMBER}{_TIME}\s*", value)):
        return float(match[1]) * _MILLISECONDS[match[2]]
    number = parse_count(value)
    return int(number) if isinstance(number, float) and number.is_integer() else number


Budget = Annotated[
    int | float,
    BeforeValidator(parse_budget),
    Field(gt=0),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "exclusiveMinimum": 0},
                {"type": "string", "pattern": rf"^{_NUMBER}({_COUNT}|{_TIME})\s*$"},
            ]
        }
    ),
]


def budget_mismatch(by: str, budget: object) -> str | None:
    """What was expected, where a budget is a time and `by` counts none, or the other way round."""
    if (by == "latency") == isinstance(budget, float):
        return None
    return "a time such as 12ms" if by == "latency" else "a number such as 2.6G"


_SIDE = {"type": "integer", "minimum": 32, "maximum": 4096, "multipleOf": 4}


def parse_resolution(value: object) -> int | tuple[int, int]:
    """256, or [256, 512] for height and width: multiples of 4 from 32 to 4096."""
    sides = [side for side in (value if isinstance(value, list | tuple) else [value]) if type(side) is int]
    count = len(value) if isinstance(value, list | tuple) else 1
    if all(32 <= side <= 4096 and side % 4 == 0 for side in sides) and len(sides) == count:
        if not isinstance(value, list | tuple):
            return sides[0]
        if count == 2:
            return sides[0], sides[1]
    raise ValueError(f"expected pixels, a multiple of 4 from 32 to 4096, or [height, width] of them, got {value!r}")


Resolution = Annotated[
    int | tuple[int, int],
    BeforeValidator(parse_resolution),
    WithJsonSchema({"anyOf": [_SIDE, {"type": "array", "items": _SIDE, "minItems": 2, "maxItems": 2}]}),
]
