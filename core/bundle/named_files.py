"""Models that name files which are not theirs are refused: in a bundle, and before a runtime loads one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pocketgan.bundle.damage import DamageError
from pocketgan.bundle.onnx_data import must_name_listed_files, named_files
from pocketgan.errors import BundleError

if TYPE_CHECKING:  # runners look at their models without pydantic
    from pocketgan.bundle.reader import Bundle

# The runtime that opens what its models name; those of others are whole.
_RUNTIME = "onnxruntime"


def must_name_own_files(runtime: str, model: Path) -> None:
    """Look at a model file before its runtime does.

    Raises:
        BundleError: it names something else than regular files beside it or below, or is no model at all.
    """
    if runtime != _RUNTIME:
        return
    try:
        named_files(model)
    except DamageError as damage:
        raise BundleError(f"{model.name} {damage}") from damage


def named_file_problems(bundle: Bundle) -> list[str]:
    """What is wrong with the files that the bundle's models name, one line each.

    Raises:
        BundleError: a file is damaged.
    """
    problems = []
    for entry in bundle.manifest.entries:
        if entry.runtime != _RUNTIME:
            continue
        sizes = {file.path: file.bytes for component in entry.components for file in component.files}
        # What the runtime opens; other files are weights, which it reads as bytes.
        opened = {component.entry_point for component in entry.components}
        opened |= {form.name for concept in bundle.manifest.concepts for form in concept.forms if form.way == "model"}
        for name in sorted(opened & sizes.keys()):
            try:
                must_name_listed_files(name, bundle.chunks(name), sizes)
            except DamageError as damage:
                problems.append(f"{name} {damage}")
    return problems
