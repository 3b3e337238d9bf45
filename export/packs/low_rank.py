"""What tells two versions of a weight apart, as factors of low rank.

LoRA changes a weight W by B A. Whatever an export makes of W on the way (batch norms folded in, Winograd's transform,
phases of a transposed convolution, permuted axes) is linear in it, and most keep the outputs apart: so the exported
weights of two concepts differ by a matrix of the same low rank along one axis, and it can be read from the two files
alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

# Half of the distance between neighbouring numbers, relative: what rounding once may change.
_ROUNDING: dict[np.dtype[Any], float] = {np.dtype(np.float32): 2.0**-24, np.dtype(np.float16): 2.0**-11}
# Rounding errors add up on the way to a constant (a product over 512 numbers): this many of them are noise.
_ROUNDINGS = 8.0
# Combinations of columns of the first probe of a matrix's range, and how many of them must have been too many.
_PROBE, _SPARE = 32, 8


@dataclass(frozen=True)
class Factors:
    """A tensor as a product along one of its axes.

    Attributes:
        shape: of the tensor.
        axis: whose positions are the rows of `b`.
        b: (shape[axis], rank).
        a: (rank, all other axes in their order).
        least: singular values below it are noise.
    """

    shape: tuple[int, ...]
    axis: int
    b: np.ndarray
    a: np.ndarray
    least: float = 0.0

    @property
    def numbers(self) -> int:
        return self.b.size + self.a.size

    def stored(self, dtype: type[np.floating[Any]]) -> Factors:
        """Rounded to `dtype`: b first, then the a that fits the rounded b best."""
        b = self.b.astype(dtype)
        exact = b.astype(np.float64)
        # The product is kept, not the factor: a = (b'b)^-1 b' (b a).
        a = np.linalg.lstsq(exact, self.b, rcond=None)[0] @ self.a
        return replace(self, b=b, a=a.astype(dtype))

    def on(self, b: np.ndarray) -> Factors | None:
        """The same tensor with another b, up to noise; None where it cannot be."""
        if b.shape != self.b.shape:
            return None
        mixing = np.linalg.lstsq(b, self.b, rcond=None)[0]
        # What is lost, (b' - b M) a, is of low rank: its size follows from two small triangles.
        lost = np.linalg.qr(self.b - b @ mixing)[1] @ np.linalg.qr(self.a.T)[1].T
        return replace(self, b=b, a=mixing @ self.a) if np.linalg.norm(lost, 2) <= self.least else None


def factorise(tensor: np.ndarray, size: float, dtype: np.dtype[Any], axis: int | None = None) -> Factors | None:
    """Few numbers whose product is `tensor`, up to what rounding does to numbers of `dtype` as large as `size`.

    Args:
        tensor: in float64.
        axis: the one to take; the best where None.
    Returns:
        None where there are no fewer numbers than in the tensor.
    """
    noise, probe = size * _ROUNDING[dtype] * _ROUNDINGS, _PROBE
    axes = [one for one, rows in enumerate(tensor.shape) if rows > 1] if axis is None else [axis]
    while axes:
        # The axis that keeps the outputs apart is found by the first probe; the others' ranks are never computed.
        found = [factors for one in axes if (factors := _along(tensor, one, noise, probe)) is not None]
        if found:
            best = min(found, key=lambda one: one.numbers)
            return best if best.numbers < tensor.size else None
        axes = [one for one in axes if probe * (tensor.shape[one] + tensor.size // tensor.shape[one]) < tensor.size]
        probe *= 4
    return None


def _along(tensor: np.ndarray, axis: int, noise: float, probe: int) -> Factors | None:
    """Factors from the singular values above the noise, found in the range of `probe` random combinations of columns
    (Halko, Martinsson and Tropp 2011); None where more combinations are needed."""
    matrix = np.moveaxis(tensor, axis, 0).reshape(tensor.shape[axis], -1)
    rows, columns = matrix.shape
    whole = probe >= min(rows, columns)
    if whole:
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
    else:
        mixed = matrix @ np.random.default_rng(0).standard_normal((columns, probe))
        basis = np.linalg.qr(mixed)[0]
        left, values, right = np.linalg.svd(basis.T @ matrix, full_matrices=False)
        left = basis @ left
    # A matrix of independent numbers of size s has a largest singular value of about s (sqrt(m) + sqrt(n)).
    least = noise * (rows**0.5 + columns**0.5)
    rank = int((values > least).sum())
    if not whole and rank > probe - _SPARE:
        return None
    # Both factors get the same share of the size, which keeps float16 away from its ends.
    root = np.sqrt(values[:rank])
    return Factors(tensor.shape, axis, left[:, :rank] * root, root[:, None] * right[:rank], least)
