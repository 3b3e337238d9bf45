"""The processes that draw together: one alone, or those of `accelerate launch`, on a device each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from accelerate import Accelerator

Item = TypeVar("Item")


class Workers:
    """This process among its equals.

    Args:
        accelerator: of the group; None where this process is alone.
    Attributes:
        rank: its number; the first, 0, writes what all share.
        device: where its networks run.
    """

    def __init__(self, accelerator: Accelerator | None = None) -> None:
        self._accelerator = accelerator
        self.rank = 0 if accelerator is None else int(accelerator.process_index)
        self.first = self.rank == 0
        self.device: Any = "cpu" if accelerator is None else accelerator.device

    def wait(self) -> None:
        """Until all have come here."""
        if self._accelerator is not None:
            self._accelerator.wait_for_everyone()

    def share(self, items: Sequence[Item]) -> list[Item]:
        """This process's part: every n-th."""
        count = 1 if self._accelerator is None else self._accelerator.num_processes
        return list(items[self.rank :: count])


def join_workers() -> Workers:
    """The group of this process, on the devices that accelerate finds."""
    from pocketgan.training.processes import join

    return Workers(join())
