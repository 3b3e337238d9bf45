"""Whether a network's outputs lie in the range that black and white are thought to have, judged by the first pictures.

A range that does not fit gives pictures that are black, white or pale, from which hours of training learn nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pocketgan.errors import ModelError

Range = tuple[float, float]
ASSUMED: Range = (-1.0, 1.0)
# Enough pictures that a dark or a bright one among them does not decide.
_PICTURES = 4
_SAMPLES = 16384
# Ranges that networks have, the narrowest first, with how far their outputs may lie outside: those without a bounded
# last layer overshoot, public style networks of [0, 255] from -20 to 275.
_BYTES: Range = (0.0, 255.0)
_KNOWN: tuple[tuple[Range, float], ...] = (((0.0, 1.0), 0.05), ((-1.0, 1.0), 0.2), (_BYTES, 64.0))
_FEW_BYTES = 10.0
# Of the values, what counts as none, and what counts as more than overshoot.
_NONE, _MUCH = 0.005, 0.05


class OutputRange:
    """Looks at raw outputs until it has seen enough to judge.

    Args:
        called: the network, to the user.
        black_to_white: the range that its outputs are read with.
        said: whether somebody said so; else it is an assumption, which is doubted more readily.
        hint: what to do, of the range that the outputs suggest, or of None.
    """

    def __init__(self, called: str, black_to_white: Range, said: bool, hint: Callable[[Range | None], str]) -> None:
        self._called, self._range, self._said, self._hint = called, black_to_white, said, hint
        self._seen: list[np.ndarray] = []
        self._one_coloured = True

    @property
    def decided(self) -> bool:
        """Whether it has seen enough."""
        return len(self._seen) >= _PICTURES

    def see(self, values: np.ndarray) -> None:
        """One output; floats."""
        flat = values.astype(np.float64).ravel()
        self._one_coloured &= float(flat.std()) < 0.02
        self._seen.append(flat[:: max(1, flat.size // _SAMPLES)])

    def check(self) -> None:
        """Judge what was seen so far.

        Raises:
            ModelError: the range does not fit.
        """
        values = np.concatenate(self._seen)
        if self._is_gross(values) if self._said else self._is_doubtful(values):
            low, high = self._range
            raise ModelError(
                f"{self._called} gives values from {values.min():.3g} to {values.max():.3g}, where {low:g} (black) to "
                f"{high:g} (white) {'is its range' if self._said else 'was assumed'}; {self._hint(_suggested(values))}"
            )

    def _is_gross(self, values: np.ndarray) -> bool:
        """Pictures that would be all black, white or grey, and would not be in another range."""
        low, high = self._range
        if _outside(values, self._range, high - low) > 0.5:
            return True
        narrow = values.max() - values.min() < (high - low) / 100
        return bool(narrow and not self._one_coloured and _suggested(values) is not None)

    def _is_doubtful(self, values: np.ndarray) -> bool:
        low, high = self._range
        if _outside(values, self._range, (high - low) / 4) > _MUCH:
            return True
        unit, slack = _KNOWN[0]
        return len(self._seen) > 1 and not self._one_coloured and _outside(values, unit, slack) < _NONE


def _suggested(values: np.ndarray) -> Range | None:
    """The narrowest known range that holds the values; of bytes, only where they use some of it."""
    found = next((known for known, slack in _KNOWN if _outside(values, known, slack) < _NONE), None)
    return None if found == _BYTES and values.max() < _FEW_BYTES else found


def _outside(values: np.ndarray, black_to_white: Range, slack: float) -> float:
    """The share of the values that lie more than `slack` outside of the range."""
    low, high = black_to_white
    return float(np.mean((values < low - slack) | (values > high + slack)))
