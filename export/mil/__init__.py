"""Core ML programs on torch: what an `.mlpackage` computes, found out on any system.

It reads the package alone (the protobuf and the weights beside it) and runs its operations one by one, so that a
package that was written on Linux is checked where it was written. It checks the program, not Apple's kernels.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pocketgan.export.mil.program import Program, UnknownOperationError

__all__ = ["Program", "UnknownOperationError", "run_package"]


def run_package(package: Path, inputs: Mapping[str, np.ndarray], *, rounding: bool = True) -> dict[str, np.ndarray]:
    """Outputs by name of the package's main function; float32, whatever is declared.

    Args:
        package: a `.mlpackage` folder with an ML program (iOS 15 and later).
        inputs: arrays by name, of the declared shapes.
        rounding: round to float16 after each operation that declares it; False shows what the stored weights cost
            alone.
    Raises:
        UnknownOperationError: it holds an operation that is not known here, which is named.
        ExportError: the package is broken.
    """
    return Program.read(package).run(inputs, rounding=rounding)
