"""Core AI assets (`.aimodel`), Apple's successor of Core ML packages."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from pocketgan.export.targets.target import INPUT, OUTPUT, Exported, Form, Target
from pocketgan.export.tracing import trace
from pocketgan.targets import TARGETS

if TYPE_CHECKING:
    from torch import Tensor, nn

ASSET = "model.aimodel"
METADATA = "metadata.json"
# coreai-core writes for one generation of systems, `coreai.authoring.OSVersion.v27`.
MINIMUM_OS = "iOS 27"
_NO_DATE = "19700101T000000Z"


class CoreAI(Target):
    """One `model.aimodel` with float32 input and output, which computes in its precision."""

    facts = TARGETS["coreai"]
    # The converter keeps padding, norms and attention as operators of its own; other rewrites cannot be timed here.
    rewrites: tuple[str, ...] = ("constants", "fold-norms-of-sums")
    relative_time = 2.0

    def minimum_os(self, form: Form) -> str | None:
        """See Target."""
        return MINIMUM_OS

    def export(self, module: nn.Module, example: tuple[Tensor, ...], form: Form, folder: Path) -> Exported:
        """See Target."""
        import torch
        from coreai_torch import TorchConverter, get_decomp_table

        from pocketgan.export.pixels import in_contract
        from pocketgan.export.quantize import Half

        if form.precision == "fp16":
            module = Half(module)
        module, example = in_contract(module, example, form.io)
        program = trace(module, example)
        with _numbered_names():
            # The other mode writes Python's stack traces, with their paths, into the asset.
            converter = TorchConverter(mode=TorchConverter.Mode.RELEASE)
            decompositions = {**get_decomp_table(), torch.ops.aten.permute_copy.default: torch.permute}
            converter.add_exported_program(
                program.run_decompositions(decompositions), input_names=[INPUT], output_names=[OUTPUT]
            )
            converter.to_coreai().save_asset(folder / ASSET)
        _normalise(folder / ASSET)
        return Exported(ASSET, metadata.version("coreai-core"))


@contextmanager
def _numbered_names() -> Iterator[None]:
    """Within it the functions of a program (one for each shape of a norm) have numbers in their names where coreai-core
    puts random letters. It is pinned to one version, so its insides are known."""
    numbers = itertools.count()
    with ExitStack() as stack:
        for module in ("coreai.authoring.func", "coreai.authoring.graph_builder"):
            stack.enter_context(mock.patch(f"{module}._randomize_fn_name", lambda name: f"{name}_{next(numbers)}"))
        yield


def _normalise(asset: Path) -> None:
    """Take out the time of the conversion; `main.hash` is that of the program alone and stays right."""
    path = asset / METADATA
    notes = json.loads(path.read_text())
    notes["creationDate"] = _NO_DATE
    path.write_text(json.dumps(notes, indent=2, sort_keys=True) + "\n")
