"""What a generator can be exported to. A target says what it is; `export` in the package above drives it."""

from __future__ import annotations

from collections.abc import Sequence

from pocketgan.errors import ExportError
from pocketgan.export.targets.coreai import CoreAI
from pocketgan.export.targets.coreml import CoreML
from pocketgan.export.targets.executorch import ExecuTorchXnnpack
from pocketgan.export.targets.executorch_coreml import ExecuTorchCoreML
from pocketgan.export.targets.executorch_qualcomm import ExecuTorchQualcomm
from pocketgan.export.targets.executorch_vulkan import ExecuTorchVulkan
from pocketgan.export.targets.onnx import Onnx
from pocketgan.export.targets.target import INPUT, OUTPUT, Exported, Form, Target
from pocketgan.export.targets.torch_program import TorchProgram

__all__ = ["INPUT", "OUTPUT", "TARGETS", "Exported", "Form", "Target", "find_target", "pairs"]

_TARGETS: tuple[Target, ...] = (
    Onnx(),
    ExecuTorchXnnpack(),
    CoreML(),
    CoreAI(),
    ExecuTorchCoreML(),
    ExecuTorchVulkan(),
    ExecuTorchQualcomm(),
    TorchProgram(),
)
TARGETS = {target.name: target for target in _TARGETS}


def find_target(name: str, precision: str | None = None) -> tuple[Target, str]:
    """The target of that name and its precision, the default where `precision` is None.

    Raises:
        ExportError: there is no such target, or it has no such precision; names those that there are.
    """
    if name not in TARGETS:
        raise ExportError(f"there is no target {name!r}; there are {', '.join(TARGETS)}")
    target = TARGETS[name]
    if precision is None:
        return target, target.default_precision
    if precision not in target.precisions:
        raise ExportError(f"target {name} has no precision {precision!r}; it has {', '.join(target.precisions)}")
    return target, precision


def pairs(targets: Sequence[str], precisions: Sequence[str] | None) -> list[tuple[str, str | None]]:
    """Every target with each of the precisions that it has.

    Raises:
        ExportError: an unknown target, a precision that none of them has, or a target that has none of them.
    """
    targets = [target.strip() for target in targets]
    found = [find_target(target)[0] for target in targets]
    if precisions is None:
        return [(target, None) for target in targets]
    wanted = [precision.strip() for precision in precisions]
    for precision in wanted:
        if not any(precision in target.precisions for target in found):
            has = "; ".join(f"{target.name} has {', '.join(target.precisions)}" for target in found)
            raise ExportError(f"none of the targets has precision {precision!r}: {has}")
    for one in found:
        if not set(wanted) & set(one.precisions):
            find_target(one.name, wanted[0])
    return [(one.name, precision) for one in found for precision in wanted if precision in one.precisions]
