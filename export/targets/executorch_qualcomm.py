"""ExecuTorch programs (`.pte`) for its Qualcomm delegate: the Hexagon processors of Snapdragon phones.

Lowering compiles for one chip with Qualcomm's AI Engine Direct SDK (QNN), in a process of its own: importing
ExecuTorch's backend switches off torch's oneDNN, and would download an SDK where none is set.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from pocketgan.bundle.manifest import Delegation
from pocketgan.errors import ExportError
from pocketgan.export.targets.executorch import MODEL_FILE, WHOLE, ExecuTorch
from pocketgan.export.targets.target import Exported, Form
from pocketgan.export.tracing import trace
from pocketgan.targets import DEFAULT_SOC, QNN_LIBRARIES, QNN_VARIABLE, TARGETS, qualcomm_sdk

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn
    from torch.export import ExportedProgram

COMMAND = (sys.executable, "-P", "-m", "pocketgan.export.targets.qualcomm_lowering")
# What the parent hands over, and what comes back beside the program, in one folder.
REQUEST, PROGRAM, CALIBRATION, DELEGATION = "request.json", "program.pt2", "calibration.npy", "delegation.json"
# Python modules in Qualcomm's SDK.
_SDK_PYTHON = "lib/python"
# Chips of phones, by Qualcomm's numbers: Snapdragon 888, 8 Gen 1, 8+ Gen 1, 8 Gen 2, 8 Gen 3, 8 Elite, 8 Gen 5,
# 8 Elite Gen 5.
SOCS = ("SM8350", "SM8450", "SM8475", "SM8550", "SM8650", "SM8750", "SM8845", "SM8850")
_WITHOUT_FLOAT16 = ("SM8350",)


class ExecuTorchQualcomm(ExecuTorch):
    """One `model.pte` compiled for one chip (`Form.soc`). fp16 computes in float16; int8 is calibrated."""

    facts = TARGETS["executorch-qualcomm"]
    rewrites: tuple[str, ...] = WHOLE
    relative_time = 12.0

    def minimum_os(self, form: Form) -> str | None:
        """None: it depends on the ExecuTorch that the app brings."""
        _soc(form)
        return None

    def export(self, module: nn.Module, example: tuple[Tensor, ...], form: Form, folder: Path) -> Exported:
        """See Target."""
        from pocketgan.export.golden import pixels
        from pocketgan.export.pixels import in_contract
        from pocketgan.export.quantize import must_be_calibrated

        soc = _soc(form)
        images = must_be_calibrated(form) if form.precision in self.facts.calibrated else None
        module, example = in_contract(module, example, form.io)
        if images is not None and form.io == "image":
            images = pixels(images)
        program, delegation = lower(trace(module, example), soc, images, qualcomm_sdk())
        (folder / MODEL_FILE).write_bytes(program)
        return Exported(MODEL_FILE, f"{metadata.version('executorch')} for {soc}", delegation)


def _soc(form: Form) -> str:
    soc = form.soc or DEFAULT_SOC
    if soc not in SOCS:
        raise ExportError(f"executorch-qualcomm does not know the chip {soc!r}; --soc takes {', '.join(SOCS)}")
    if form.precision == "fp16" and soc in _WITHOUT_FLOAT16:
        raise ExportError(f"{soc} does not compute in float16; --precision int8 runs on it")
    return soc


def lower(
    program: ExportedProgram,
    soc: str,
    images: np.ndarray | None,
    sdk: Path,
    command: Sequence[str] = COMMAND,
) -> tuple[bytes, Delegation]:
    """The `.pte` for that chip, and what the delegate takes; int8 where there are calibration images (n, 1, c, h, w).

    Args:
        command: the process that lowers; the folder with its task is appended.
    Raises:
        ExportError: it failed; ends with its last line.
    """
    import numpy as np
    import torch

    with tempfile.TemporaryDirectory(prefix="pocketgan-") as temporary:
        folder = Path(temporary)
        torch.export.save(program, folder / PROGRAM)
        if images is not None:
            np.save(folder / CALIBRATION, images, allow_pickle=False)
        (folder / REQUEST).write_text(json.dumps({"soc": soc, "int8": images is not None}))
        done = subprocess.run(
            [*command, str(folder)],
            env=_environment(sdk),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        if done.returncode:
            messages = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
            raise ExportError(f"lowering for {soc} ended with exit code {done.returncode}: {messages[-1]}")
        delegation = Delegation.model_validate_json((folder / DELEGATION).read_text())
        return (folder / MODEL_FILE).read_bytes(), delegation


def _environment(sdk: Path) -> dict[str, str]:
    """This process's environment with the SDK's libraries and Python modules in front."""

    def first(variable: str, folder: Path) -> str:
        return os.pathsep.join(filter(None, (str(folder), os.environ.get(variable))))

    return {
        **os.environ,
        QNN_VARIABLE: str(sdk),
        "LD_LIBRARY_PATH": first("LD_LIBRARY_PATH", sdk / QNN_LIBRARIES),
        "PYTHONPATH": first("PYTHONPATH", sdk / _SDK_PYTHON),
    }
