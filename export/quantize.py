"""Lower precisions: float16, 8-bit integers calibrated on real images, and compressed weights for Core ML."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pocketgan.errors import ExportError
from pocketgan.export.targets.target import INPUT


class Half(nn.Module):
    """A network that computes in float16, between float32 inputs and outputs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).half()

    def forward(self, image: Tensor) -> Tensor:
        output: Tensor = self.network(image.half())
        return output.float()


def must_be_calibrated(calibration: np.ndarray | None, precision: str) -> np.ndarray:
    """The calibration images (n, 1, c, h, w).

    Raises:
        ExportError: there are none.
    """
    if calibration is None:
        raise ExportError(
            f"{precision} activations are calibrated on real inputs: --calibration names a folder of them"
        )
    return calibration


def quantize_onnx(model: Any, path: Path, calibration: np.ndarray, kept: Collection[str] = ()) -> None:
    """Write the ONNX model to `path` with QDQ pairs: unsigned activations per tensor, signed weights per channel.

    Args:
        kept: names of nodes that stay in float32.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.calibrate import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._images: Iterator[np.ndarray] = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self._images, None)
            return None if image is None else {INPUT: image}

    quantize_static(
        model,
        path,
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=list(kept),
        calibrate_method=CalibrationMethod.MinMax,
    )


def quantize_pt2e(module: nn.Module, example: tuple[Tensor, ...], quantizer: Any, images: np.ndarray) -> nn.Module:
    """The module with its graph quantised as `quantizer` annotates it, ranges taken from `images`."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    from pocketgan.export.canonical import trace

    prepared = prepare_pt2e(trace(module, example).module(), quantizer)
    with torch.no_grad():
        for image in images:
            prepared(torch.from_numpy(image))
    converted: nn.Module = convert_pt2e(prepared)
    return converted


def compress_coreml(model: Any, precision: str) -> Any:
    """The ML program with its weights in `precision`; as it is for fp32 and fp16."""
    import coremltools.optimize as cto

    configs = {
        "int8": lambda: cto.coreml.OpLinearQuantizerConfig(mode="linear_symmetric"),
        "int4": lambda: cto.coreml.OpLinearQuantizerConfig(
            mode="linear_symmetric", dtype="int4", granularity="per_block", block_size=32
        ),
        **{f"{bits}bit": _palette(bits) for bits in (8, 6, 4)},
    }
    if precision not in configs:
        return model
    config = cto.coreml.OptimizationConfig(global_config=configs[precision]())
    compress = cto.coreml.palettize_weights if precision.endswith("bit") else cto.coreml.linear_quantize_weights
    return compress(model, config)


def _palette(bits: int) -> Callable[[], Any]:
    import coremltools.optimize as cto

    return lambda: cto.coreml.OpPalettizerConfig(mode="kmeans", nbits=bits)
