"""What exporting processes are asked and answer, and the files that they leave for each other."""

from __future__ import annotations

from typing import Any

Task = dict[str, Any]
Answer = dict[str, Any]

ARTIFACT, WEIGHTS = "artifact.json", "weights.json"
INPUTS, OUTPUTS = "golden-inputs.npy", "golden-outputs.npy"
