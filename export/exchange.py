"""What exporting processes are asked and answer, and the files that they leave for each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Task = dict[str, Any]
Answer = dict[str, Any]
# Told of a part of a task that is done.
OnStep = Callable[[str], None]

ARTIFACT, WEIGHTS = "artifact.json", "weights.json"
INPUTS, OUTPUTS = "golden-inputs.npy", "golden-outputs.npy"
