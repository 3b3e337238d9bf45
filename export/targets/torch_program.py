"""torch.export's own file: the network as torch runs it operator by operator, the reference beside the runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from pocketgan.export.targets.target import Exported, Form, Target
from pocketgan.export.tracing import trace
from pocketgan.targets import TARGETS

if TYPE_CHECKING:
    from torch import Tensor, nn

PROGRAM = "model.pt2"


class TorchProgram(Target):
    """One `model.pt2` with float32 inside."""

    facts = TARGETS["torch"]
    # As it was written: what the rewrites are worth is read off against it.
    rewrites: tuple[str, ...] = ()
    relative_time = 1.0

    def minimum_os(self, form: Form) -> str | None:
        """None: it is for hosts."""
        return None

    def export(self, module: nn.Module, example: tuple[Tensor, ...], form: Form, folder: Path) -> Exported:
        """See Target."""
        import torch

        from pocketgan.export.pixels import in_contract

        program = trace(*in_contract(module, example, form.io))
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # has the paths of this machine
            node.meta.pop("nn_module_stack", None)
            node.meta.pop("source_fn_stack", None)
        version = torch.__version__.partition("+")[0]
        # The file names the version that wrote it; which CUDA that was built for changes nothing.
        with mock.patch.object(torch, "__version__", version):
            torch.export.save(program, folder / PROGRAM)
        return Exported(PROGRAM, version)
