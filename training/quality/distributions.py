"""FID and KID of two sets of features: clean-fid's own functions, with what they leave out said in plain words.

Of fewer pictures than features, FID is computed here: clean-fid takes the square root of a product of covariances,
which are singular then; it takes 20 s for 2048 features, and now and then it fails.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import warnings

import numpy as np

from pocketgan.errors import DataError, PocketganError

LEAST = 2


def frechet_inception_distance(generated: np.ndarray, reference: np.ndarray) -> float:
    """FID (Heusel et al. 2017, eq. 6) of (n, features) against (m, features). 10 ms for 80 pictures; about 20 s where
    there are more of them than features (2048).

    Raises:
        DataError: a side has fewer than two pictures, or the distance is not a number.
    """
    from cleanfid.fid import fid_from_feats

    _check_sizes("FID", generated, reference)
    if min(len(generated), len(reference)) <= generated.shape[1]:
        return _finite(_of_few(generated, reference), generated, reference)
    _check_scipy()
    try:
        # clean-fid prints to standard output where the product of the covariances is singular.
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            value = float(np.real(fid_from_feats(generated, reference)))
    except ValueError as error:
        raise DataError(f"FID cannot be computed from {_sizes(generated, reference)}: {error}") from error
    return _finite(value, generated, reference)


def _of_few(generated: np.ndarray, reference: np.ndarray) -> float:
    """The same distance without a matrix of features by features.

    Covariances are A'A and B'B of the centred features, a row a picture, over sqrt(n - 1). The trace of (A'A B'B)^(1/2)
    is the sum of the singular values of AB'.
    """
    sides = [side.astype(np.float64) for side in (generated, reference)]
    means = [side.mean(0) for side in sides]
    a, b = ((side - mean) / np.sqrt(len(side) - 1) for side, mean in zip(sides, means, strict=True))
    try:
        shared = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    except np.linalg.LinAlgError:
        return np.nan
    return float(((means[0] - means[1]) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * shared)


def _finite(value: float, generated: np.ndarray, reference: np.ndarray) -> float:
    if not np.isfinite(value):
        raise DataError(f"FID is not a number for {_sizes(generated, reference)}")
    return value


def kernel_inception_distance(generated: np.ndarray, reference: np.ndarray, seed: int = 0) -> float:
    """KID (Binkowski et al. 2018): the mean over 100 random subsets of up to 1000 pictures, drawn from `seed`.

    Raises:
        DataError: a side has fewer than two pictures.
    """
    from cleanfid.fid import kernel_distance

    _check_sizes("KID", generated, reference)
    state = np.random.get_state()  # clean-fid draws from numpy's global generator
    np.random.seed(seed)
    try:
        return float(kernel_distance(generated, reference))
    finally:
        np.random.set_state(state)


def bias_warning(generated: int, reference: int, features: int) -> str | None:
    """What FID of few pictures means, or None where there are more of them than features."""
    fewest = min(generated, reference)
    if fewest > features:
        return None
    return (
        f"FID of {fewest} images is biased upwards, because {features} features need more images than that: "
        "compare it only with numbers from equally many images; KID has no such bias"
    )


def _check_sizes(name: str, generated: np.ndarray, reference: np.ndarray) -> None:
    for side, features in (("generated", generated), ("reference", reference)):
        if len(features) < LEAST:
            raise DataError(
                f"{name} compares distributions and needs 2 images a side at least; {side} has {len(features)}"
            )


def _sizes(generated: np.ndarray, reference: np.ndarray) -> str:
    return f"{len(generated)} generated and {len(reference)} reference images"


def _check_scipy() -> None:
    import scipy
    from scipy import linalg

    if "disp" not in inspect.signature(linalg.sqrtm).parameters:
        raise PocketganError(
            f"clean-fid calls scipy.linalg.sqrtm(disp=...), which scipy {scipy.__version__} no longer has; "
            "get an older one with: pip install 'scipy<1.18'"
        )
