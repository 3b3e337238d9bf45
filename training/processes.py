"""The group of processes that train together, as accelerate sees it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelerate import Accelerator


def join(precision: str = "fp32") -> Accelerator:
    """This process's accelerator, alone or under `accelerate launch`.

    Processes wait for each other through whole stages, so their patience is a week.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import InitProcessGroupKwargs

    # accelerate remembers the first precision of a process and refuses another; teacher and student may differ.
    AcceleratorState._reset_state()

    mixed = {"fp32": "no", "bf16": "bf16"}[precision]
    return Accelerator(mixed_precision=mixed, kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(days=7))])
