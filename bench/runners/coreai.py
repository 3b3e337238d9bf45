"""Runs Core AI assets: python -m pocketgan.bench.runners.coreai."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from pocketgan.bench.runners.loop import serve
from pocketgan.bench.runners.protocol import ModelPlan
from pocketgan.bench.runners.timing import Inputs, Run

FUNCTION = "main"


class CoreAIEngine:
    """Core AI's runtime, which on a host other than a Mac is its reference on the CPU: right, not fast."""

    name = "coreai"
    fixes_threads = False

    def __init__(self) -> None:
        # Its functions are coroutines; one loop for all of them, which runs only while one is awaited.
        self._loop = asyncio.new_event_loop()
        self._open = AsyncExitStack()

    def start(self, threads: int, compute_units: str = "all") -> tuple[str, list[str]]:
        """See loop.Engine. Core AI chooses its threads itself."""
        import coreai.authoring
        import coreai.runtime  # noqa: F401

        return metadata.version("coreai-core"), []

    def load(self, model: ModelPlan) -> Run:
        """See loop.Engine."""
        from coreai.authoring import AIModelAsset
        from coreai.runtime import NDArray

        async def opened() -> Any:
            asset = AIModelAsset.load(Path(model.file))
            executable = await self._open.enter_async_context(asset.executable())
            return executable.load_function(FUNCTION)

        function = self._loop.run_until_complete(opened())
        names = [tensor.name for tensor in model.outputs]

        async def compute(inputs: Inputs) -> list[np.ndarray]:
            outputs = await function({name: NDArray(value) for name, value in inputs.items()})
            return [outputs[name].numpy() for name in names]

        def run(inputs: Inputs) -> Sequence[np.ndarray]:
            return self._loop.run_until_complete(compute(inputs))

        return run


if __name__ == "__main__":
    serve(CoreAIEngine())
