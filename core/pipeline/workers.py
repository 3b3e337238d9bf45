"""Who judges the candidates of an evolution: said on the command line, never by a recipe, which people pass around."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pocketgan.errors import PocketganError
from pocketgan.recipe.recipe import Recipe

if TYPE_CHECKING:
    from pocketgan.training.parallel import Pool

# Of each candidate: sums are of equal floats only for equal threads, and so the search is the same for any workers.
_THREADS = 1


@dataclass(frozen=True)
class WorkersWanted:
    """How an evolution is spread.

    Attributes:
        count: processes on this computer; 0 is this one alone, without Dask. None: one a core where Dask is installed
            and there is no GPU, which one process fills.
        address: of a Dask scheduler instead, which is trusted in full.
    """

    count: int | None = None
    address: str | None = None

    def check(self, recipe: Recipe, done: bool = False) -> None:
        """Whether they are there, before hours of training.

        Args:
            done: whether what they are for is finished already.
        Raises:
            PocketganError: the recipe has nothing for them, options contradict each other, a cluster does not answer.
        """
        from pocketgan.training.parallel import check_cluster, open_pool

        if self == AS_IT_COMES:
            return
        if recipe.compress is None or recipe.compress.method != "evolve":
            raise PocketganError(
                "--workers and --address are for recipes with compress.method: evolve; leave them out, or see "
                "`accelerate launch` for trainings on several GPUs"
            )
        with open_pool(self.count or 0, _THREADS, self.address):
            pass
        if self.address is not None and not done:
            check_cluster(self.address)

    @contextmanager
    def open(self) -> Iterator[Pool]:
        """The pool; raises as `training.parallel.open_pool`."""
        from pocketgan.training.parallel import open_pool

        count = self.count
        if count is None:
            count = 0 if self.address is not None else _local_count()
        with open_pool(count, _THREADS, self.address) as pool:
            yield pool


AS_IT_COMES = WorkersWanted()


def _local_count() -> int:
    import torch

    if find_spec("distributed") is None or torch.cuda.is_available():
        return 0
    return os.cpu_count() or 1
