from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketgan.bench.looks import confidence_of_each, looks


def test_rounds_double_from_look_to_look() -> None:
    assert looks(10, 160, 0.99, 5) == (10, 20, 40, 80, 160)
    assert looks(10, 18, 0.99, 5) == (10, 18)
    assert looks(40, 40, 0.99, 5) == (40,)
    # 2^-8 is no part of a five hundredth: with eight rounds nothing could be decided.
    assert looks(8, 160, 0.99, 5)[0] == 10
    assert looks(8, 8, 0.99) == (8,)
    # One look after five rounds could decide at 93.75 %, the first of two could not.
    assert looks(5, 6, 0.9375) == (6,)


@given(st.integers(1, 200), st.integers(1, 3000), st.floats(0.5, 0.999), st.integers(1, 7))
def test_looks_ascend_to_the_most_and_spend_no_more_than_there_is(
    first: int, most: int, confidence: float, step: int
) -> None:
    found = looks(first, most, confidence, step)
    assert list(found) == sorted(set(found))
    assert found[-1] == most
    assert all(rounds % step == 0 for rounds in found[:-1])
    each = 1 - confidence_of_each(confidence, len(found))
    assert each * len(found) == pytest.approx(1 - confidence)
    # All but the last can decide something.
    assert all(2.0**-rounds <= each / 2 * (1 + 1e-9) for rounds in found[:-1])


def test_no_rounds_have_no_looks() -> None:
    for wrong in ((0, 5, 0.9), (5, 0, 0.9), (5, 5, 1.0)):
        with pytest.raises(ValueError, match="no looks"):
            looks(*wrong)
