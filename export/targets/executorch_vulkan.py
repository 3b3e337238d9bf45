"""ExecuTorch programs (`.pte`) for its Vulkan delegate: the GPUs of Android phones. Lowered here, run there."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from pocketgan.export.targets.executorch import WHOLE, ExecuTorch, write_program
from pocketgan.export.targets.target import Exported, Form
from pocketgan.targets import TARGETS

if TYPE_CHECKING:
    from torch import Tensor, nn


class ExecuTorchVulkan(ExecuTorch):
    """One `model.pte` with float32 input and output. fp16 stores weights and computes in float16 in the delegate.

    No parity here: ExecuTorch's Python package has no Vulkan runtime.
    """

    facts = TARGETS["executorch-vulkan"]
    rewrites: tuple[str, ...] = WHOLE
    relative_time = 6.0

    def export(self, module: nn.Module, example: tuple[Tensor, ...], form: Form, folder: Path) -> Exported:
        """See Target."""
        from pocketgan.export.pixels import in_contract
        from pocketgan.export.targets.lowering import fast_lowering

        module, example = in_contract(module, example, form.io)
        with fast_lowering(), partitioner(form) as chosen:
            return write_program(module, example, chosen, folder)


@contextmanager
def partitioner(form: Form) -> Iterator[Any]:
    """ExecuTorch's partitioner for the form.

    Within it the partitioner does not look for what it traces a graph of, twice for each program: the two rotary
    embeddings of language models, which took 30 s of the 36 that a convolution needs.
    """
    with _root_logger_as_it_was():
        from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner
        from executorch.backends.vulkan.patterns import fusable_patterns

    with ExitStack() as stack:
        for pattern in fusable_patterns.values():
            stack.enter_context(mock.patch.object(pattern, "get_graphs_fn", None))
        yield VulkanPartitioner({"force_fp16": True} if form.precision == "fp16" else {})


@contextmanager
def _root_logger_as_it_was() -> Iterator[None]:
    """Importing the partitioner sets the level of the root logger, which is the program's own."""
    level = logging.root.level
    try:
        yield
    finally:
        logging.root.setLevel(level)
