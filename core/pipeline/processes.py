"""The group of processes that go the way together: one alone, or those of `accelerate launch`."""

from __future__ import annotations

import os
from typing import Any, Protocol


class Processes(Protocol):
    """A group of processes that meet."""

    @property
    def first(self) -> bool:
        """Whether this is the one that runs the stages that are not parallel, and that writes."""
        ...

    def agree(self, value: Any) -> Any:
        """The first process's value, in all of them."""


class OneProcess:
    """No parallel training."""

    first = True

    def agree(self, value: Any) -> Any:
        return value


class LaunchedProcesses:
    """The processes that `accelerate launch` started."""

    def __init__(self) -> None:
        from pocketgan.training.processes import join

        self._accelerator = join()
        self.first = bool(self._accelerator.is_main_process)

    def agree(self, value: Any) -> Any:
        from accelerate.utils import broadcast_object_list

        values = [value]
        broadcast_object_list(values)
        return values[0]


def world_size() -> int:
    """How many processes there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is the one that speaks, before the group has met."""
    return int(os.environ.get("RANK", "0")) == 0


def join_processes() -> Processes:
    """The group that this process belongs to."""
    return LaunchedProcesses() if world_size() > 1 else OneProcess()
