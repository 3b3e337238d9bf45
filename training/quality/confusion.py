"""Mean intersection over union from a confusion matrix that grows picture by picture."""

from __future__ import annotations

import numpy as np


class Confusion:
    """Counts of pixels by label (row) and prediction (column).

    Args:
        classes: number of classes.
        ignore: label of pixels that do not count.
    """

    def __init__(self, classes: int, ignore: int | None = None) -> None:
        self.counts = np.zeros((classes, classes), np.int64)
        self.ignore = ignore

    def add(self, predicted: np.ndarray, labels: np.ndarray) -> None:
        """Count pixels of two integer maps of equal shape.

        Raises:
            ValueError: a label that is neither a class nor ignored, or a prediction that is no class; names it.
        """
        classes = len(self.counts)
        kept = np.ones(labels.shape, bool) if self.ignore is None else labels != self.ignore
        truth, guess = labels[kept].astype(np.int64), predicted[kept].astype(np.int64)
        for what, values in (("label", truth), ("prediction", guess)):
            wrong = values[(values < 0) | (values >= classes)]
            if wrong.size:
                raise ValueError(f"{what} {wrong[0]} is not one of {classes} classes (0 to {classes - 1})")
        self.counts += np.bincount(truth * classes + guess, minlength=classes**2).reshape(classes, classes)

    def per_class(self) -> list[float | None]:
        """Intersection over union of each class in [0, 1]; None for a class that is neither labelled nor predicted."""
        both = np.diag(self.counts)
        union = self.counts.sum(0) + self.counts.sum(1) - both
        return [float(b / u) if u else None for b, u in zip(both, union, strict=True)]

    def mean(self) -> float | None:
        """mIoU in [0, 1] over the classes that occur; None where every pixel was ignored."""
        occurring = [value for value in self.per_class() if value is not None]
        return float(np.mean(occurring)) if occurring else None

    def pixel_accuracy(self) -> float | None:
        """Share of pixels that have their label, in [0, 1]; None where every pixel was ignored."""
        total = self.counts.sum()
        return float(np.diag(self.counts).sum() / total) if total else None
