"""Runs ExecuTorch programs: python -m pocketgan.bench.runners.executorch.

Loads the compiled runtime itself rather than `executorch.runtime`, which imports the whole export stack: 11 s and
several hundred MB that no app has, in every process.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import Any

import numpy as np

from pocketgan.bench.runners.loop import serve
from pocketgan.bench.runners.protocol import ModelPlan
from pocketgan.bench.runners.timing import Inputs, Run

METHOD = "forward"


class ExecuTorchEngine:
    """ExecuTorch's portable runtime with XNNPACK, its thread pool set to a fixed size."""

    name = "executorch"
    fixes_threads = True

    def __init__(self) -> None:
        self._torch: Any = None
        self._runtime: Any = None

    def start(self, threads: int, compute_units: str = "all") -> tuple[str, list[str]]:
        """See loop.Engine."""
        import torch
        from executorch.extension.pybindings import _portable_lib

        torch.set_num_threads(threads)
        _portable_lib._unsafe_reset_threadpool(threads)
        self._torch, self._runtime = torch, _portable_lib
        size = _portable_lib._threadpool_get_thread_count()
        notes = [] if size == threads else [f"ExecuTorch's thread pool has {size} threads, {threads} asked for"]
        return metadata.version("executorch"), notes

    def load(self, model: ModelPlan) -> Run:
        """See loop.Engine."""
        torch = self._torch
        program = self._runtime._load_program(model.file)
        method = program.load_method(METHOD)
        names = [tensor.name for tensor in model.inputs]

        def run(inputs: Inputs) -> Sequence[np.ndarray]:
            # `program` stays alive through this closure: the method reads weights from it.
            outputs = method([torch.from_numpy(inputs[name]) for name in names], clone_outputs=False)
            return [output.numpy() for output in outputs] if program is not None else []

        return run


if __name__ == "__main__":
    serve(ExecuTorchEngine())
