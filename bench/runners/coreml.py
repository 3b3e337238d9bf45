"""Runs Core ML packages on a Mac: python -m pocketgan.bench.runners.coreml."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pocketgan.bench.runners.loop import serve
from pocketgan.bench.runners.protocol import ModelPlan, TensorPlan
from pocketgan.bench.runners.timing import Inputs, Run

_UNITS = {
    "all": "ALL",
    "cpu": "CPU_ONLY",
    "cpu_and_gpu": "CPU_AND_GPU",
    "cpu_and_neural_engine": "CPU_AND_NE",
}


class CoreMLEngine:
    """Core ML through coremltools; loading compiles the package, as an app's first start does."""

    name = "coreml"
    fixes_threads = False

    def __init__(self) -> None:
        self._tools: Any = None
        self._units: Any = None

    def start(self, threads: int, compute_units: str = "all") -> tuple[str, list[str]]:
        """See loop.Engine. Core ML chooses its threads itself."""
        import platform

        import coremltools

        self._tools = coremltools
        self._units = coremltools.ComputeUnit[_UNITS[compute_units]]
        return f"macOS {platform.mac_ver()[0]}", []

    def load(self, model: ModelPlan) -> Run:
        """See loop.Engine."""
        loaded = self._tools.models.MLModel(model.file, compute_units=self._units, function_name=model.function)
        sides = list(model.inputs), list(model.outputs)

        def run(inputs: Inputs) -> Sequence[np.ndarray]:
            images = {tensor.name: _image(inputs[tensor.name], tensor) for tensor in sides[0]}
            outputs = loaded.predict(images)
            return [_array(outputs[tensor.name], tensor) for tensor in sides[1]]

        return run


def _image(value: np.ndarray, tensor: TensorPlan) -> Any:
    """Core ML takes pixels as a picture of PIL, other tensors as they are."""
    if tensor.dtype != "uint8":
        return value
    from PIL import Image

    return Image.fromarray(value[0])


def _array(value: Any, tensor: TensorPlan) -> np.ndarray:
    return np.asarray(value.convert("RGB"))[None] if tensor.dtype == "uint8" else np.asarray(value)


if __name__ == "__main__":
    serve(CoreMLEngine())
