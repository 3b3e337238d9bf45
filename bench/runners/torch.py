"""Runs programs of torch.export, operator by operator: python -m pocketgan.bench.runners.torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pocketgan.bench.runners.loop import serve
from pocketgan.bench.runners.protocol import ModelPlan
from pocketgan.bench.runners.timing import Inputs, Run


class TorchEngine:
    """torch on the CPU with a fixed number of threads, without compiling anything."""

    name = "torch"
    fixes_threads = True

    def __init__(self) -> None:
        self._torch: Any = None

    def start(self, threads: int, compute_units: str = "all") -> tuple[str, list[str]]:
        """See loop.Engine."""
        import torch

        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        self._torch = torch
        return torch.__version__, []

    def load(self, model: ModelPlan) -> Run:
        """See loop.Engine."""
        from pocketgan.torch_program import load_program

        torch, program = self._torch, load_program(Path(model.file))
        names = [tensor.name for tensor in model.inputs]

        def run(inputs: Inputs) -> Sequence[np.ndarray]:
            with torch.inference_mode():
                outputs = program(*[torch.from_numpy(inputs[name]) for name in names])
            return [output.numpy() for output in (outputs if isinstance(outputs, tuple | list) else [outputs])]

        return run


if __name__ == "__main__":
    serve(TorchEngine())
