"""What the names in a public project's file tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from pocketgan.training.generators.spec import GeneratorSpec

if TYPE_CHECKING:
    from torch import Tensor

Names = dict[str, str]
Tensors = Mapping[str, "Tensor"]


class Reading(NamedTuple):
    """What the names in a file tell.

    Attributes:
        spec: with the file's number of blocks; branches that the file lacks have width 0, other widths mean nothing.
        names: the file's names, by path of our modules.
        idle: what the names of entries begin with that the file's own network never uses.
    """

    spec: GeneratorSpec
    names: Names
    idle: tuple[str, ...] = ()
