"""ExecuTorch programs (`.pte`) for its Vulkan delegate: the GPUs of Android phones. Lowered here, run there."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pocketgan.errors import require
from pocketgan.export.targets.executorch import WHOLE, write_program
from pocketgan.export.targets.target import Exported, Form

if TYPE_CHECKING:
    from torch import Tensor, nn


class ExecuTorchVulkan:
    """One `model.pte` with float32 input and output. fp16 stores weights and computes in float16 in the delegate.

    No parity here: ExecuTorch's Python package has no Vulkan runtime.
    """

    name = "executorch-vulkan"
    precisions: tuple[str, ...] = ("fp32", "fp16")
    default_precision = "fp16"
    runtime = "executorch"
    checked_by: str | None = None
    packages: tuple[str, ...] = ("torch", "executorch")
    rewrites: tuple[str, ...] = WHOLE
    relative_time = 6.0

    def check_installed(self) -> None:
        """See Target."""
        require("export", "torch", "executorch")

    def minimum_os(self, form: Form) -> str | None:
        """None: it depends on the ExecuTorch that the app brings."""
        return None

    def export(self, module: nn.Module, example: tuple[Tensor, ...], form: Form, folder: Path) -> Exported:
        """See Target."""
        with _root_logger_as_it_was():
            from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

        return write_program(
            module, example, VulkanPartitioner({"force_fp16": True} if form.precision == "fp16" else {}), folder
        )


@contextmanager
def _root_logger_as_it_was() -> Iterator[None]:
    """Importing the partitioner sets the level of the root logger, which is the program's own."""
    level = logging.root.level
    try:
        yield
    finally:
        logging.root.setLevel(level)
