"""Similarity of features whose channel counts differ (CAT, section 3.3)."""

from __future__ import annotations

from torch import Tensor


class GlobalKernelAlignment:
    """Similarity of two feature maps whose channel counts differ (CAT, eq. 2).

    GKA(X, Y) = |Y'X|_F^2 / (|X'X|_F |Y'Y|_F) on features flattened to (n*h*w, c). The released code flattens to
    (n, h*w*c) instead, which is 1 for any input at batch 1.

    Args to __call__:
        x: (n, c1, h, w) teacher features.
        y: (n, c2, h, w) student features, same n, h, w.
    Returns:
        Scalar tensor in [0, 1]; 1 for features equal up to rotation and scale.
    Raises:
        ValueError: if the batch or the spatial sizes differ.
    """

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        if x.shape[0] != y.shape[0] or x.shape[2:] != y.shape[2:]:
            raise ValueError(f"features of shapes {tuple(x.shape)} and {tuple(y.shape)} differ in more than channels")
        x, y = _rows(x), _rows(y)
        cross = (y.T @ x).square().sum()
        return cross / ((x.T @ x).norm() * (y.T @ y).norm()).clamp_min(1e-12)


def _rows(features: Tensor) -> Tensor:
    """(n, c, h, w) -> (n*h*w, c) in float32, scaled to mean square 1: sums of fourth powers stay in range."""
    rows = features.float().permute(0, 2, 3, 1).flatten(0, 2)
    return rows / rows.square().mean().sqrt().clamp_min(1e-12)
