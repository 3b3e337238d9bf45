"""What ExecuTorch's Core ML delegate stores in a `.pte`: a folder as one run of bytes.

The files' contents lie one after the other; behind them is an index of all files and folders, JSON whose bytes are in
reverse order, so that it can be read from the end. ExecuTorch's own writer takes the files in the order in which the
file system lists them, which is another one on another disk; this one takes them by name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pocketgan.errors import ExportError
from pocketgan.targets import TARGETS

BACKEND = TARGETS["executorch-coreml"].delegate
# What the delegate expects in its folder.
FOLDER, PACKAGE, NOTES = "lowered_module", "model.mlpackage", "metadata.json"
_FILE, _FOLDER = 0, 1
_CONVERSION = "dim_order_ops::_to_dim_order_copy"


def pack(folder: Path) -> bytes:
    """The folder `FOLDER` with all that is in it; no file of it may be empty."""
    nodes: list[dict[str, Any]] = []
    contents = bytearray()

    def add(path: Path) -> int:
        children = {child.name: add(child) for child in sorted(path.iterdir())} if path.is_dir() else {}
        data = b"" if path.is_dir() else path.read_bytes()
        nodes.append(
            {
                "children": children,
                "dataRegion": {"offset": len(contents) if data else 0, "size": len(data)},
                "kind": _FOLDER if path.is_dir() else _FILE,
                "name": path.name,
            }
        )
        contents.extend(data)
        return len(nodes) - 1

    add(folder)
    index = json.dumps({"nodes": nodes}, separators=(",", ":"))
    return bytes(contents) + index.encode()[::-1]


def delegated_package(program: Path, folder: Path) -> Path | None:
    """Unpack the Core ML package of a `.pte` into `folder`, if the program is one call of it between changes of type.

    Returns:
        The package, None where more of the graph is outside of it or it is in several parts.
    Raises:
        ExportError: the payload is broken.
    """
    from executorch.backends.apple.coreml import executorchcoreml
    from executorch.exir._serialize._program import deserialize_pte_binary
    from executorch.exir.schema import DataLocation, DelegateCall, KernelCall

    stored = deserialize_pte_binary(program.read_bytes()).program
    plan = stored.execution_plan[0]
    calls = [instruction.instr_args for chain in plan.chains for instruction in chain.instructions]
    kernels = {plan.operators[call.op_index].name for call in calls if isinstance(call, KernelCall)}
    others = [call for call in calls if not isinstance(call, KernelCall)]
    if len(others) != 1 or not isinstance(others[0], DelegateCall) or plan.delegates[0].id != BACKEND:
        return None
    if kernels - {_CONVERSION}:
        return None
    reference = plan.delegates[0].processed
    assert reference.location == DataLocation.INLINE  # deserialising brings segments back into the program
    data = bytes(stored.backend_delegate_data[reference.index].data)
    if not executorchcoreml.unflatten_directory_contents(data, str(folder)):
        raise ExportError(f"the Core ML part of {program.name} is broken")
    return next(folder.rglob(PACKAGE), None)
