"""Two versions of a weight, told apart by few numbers."""

from __future__ import annotations

import numpy as np
import pytest

from pocketgan.export.packs.change import changes, products, with_common_factors
from pocketgan.export.packs.low_rank import Factors, factorise

FLOAT32 = np.dtype(np.float32)


def weight(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def adapted(old: np.ndarray, axis: int, rank: int) -> np.ndarray:
    """The weight plus a product of that rank along the axis, in float32 as an exporter would store it."""
    rest = np.delete(old.shape, axis)
    b, a = weight(old.shape[axis], rank, seed=1), weight(rank, int(np.prod(rest)), seed=2)
    return (old + np.moveaxis((0.1 * b @ a).reshape(old.shape[axis], *rest), 0, axis)).astype(np.float32)


def factors_of(new: np.ndarray, old: np.ndarray) -> Factors:
    found = factorise(new.astype(np.float64) - old, float(np.abs(new).max()), FLOAT32)
    assert found is not None
    return found


@pytest.mark.parametrize(("shape", "axis", "rank"), [((64, 32, 3, 3), 0, 4), ((48, 64, 4, 4), 1, 8), ((96, 64), 0, 1)])
def test_a_change_of_low_rank_is_found_whatever_the_axis(shape, axis, rank) -> None:
    old = weight(*shape)
    new = adapted(old, axis, rank)
    found = factors_of(new, old)
    assert found.b.shape[1] == rank
    # b of the axis and a of all others, and no more.
    assert found.numbers == rank * (shape[found.axis] + old.size // shape[found.axis])


def test_factors_give_the_weight_back_to_a_float32s_rounding() -> None:
    old = weight(64, 32, 3, 3)
    new = adapted(old, 0, 4)
    found = factors_of(new, old).stored(np.float32)
    restored = old + (found.b.astype(np.float64) @ found.a).reshape(64, 32, 3, 3)
    np.testing.assert_allclose(restored, new, atol=4 * 2.0**-24 * np.abs(new).max())


def test_factors_in_float16_are_off_by_no_more_than_their_own_rounding() -> None:
    old = weight(64, 32, 3, 3)
    new = adapted(old, 0, 4)
    stored = factors_of(new, old).stored(np.float16)
    assert stored.a.dtype == stored.b.dtype == np.float16
    product = (stored.b.astype(np.float64) @ stored.a.astype(np.float64)).reshape(64, 32, 3, 3)
    error = np.sqrt(np.mean((product - (new.astype(np.float64) - old)) ** 2))
    assert error < 2.0**-11 * np.sqrt(np.mean(product**2))


def test_parts_of_one_weight_share_their_factor_of_the_outputs() -> None:
    old = weight(64, 32, 2, 2)
    new = adapted(old, 0, 4)
    other = adapted(old, 0, 4) + np.float32(0.1) * adapted(weight(64, 32, 2, 2) * 0, 1, 4)
    base = {"left": old[..., 0].copy(), "right": old[..., 1].copy(), "other": old}
    found = with_common_factors(
        changes(base, {"left": new[..., 0].copy(), "right": new[..., 1].copy(), "other": other}, alone=False)
    )
    left, right = found["left"].factors, found["right"].factors
    assert left is not None
    assert right is not None
    assert left.b is right.b
    assert found["other"].factors is None or found["other"].factors.b is not left.b
    restored = old[..., 1] + (right.b @ right.a).reshape(64, 32, 2)
    np.testing.assert_allclose(restored, new[..., 1], atol=16 * 2.0**-24 * np.abs(new).max())
    # They are one weight's to whoever chooses what is stored in float16.
    assert products(found)[0] == {"left": 4 * (64 + 32 * 2), "right": 4 * (64 + 32 * 2)}


def test_a_change_of_full_rank_has_no_factors() -> None:
    assert factorise(weight(64, 64).astype(np.float64), 4.0, FLOAT32) is None


def test_a_constant_is_stored_by_what_is_least() -> None:
    old, few = weight(64, 32, 3, 3), weight(77, 9, seed=3) @ weight(9, 128, seed=4)
    base = {"kept": old, "added": old, "text": weight(77, 128), "other": weight(64, 64), "short": weight(8)}
    concept = {
        "kept": old,
        "added": adapted(old, 0, 4),
        "text": few,
        "other": weight(64, 64, seed=5),
        "short": weight(8, seed=6),
    }
    found = changes(base, concept, alone=True)
    assert "kept" not in found
    assert found["added"].added
    assert found["text"].factors is not None
    assert not found["text"].added
    assert found["text"].factors.b.shape == (77, 9)
    assert found["other"].whole is not None
    assert found["short"].whole is not None
    # Where a product cannot stand alone, what leads from one text to the other has the rank of both.
    assert "text" in changes(base, concept, alone=False)
    assert changes(base, concept, alone=False)["text"].whole is not None
