"""onnx's reference evaluator, which computes a model operator by operator, in a process that may be stopped.

python -m pocketgan.foreign.onnx_reference MODEL INPUTS.npz OUTPUTS.npz

It is written in Python and numpy for being right: a network of a size for phones takes it seconds to minutes, and some
operators it does not know.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

_COMMAND = (sys.executable, "-P", "-m", "pocketgan.foreign.onnx_reference")
TIMEOUT_S = 120.0


def reference_outputs(
    model: Path, inputs: Mapping[str, np.ndarray], folder: Path, timeout_s: float = TIMEOUT_S
) -> tuple[str, list[np.ndarray]] | None:
    """Who computed a model's outputs, and the outputs in their order; None where nothing here can, or not in time.

    Args:
        folder: for what goes to and comes from the process.
    """
    if importlib.util.find_spec("onnx") is None:
        return None
    given, computed = folder / "inputs.npz", folder / "outputs.npz"
    _store(given, list(inputs.values()))
    try:
        done = subprocess.run(
            [*_COMMAND, str(model), str(given), str(computed), *inputs],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        return None
    with np.load(computed, allow_pickle=False) as outputs:
        arrays = [outputs[str(index)] for index in range(len(outputs.files))]
    return f"onnx {metadata.version('onnx')}'s reference evaluator", arrays


def _store(file: Path, values: Sequence[np.ndarray]) -> None:
    """In their order, as "0", "1" and so on."""
    arrays: dict[str, Any] = {str(index): value for index, value in enumerate(values)}
    np.savez(file, **arrays)


def main(model: Path, given: Path, computed: Path, names: Sequence[str]) -> None:
    """Compute a model's outputs in this process."""
    from onnx.reference import ReferenceEvaluator

    with np.load(given, allow_pickle=False) as inputs:
        values = {name: inputs[str(index)] for index, name in enumerate(names)}
    outputs = ReferenceEvaluator(str(model)).run(None, values)
    _store(computed, [np.asarray(value) for value in outputs])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
