"""A few that stand for all: those nearest to the centres of k-means (E2GAN, section 3.4), and how well they cover.

Of images the k that a concept is trained on, of concepts those that a base is trained on.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from pocketgan.errors import DataError
from pocketgan.training.text.encoder import EncoderIdentity

IMAGES_OF_A_CONCEPT = 400
RANDOM_DRAWS = 10
VERSION = 1


@dataclass(frozen=True)
class Coverage:
    """Euclidean distance of all features to their nearest chosen one: the mean, and what 95 % do not exceed."""

    mean: float
    p95: float


@dataclass(frozen=True)
class Coreset:
    """What was chosen, and how well it covers beside a random choice of the same size.

    Attributes:
        chosen: indices of those chosen, ascending.
        by_chance: the mean over `RANDOM_DRAWS` random choices.
    """

    chosen: tuple[int, ...]
    seed: int
    coverage: Coverage
    by_chance: Coverage

    def report(self, what: str, names: Sequence[str], identity: EncoderIdentity) -> dict[str, Any]:
        """As JSON: `what` (images, texts) was chosen by which features, which, and how well they cover."""
        return {
            "version": VERSION,
            "what": what,
            "of": len(names),
            "k": len(self.chosen),
            "seed": self.seed,
            "features": {"name": identity.name, "digest": identity.digest},
            "chosen": [names[index] for index in self.chosen],
            "coverage": {
                "chosen": {"mean": self.coverage.mean, "p95": self.coverage.p95},
                "random": {"mean": self.by_chance.mean, "p95": self.by_chance.p95, "draws": RANDOM_DRAWS},
            },
        }

    def __str__(self) -> str:
        mine, random = self.coverage, self.by_chance
        return (
            f"distance to the nearest chosen one: {mine.mean:.4g} on average, {mine.p95:.4g} or less for 95 %; "
            f"random choice: {random.mean:.4g} and {random.p95:.4g}"
        )


def coreset(features: np.ndarray, k: int, seed: int = 0, what: str = "images") -> Coreset:
    """The k features nearest to the centres of k-means, and their coverage.

    Args:
        features: (n, d) float32.
        k: how many to choose.
        what: names them to the user.
    Raises:
        DataError: there are fewer than k.
    """
    from threadpoolctl import threadpool_limits

    check_enough(len(features), k, what)
    # One thread: sums that threads share depend on their number, and so would the choice.
    with threadpool_limits(1):
        chosen = near_centres(features, k, seed)
        random = [coverage(features, at_random(len(features), k, seed + draw)) for draw in range(RANDOM_DRAWS)]
        by_chance = Coverage(*(float(np.mean([getattr(one, key) for one in random])) for key in ("mean", "p95")))
        return Coreset(chosen, seed, coverage(features, chosen), by_chance)


def read_chosen(path: Path) -> list[str]:
    """Names of the chosen pictures: what `pocketgan coreset` wrote, or a text file with one name a line.

    Raises:
        DataError: there is no such file, it is of texts, or it names nothing.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is no readable file of chosen pictures, as `pocketgan coreset` writes one, or of one name a line"
        ) from error
    if not text.lstrip().startswith("{"):
        names = [line.strip() for line in text.splitlines() if line.strip()]
    else:
        names = _names_of_report(text, path)
    if not names:
        raise DataError(f"{path} names no picture")
    return names


def _names_of_report(text: str, path: Path) -> list[str]:
    try:
        report = json.loads(text)
        what, names = report["what"], report["chosen"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise TypeError("the chosen ones are no names")
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no file of `pocketgan coreset`, or damaged ({error}); choose again") from error
    if what != "images":
        raise DataError(f"{path} is a choice of {what}; a concept is trained on chosen images")
    return names


def check_enough(count: int, k: int, what: str) -> None:
    """Raises DataError where k cannot be chosen among so many."""
    if k < 1:
        raise DataError(f"--k is how many {what} to choose, at least 1, not {k}")
    if count < k:
        raise DataError(f"{count} {what} are fewer than k = {k}; choose with --k {count} or less, or take them all")


def near_centres(features: np.ndarray, k: int, seed: int) -> tuple[int, ...]:
    """k distinct indices, ascending: of each centre of k-means the nearest feature."""
    from sklearn.cluster import KMeans

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct features than k: centres coincide, and take one each
        centres = KMeans(k, n_init=1, random_state=seed).fit(features).cluster_centers_
    return nearest_distinct(centres, features)


def nearest_distinct(centres: np.ndarray, features: np.ndarray) -> tuple[int, ...]:
    """For each of the (k, d) centres another one of the (n, d) features, k at least, near to it; indices, ascending.

    A feature that is nearest to several centres goes to the closest of them, the others take their next.
    """
    from sklearn.metrics import euclidean_distances

    distances = euclidean_distances(centres, features)
    free_centres, free = np.ones(len(centres), bool), np.ones(len(features), bool)
    chosen: list[int] = []
    for flat in np.argsort(distances, axis=None, kind="stable"):
        centre, index = divmod(int(flat), len(features))
        if free_centres[centre] and free[index]:
            free_centres[centre] = free[index] = False
            chosen.append(index)
            if len(chosen) == len(centres):
                break
    return tuple(sorted(chosen))


def at_random(count: int, k: int, seed: int) -> tuple[int, ...]:
    """k distinct indices below `count`, ascending, drawn evenly."""
    return tuple(sorted(int(index) for index in np.random.default_rng(seed).choice(count, k, replace=False)))


def coverage(features: np.ndarray, chosen: Sequence[int]) -> Coverage:
    """How far all (n, d) features are from the nearest of the `chosen` ones."""
    from sklearn.metrics import pairwise_distances_argmin_min

    _, distances = pairwise_distances_argmin_min(features, features[list(chosen)])
    return Coverage(float(distances.mean()), float(np.percentile(distances, 95)))


def concept_vectors(features: Tensor) -> np.ndarray:
    """(n, 77, 512) features of texts -> (n, 512) float32, one vector a concept: its tokens' mean, of length 1."""
    means = features.mean(1)
    vectors: np.ndarray = (means / means.norm(dim=1, keepdim=True).clamp_min(1e-12)).numpy()
    return vectors
