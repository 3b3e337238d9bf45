"""Whether a network gives the same output for the same input, and which part of it does not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from pocketgan.errors import ExportError

# Of the largest value: far above what another order of sums changes, far below what noise is for.
_NOTHING = 1e-5


def must_be_repeatable(module: nn.Module, run: Callable[[], Tensor], output: Tensor) -> None:
    """Refuse a network in eval mode that gives another output for an input that it was given before: nothing could say
    whether a file of it is right.

    Args:
        run: computes the output of that input once more.
        output: what it gave before.
    Raises:
        ExportError: names the part that is random, or keeps what it counts.
    """
    with _traces(module) as first:
        again = run()
    if _agree(again, output):
        return
    with _traces(module) as second:
        run()
    name, kind = _culprit(first, second)
    place = f"{name} ({kind})" if name else f"its own forward ({kind})"
    raise ExportError(
        f"{type(module).__name__} is random: the same input twice gives different outputs, from {place} on; "
        "let it draw no numbers and keep no counts in eval mode"
    )


def _agree(one: Any, other: Any) -> bool:
    if not isinstance(one, Tensor) or one.shape != other.shape:
        return False
    if torch.equal(one, other):
        return True
    finite = bool(torch.isfinite(one).all()) and bool(torch.isfinite(other).all())
    return not finite or float((one - other).abs().max()) <= _NOTHING * float(one.abs().max())


# Name and class of a module, digests of what it took and of what it gave, in the order in which calls end.
_Call = tuple[str, str, str, str]


@contextmanager
def _traces(module: nn.Module) -> Iterator[list[_Call]]:
    """Within it all calls of the module's parts are noted."""
    calls: list[_Call] = []

    def noting(name: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda part, inputs, output: calls.append((name, type(part).__name__, _digest(inputs), _digest(output)))

    hooks = [part.register_forward_hook(noting(name)) for name, part in module.named_modules()]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def _digest(values: Any) -> str:
    digest = hashlib.sha256()
    for value in tree_leaves(values):
        if isinstance(value, Tensor):
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _culprit(first: list[_Call], second: list[_Call]) -> tuple[str, str]:
    """The first part whose call took the same twice and gave something else; parts end before what they are part of."""
    for one, other in zip(first, second, strict=False):
        if one[2] == other[2] and one[3] != other[3]:
            return one[:2]
    return first[-1][:2]
