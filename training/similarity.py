"""Similarity of features whose channel counts differ (CAT, section 3.3), and the distances distilled by them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn

from pocketgan.errors import PocketganError
from pocketgan.recipe.choices import Similarity

Measured = Callable[..., Tensor]


def _in_float32(measure: Measured) -> Measured:
    """The same measure, which takes something and the features x and y, in float32 also where autocast is on.

    bfloat16 has 8 bits of precision: products of a thousand pixels lose what tells a student from its teacher.
    """

    @wraps(measure)
    def measured(first: Any, x: Tensor, y: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return measure(first, x.float(), y.float())

    return measured


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

    @_in_float32
    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        _require_same_pixels(x, y)
        return _alignment(_rows(x), _rows(y))


class CentredKernelAlignment:
    """GKA of features whose mean over all pixels was taken away (linear CKA, Kornblith et al. 2019).

    Features behind a ReLU align by their means alone, at 0.8 where they are independent; without means they do not.
    Arguments, result and errors are those of GlobalKernelAlignment.
    """

    @_in_float32
    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        _require_same_pixels(x, y)
        return _alignment(_rows(x, centred=True), _rows(y, centred=True))


class KernelAlignment:
    """KA of CAT's released code: |YY'XX'| in its cheap form, on features flattened to (n, h*w*c).

    It compares which images of a batch are alike, and nothing inside an image.

    Args to __call__:
        x, y: (n, c, h, w) features of the same n > 1 images; channels and sizes may differ.
    Returns:
        Scalar tensor in [0, 1].
    Raises:
        ValueError: the batches differ.
        PocketganError: n is 1, where the value is 1 for any input.
    """

    @_in_float32
    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        if x.shape[0] != y.shape[0]:
            raise ValueError(f"features of shapes {tuple(x.shape)} and {tuple(y.shape)} are of different batches")
        check_batch("ka", x.shape[0])
        x, y = (_unit(features.flatten(1)) for features in (x, y))
        # <XX', YY'> and the norms of XX' and YY' are (n, n): far smaller than h*w*c.
        a, b = x @ x.T, y @ y.T
        return (a * b).sum() / (a.norm() * b.norm()).clamp_min(1e-12)


SIMILARITIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gka": GlobalKernelAlignment(),
    "cka": CentredKernelAlignment(),
    "ka": KernelAlignment(),
}


def check_batch(similarity: Similarity, batch_size: int) -> None:
    """Raises PocketganError where the similarity carries no signal at that batch size (images a process)."""
    if similarity == "ka" and batch_size < 2:
        raise PocketganError(
            "similarity ka compares the images of a batch with each other and is 1 for any features of a single "
            "image: choose a batch size of at least 2 images a process, or similarity gka"
        )


class FeatureDistance(nn.Module):
    """What distillation minimises: the sum over all feature taps of 1 - similarity, or of a squared error.

    forward: teacher features and student features, lists of (n, c, h, w) with equal n, h, w -> scalar.

    Args:
        similarity: `mse` compares a learned 1x1 projection of the student's features to the teacher's channels; its
            parameters train with the student.
        student, teacher: channels at every tap; only `mse` needs them.
        seed: of the projections.
    """

    def __init__(
        self, similarity: Similarity, student: Sequence[int] = (), teacher: Sequence[int] = (), seed: int = 0
    ) -> None:
        super().__init__()
        self.similarity = similarity
        self.projections = nn.ModuleList()
        if similarity == "mse":
            generator = torch.Generator().manual_seed(seed)
            for inputs, outputs in zip(student, teacher, strict=True):
                projection = nn.Conv2d(inputs, outputs, 1)
                with torch.no_grad():
                    projection.weight.normal_(0.0, inputs**-0.5, generator=generator)
                    assert projection.bias is not None
                    projection.bias.zero_()
                self.projections.append(projection)

    def forward(self, teacher: Sequence[Tensor], student: Sequence[Tensor]) -> Tensor:
        if self.similarity == "mse":
            triples = zip(self.projections, teacher, student, strict=True)
            distances = [_squared_error(projection, x, y) for projection, x, y in triples]
        else:
            measure = SIMILARITIES[self.similarity]
            distances = [1 - measure(x, y) for x, y in zip(teacher, student, strict=True)]
        return torch.stack(distances).sum()


@_in_float32
def _squared_error(projection: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return (projection(y) - x).square().mean()


def _require_same_pixels(x: Tensor, y: Tensor) -> None:
    if x.shape[0] != y.shape[0] or x.shape[2:] != y.shape[2:]:
        raise ValueError(f"features of shapes {tuple(x.shape)} and {tuple(y.shape)} differ in more than channels")


def _alignment(x: Tensor, y: Tensor) -> Tensor:
    return (y.T @ x).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm()).clamp_min(1e-12)


def _rows(features: Tensor, centred: bool = False) -> Tensor:
    """(n, c, h, w) -> (n*h*w, c), scaled to mean square 1."""
    rows = features.permute(0, 2, 3, 1).flatten(0, 2)
    return _unit(rows - rows.mean(0) if centred else rows)


def _unit(values: Tensor) -> Tensor:
    """Scaled to mean square 1: sums of fourth powers stay in range."""
    return values / values.square().mean().sqrt().clamp_min(1e-12)
