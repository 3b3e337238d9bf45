"""What a generator can be exported to. A target says what it is; `entry.export` drives it."""

from __future__ import annotations

from pocketgan.export.targets.coreai import CoreAI
from pocketgan.export.targets.coreml import CoreML
from pocketgan.export.targets.executorch import ExecuTorchXnnpack
from pocketgan.export.targets.executorch_coreml import ExecuTorchCoreML
from pocketgan.export.targets.executorch_qualcomm import ExecuTorchQualcomm
from pocketgan.export.targets.executorch_vulkan import ExecuTorchVulkan
from pocketgan.export.targets.onnx import Onnx
from pocketgan.export.targets.target import INPUT, OUTPUT, Exported, Form, Target
from pocketgan.export.targets.torch_program import TorchProgram
from pocketgan.targets import find_facts

__all__ = ["INPUT", "OUTPUT", "TARGETS", "Exported", "Form", "Target", "find_target"]

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
    """What writes the target of that name, and its precision, the default where `precision` is None.

    Raises:
        ExportError: as `pocketgan.targets.find_facts`.
    """
    facts, precision = find_facts(name, precision)
    return TARGETS[facts.name], precision
