"""The words of a Job that commands take as well; apart from its model, which takes longer to import than help may."""

from __future__ import annotations

from typing import Literal

# One frame after the other, overlapping, without a pause for a time, or from the camera's sensor to the screen.
JobMode = Literal["latency", "throughput", "sustained", "camera"]
# What carries it out: a process of the host's, an app in the foreground, a command in a phone's shell, a page.
Via = Literal["process", "app", "shell", "page"]
# What the runtime is asked to compute with; `default` is the runtime's own choice for the entry's target.
Provider = Literal["default", "cpu", "xnnpack", "nnapi", "qnn", "vulkan", "wasm", "webgpu"]
# Clocks as they come, or held where the system can (Android's fixed-performance mode).
ClockRegime = Literal["free", "pinned"]
