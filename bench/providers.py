"""Which entries a provider can be asked of, what to do where it is none of them, and what to leave."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pocketgan.bench.schema.result import DeviceInfo
from pocketgan.bench.schema.words import Provider
from pocketgan.bundle.manifest import Entry
from pocketgan.errors import DeviceError
from pocketgan.targets import PORTABLE

# The first Android whose documentation tells apps to leave NNAPI.
_NNAPI_DEPRECATED = 15
# ONNX Runtime's execution providers, chosen when a file is loaded.
_OF_ONNX: tuple[Provider, ...] = ("cpu", "xnnpack", "nnapi", "qnn", "wasm", "webgpu")
# Of onnxruntime-web, in a browser.
PAGES_ALONE: tuple[Provider, ...] = ("wasm", "webgpu")
# ExecuTorch computes with what its program was exported for.
_OF_TARGET: dict[str, Provider] = {
    PORTABLE: "cpu",
    "executorch-xnnpack": "xnnpack",
    "executorch-vulkan": "vulkan",
    "executorch-qualcomm": "qnn",
}


def deprecated(provider: Provider, device: DeviceInfo) -> str:
    """What is to be said of a provider that the device's Android tells apps to leave; empty of all others."""
    android = re.match(r"Android (\d+)", device.os)
    if provider != "nnapi" or android is None or int(android[1]) < _NNAPI_DEPRECATED:
        return ""
    return f"NNAPI is deprecated since Android {_NNAPI_DEPRECATED}"


def takes(entry: Entry, provider: Provider) -> bool:
    """Whether the entry's runtime can be asked for it."""
    if provider == "default":
        return True
    if entry.runtime == "onnxruntime":
        return provider in _OF_ONNX
    return _OF_TARGET.get(entry.target) == provider


def must_take(entries: Sequence[Entry], provider: Provider) -> list[Entry]:
    """The entries that take it.

    Raises:
        DeviceError: none does; says which export would.
    """
    if found := [entry for entry in entries if takes(entry, provider)]:
        return found
    targets = ["onnx"] if provider in _OF_ONNX else []
    targets += [target for target, one in _OF_TARGET.items() if one == provider and target != PORTABLE]
    there = ", ".join(entry.id for entry in entries)
    export = f"export for {' or '.join(targets)}, " if targets else ""
    raise DeviceError(f"provider {provider} cannot be asked of {there}: {export}or leave out --provider")
