"""Programs of torch.export in a file (`.pt2`), loaded without trusting it.

torch's own loader unpickles whatever the file calls a pickle, and looks up the functions that it names. Here a file may
hold tensors and calls of ATen's operators with fixed shapes, which is all that an exported generator needs; anything
else is refused before torch sees it.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from pocketgan.errors import BundleError

if TYPE_CHECKING:
    from torch import nn

_OPERATOR = re.compile(r"torch\.ops\.aten\.[a-z0-9_]+\.[A-Za-z0-9_]+")
_MOST_JSON_BYTES = 256 << 20


def load_program(path: Path) -> nn.Module:
    """The program as a module that takes and returns tensors.

    Raises:
        BundleError: the file is no such program, or holds more than tensors and ATen's operators.
    """
    import torch

    _must_be_plain(path)
    with _without_pickles():
        try:
            return torch.export.load(path).module()
        except Exception as error:  # torch raises whatever its parts do
            raise BundleError(f"{path}: torch cannot load it: {str(error).splitlines()[0]}") from error


def _must_be_plain(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            texts = [info for info in archive.infolist() if info.filename.endswith(".json")]
            if sum(info.file_size for info in texts) > _MOST_JSON_BYTES:
                raise BundleError(f"{path}: its graph is too large")
            documents = [json.loads(archive.read(info)) for info in texts]
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile, NotImplementedError) as error:
        raise BundleError(f"{path}: is no file of torch.export: {error}") from error
    if not documents:
        raise BundleError(f"{path}: is no file of torch.export: it holds no graph")
    for value in documents:
        for key, held in _fields(value):
            if key == "target" and isinstance(held, str) and held and not _OPERATOR.fullmatch(held):
                raise BundleError(f"{path}: calls {held[:80]!r}, which is none of ATen's operators")
            if key == "use_pickle" and held:
                raise BundleError(f"{path}: holds a pickle, which is never loaded")
            if key == "expr_str" and not re.fullmatch(r"[0-9]*", str(held)):
                raise BundleError(f"{path}: its shapes are not fixed")


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key of every object in a JSON document, with what it holds."""
    rest = [value]
    while rest:
        node = rest.pop()
        if isinstance(node, dict):
            yield from node.items()
            rest += node.values()
        elif isinstance(node, list):
            rest += node


@contextmanager
def _without_pickles() -> Iterator[None]:
    """Within it torch loads tensors alone, whatever a file asks for."""
    import torch
    from torch.export.pt2_archive import _package

    load: Callable[..., Any] = torch.load

    def refuse(*_: Any, **__: Any) -> Any:
        raise ValueError("it holds a pickle, which is never loaded")

    with (
        mock.patch.object(torch, "load", lambda file, **options: load(file, **{**options, "weights_only": True})),
        mock.patch.object(torch._C, "_pickle_load_obj", refuse),
        mock.patch.object(_package.pickle, "loads", refuse),
    ):
        yield
