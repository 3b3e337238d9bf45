"""Where in a user's model a graph's node, or an error, comes from: the module's path, its class, the line of code."""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.fx import Node

_TORCH = str(Path(torch.__file__).parent)
# Modules around the user's: those of torch.export, and ours, which hold it as `network`.
_OURS = ("canonical._Named", "canonical._OnCopies", "pixels.Pixels", "pixels.Levels", "quantize.Half")
_WRAPPERS = (".Wrapper", "GraphModule", *_OURS)


@dataclass(frozen=True)
class Origin:
    """A place in a model.

    Attributes:
        path: the module's, such as `blocks.0.pad`; empty for the model itself.
        kind: the module's class; empty where unknown.
        code: `file.py line 12: the line`; empty where unknown.
    """

    path: str
    kind: str
    code: str = ""

    def __str__(self) -> str:
        place = f"{self.path} ({self.kind})" if self.path and self.kind else self.path or self.kind
        return ", ".join(part for part in (place, self.code) if part)


def origin(node: Any) -> Origin:
    """The module whose forward made a node; its code is not told."""
    entries = list((node.meta.get("nn_module_stack") or {}).values())
    kinds = [kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}" for _, kind in entries]
    for (path, _), kind in zip(reversed(entries), reversed(kinds), strict=True):
        if not kind.endswith(_WRAPPERS):
            return Origin(unwrapped(path, kinds), kind.rpartition(".")[2])
    return Origin("", "")


def unwrapped(path: str, kinds: Sequence[str]) -> str:
    """A module's path without our wrappers, which are among the classes on the way to it."""
    return ".".join(path.split(".")[sum(kind.endswith(_OURS) for kind in kinds) :])


def operator(node: Node) -> str:
    """What a node calls, as people know it: `grid_sampler_2d`, `mylib::twice`."""
    schema = getattr(node.target, "_schema", None)
    return str(schema.name).removeprefix("aten::") if schema is not None else str(node.name)


def error_origin(error: BaseException, module: nn.Module) -> Origin:
    """The innermost part of `module` whose forward an error came out of, and the user's line in it."""
    names = {id(part): (name, type(part).__name__) for name, part in without_wrapper(module).named_modules()}
    innermost, code = None, ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        owner = frame.f_locals.get("self")
        if isinstance(owner, nn.Module) and id(owner) in names:
            innermost = names[id(owner)]
        file = frame.f_code.co_filename
        if innermost is not None and not file.startswith((_TORCH, "<")):
            source = linecache.getline(file, line).strip()
            code = f"{Path(file).name} line {line}" + (f": {source[:80]}" if source else "")
    return Origin(*innermost, code) if innermost is not None else Origin("", "")


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from, the first cause last."""
    ids: set[int] = set()
    while error is not None and id(error) not in ids:
        ids.add(id(error))
        yield error
        error = error.__cause__ or error.__context__  # type: ignore[assignment]


def failing_node(error: BaseException) -> Any | None:
    """The node that a converter was at when it raised: a graph's, or coremltools' copy of one with its meta."""
    innermost = None
    for cause in chain(error):
        for frame, _ in traceback.walk_tb(cause.__traceback__):
            node = frame.f_locals.get("node")
            if isinstance(getattr(node, "meta", None), dict) and isinstance(getattr(node, "name", None), str):
                innermost = node
    return innermost


def without_wrapper(module: nn.Module) -> nn.Module:
    """The user's module inside of `canonical`'s, or the module itself."""
    inner = getattr(module, "network", None)
    return inner if type(module).__name__ == "_Named" and isinstance(inner, nn.Module) else module
