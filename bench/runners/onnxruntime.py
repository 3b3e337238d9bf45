"""Runs ONNX models on ONNX Runtime's CPU provider: python -m pocketgan.bench.runners.onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pocketgan.bench.runners.loop import serve
from pocketgan.bench.runners.protocol import ModelPlan
from pocketgan.bench.runners.timing import Inputs, Run


class OnnxRuntimeEngine:
    """ONNX Runtime with a fixed number of threads, one operator after the other."""

    name = "onnxruntime"
    fixes_threads = True

    def __init__(self) -> None:
        self._runtime: Any = None
        self._threads = 1

    def start(self, threads: int, compute_units: str = "all") -> tuple[str, list[str]]:
        """See loop.Engine."""
        import onnxruntime

        onnxruntime.set_default_logger_severity(3)
        self._runtime = onnxruntime
        self._threads = threads
        return onnxruntime.__version__, []

    def load(self, model: ModelPlan) -> Run:
        """See loop.Engine."""
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.execution_mode = self._runtime.ExecutionMode.ORT_SEQUENTIAL
        session = self._runtime.InferenceSession(model.file, options, providers=["CPUExecutionProvider"])
        names = [tensor.name for tensor in model.outputs]

        def run(inputs: Inputs) -> Sequence[np.ndarray]:
            outputs: Sequence[np.ndarray] = session.run(names, inputs)
            return outputs

        return run


if __name__ == "__main__":
    serve(OnnxRuntimeEngine())
