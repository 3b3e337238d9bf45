"""What of a model leaves a phone's accelerator or splits its graph, why, and what to change; nothing is written.

Each target's accelerators are asked about two forms: the module as it is, exported plainly, and the form that pocketgan
exports. ExecuTorch's backends answer with their own partitioners (`executorch.py`), ONNX Runtime's execution providers
with the tables that it ships (`onnx.py`), and Core ML's Neural Engine with a table of published observations
(`coreml.py`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pocketgan.errors import ExportError
from pocketgan.export.canonical import canonical
from pocketgan.export.lint import coreml, executorch, onnx
from pocketgan.export.lint.reading import Fall, Reading
from pocketgan.export.quiet import quiet
from pocketgan.export.rewrites import rewrite
from pocketgan.export.targets import find_target
from pocketgan.export.unsupported import converter_failure
from pocketgan.training.generators.copying import copied_network

__all__ = ["Fall", "Reading", "lint"]

# By target its accelerators, and what each of them takes of a module.
_Reader = Callable[[nn.Module, tuple[Tensor, ...]], dict[str, Reading]]
_READERS: dict[str, tuple[tuple[str, ...], _Reader]] = {**onnx.READERS, **executorch.READERS, **coreml.READERS}


def lint(model: nn.Module, target: str, example: tuple[Tensor, ...]) -> dict[str, tuple[Reading, Reading]]:
    """By accelerator of the target what it takes of the plain `model`, which is not changed, and of its exported form.

    A form that the target cannot express is a reading with an `error`.

    Args:
        example: one (1, c, h, w) tensor that fixes the input's shape.
    Raises:
        ExportError: the target is unknown or cannot be asked, or the model cannot be traced.
        MissingExtraError: the target's packages are not installed.
    """
    chosen = find_target(target)[0]
    if target not in _READERS:
        raise ExportError(f"nothing is known of what {target} takes; --lint knows {', '.join(_READERS)}")
    chosen.check_installed()
    with quiet(), torch.no_grad():
        untouched = copied_network(model).cpu().float().eval()
        plain = _read(target, untouched, example)
        exported = _read(target, rewrite(canonical(model, example), example, chosen.rewrites), example)
    return {accelerator: (plain[accelerator], exported[accelerator]) for accelerator in _READERS[target][0]}


def _read(target: str, module: nn.Module, example: tuple[Tensor, ...]) -> dict[str, Reading]:
    accelerators, read = _READERS[target]
    try:
        return read(module, example)
    except ExportError:
        raise
    except Exception as error:  # whatever the target's libraries raise
        failed = Reading(error=converter_failure(error, target, None, module, example))
        return dict.fromkeys(accelerators, failed)
