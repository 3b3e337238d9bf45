"""From an entry of a bundle to the plan of its model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pocketgan.bench.runners.protocol import ModelPlan, TensorPlan
from pocketgan.bundle.manifest import Component, DrawnEntry, Entry, GoldenTensor, TensorSpec
from pocketgan.bundle.reader import Bundle
from pocketgan.errors import BundleError
from pocketgan.targets import place_of

DEFAULT_FLOOR_DB = 30.0
# Rounding differs between processors; a model that was exported below its floor is held to what it had, less this.
BELOW_FLOOR_MARGIN_DB = 3.0
# The runtime whose files hold several functions.
_CALLS_FUNCTIONS = "coreml"
_BYTES = {"float32": 4, "float16": 2, "uint8": 1, "int32": 4, "int64": 8}


def component_names(entry: Entry) -> list[str | None]:
    """The components that are measured on their own: all of several, None for the only one."""
    return [None] if len(entry.components) == 1 else [component.name for component in entry.components]


def output_bytes(entry: Entry, component_name: str | None = None) -> int:
    """Bytes of what a frame of an entry's only component, or of the named one, gives."""
    outputs = [spec for one in entry.components if component_name in (None, one.name) for spec in one.outputs]
    return sum(math.prod(spec.shape) * _BYTES[spec.dtype] for spec in outputs)


def why_not_here(entry: Entry) -> str:
    """Why a host leaves an entry out, for people."""
    place = place_of(entry.target)
    if place is not None:
        return f"it runs on {place}"
    return f"the runtime {entry.runtime} is not installed here"


def plan_model(bundle: Bundle, entry: Entry, folder: Path, component_name: str | None = None) -> ModelPlan:
    """Plan of an entry's only component, or of the named one, whose files lie in `folder` as they lie in the bundle.

    Where a pack's concept changes the file, the changed one is written to `folder` first, once.

    Raises:
        BundleError: there is no such component, the entry point is none of its files, a tensor has no golden values, or
            what changes the file is damaged.
        StorageError: the disk is full or refuses.
    """
    component = next((one for one in entry.components if component_name in (None, one.name)), None)
    if component is None or (component_name is None and len(entry.components) > 1):
        there = ", ".join(one.name for one in entry.components)
        raise BundleError(f"{bundle.path}: entry {entry.id} has the components {there}, name one of them")
    golden = bundle.manifest.golden_set(entry.golden)
    drawn = entry if isinstance(entry, DrawnEntry) else None
    if drawn is not None and drawn.function is not None and entry.runtime != _CALLS_FUNCTIONS:
        raise BundleError(
            f"{bundle.path}: {entry.id} draws {drawn.concept} by a function, which {entry.runtime} has not"
        )
    return ModelPlan(
        file=str(folder / model_path(component) if drawn is None else _drawn_file(drawn, component, folder)),
        inputs=_tensors(bundle, component.inputs, golden.inputs, folder),
        outputs=_tensors(bundle, component.outputs, golden.outputs, folder),
        floor_db=floor_db(entry),
        # A component of several is sampled alone; the host knows how often an edit runs it.
        repeat=component.repeat if component_name is None else 1,
        function=None if drawn is None else drawn.function,
    )


def model_path(component: Component) -> str:
    """Path in the bundle of the file or folder that the runtime opens.

    The entry point names it, whole or as it stands in the entry's own folder; a component's only file needs no name.

    Raises:
        BundleError: the entry point is none of several files.
    """
    files = [PurePosixPath(file.path) for file in component.files]
    # A package is a folder: every folder above a file counts.
    there = dict.fromkeys(str(path) for file in files for path in (file, *file.parents))
    paths = [path for path in there if path == component.entry_point or path.endswith(f"/{component.entry_point}")]
    if len(paths) == 1:
        return paths[0]
    if len(files) == 1:
        return str(files[0])
    raise BundleError(f"component {component.name}: its entry point {component.entry_point} is none of its files")


def _drawn_file(entry: DrawnEntry, component: Component, folder: Path) -> Path:
    """The file that draws the entry's concept: the model of the component, or what its patch makes of that."""
    model = folder / model_path(component)
    if entry.patch is None or entry.patch not in {file.path for file in component.files}:
        return model
    from pocketgan.bundle.patch import apply_patch

    changed = model.with_name(f"{entry.concept} {model.name}")
    if not changed.exists():
        apply_patch(model, folder / entry.patch, changed)
    return changed


def floor_db(entry: Entry) -> float:
    """PSNR in dB below which the entry's output counts as wrong on this device."""
    parity = entry.parity
    if parity is None:
        return DEFAULT_FLOOR_DB
    if parity.psnr_db is None or parity.passed:
        return parity.floor_db
    return parity.psnr_db - BELOW_FLOOR_MARGIN_DB


def _tensors(
    bundle: Bundle, contract: Sequence[TensorSpec], golden: Sequence[GoldenTensor], folder: Path
) -> tuple[TensorPlan, ...]:
    by_name = {tensor.name: tensor for tensor in golden}
    missing = [spec.name for spec in contract if spec.name not in by_name]
    if missing:
        raise BundleError(f"{bundle.path}: has no golden values for tensor {missing[0]}")
    return tuple(
        TensorPlan(
            name=spec.name,
            shape=tuple(spec.shape),
            layout=spec.layout,
            dtype=spec.dtype,
            value_range=spec.value_range,
            colour_space=spec.colour_space,
            golden_file=str(folder / by_name[spec.name].file.path),
            golden_dtype=by_name[spec.name].dtype,
            golden_shape=tuple(by_name[spec.name].shape),
        )
        for spec in contract
    )
