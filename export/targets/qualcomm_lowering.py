"""The process that lowers to Qualcomm's delegate: python -m pocketgan.export.targets.qualcomm_lowering FOLDER.

`executorch_qualcomm.py` starts it, and says there what lies in the folder. Only this process imports ExecuTorch's
Qualcomm backend.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pocketgan.export.targets.executorch import MODEL_FILE, delegation_of
from pocketgan.export.targets.executorch_qualcomm import CALIBRATION, DELEGATION, PROGRAM, REQUEST
from pocketgan.targets import qualcomm_sdk


def lower(folder: Path) -> None:
    """Write the program and its delegation report to the folder with the task.

    Raises:
        ExportError: the SDK is not set; without it, importing the backend would download one.
    """
    qualcomm_sdk()
    import numpy as np
    import torch
    from executorch.backends.qualcomm.serialization.qc_schema import QcomChipset
    from executorch.backends.qualcomm.utils.utils import (
        generate_htp_compiler_spec,
        generate_qnn_executorch_compiler_spec,
        to_edge_transform_and_lower_to_qnn,
    )

    request = json.loads((folder / REQUEST).read_text())
    chip = QcomChipset[request["soc"]]
    program = torch.export.load(folder / PROGRAM)
    example = program.example_inputs[0]
    module = program.module(check_guards=False)
    if request["int8"]:
        module = _quantised(module, example, chip, np.load(folder / CALIBRATION, allow_pickle=False))
    edge = to_edge_transform_and_lower_to_qnn(
        module,
        example,
        generate_qnn_executorch_compiler_spec(
            soc_model=chip, backend_options=generate_htp_compiler_spec(use_fp16=not request["int8"])
        ),
    )
    delegation = delegation_of(edge.exported_program().graph_module)
    (folder / DELEGATION).write_text(delegation.model_dump_json())
    (folder / MODEL_FILE).write_bytes(edge.to_executorch(config=_config()).buffer)


def _quantised(module: Any, example: tuple[Any, ...], chip: Any, images: Any) -> Any:
    from executorch.backends.qualcomm.quantizer.quantizer import QnnQuantizer, QuantDtype

    from pocketgan.export.quantize import quantize_pt2e

    quantizer = QnnQuantizer(soc_model=chip)
    quantizer.set_default_quant_config(QuantDtype.use_8a8w, is_conv_per_channel=True, is_linear_per_channel=True)
    return quantize_pt2e(module, example, quantizer, images)


def _config() -> Any:
    """Segments aligned as the context binaries inside of them must be."""
    from executorch.backends.qualcomm.utils.utils import get_qnn_context_binary_alignment
    from executorch.exir import ExecutorchBackendConfig

    return ExecutorchBackendConfig(segment_alignment=get_qnn_context_binary_alignment())


if __name__ == "__main__":
    lower(Path(sys.argv[1]))
