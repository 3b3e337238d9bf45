"""One entry of a bundle: a model as the files of one target, measured against the module that it comes from.

Torch is imported when a model is exported: whoever asks for the version alone does not wait for it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pocketgan.bundle.manifest import Component, Entry, Trial
from pocketgan.bundle.packing import record_file
from pocketgan.errors import ExportError, PocketganError, storage_errors

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from pocketgan.export.golden import Golden
    from pocketgan.export.targets import Exported, Form, Target

# Raised whenever the same model would be exported to other bytes, so that finished forms of before are not reused.
EXPORT_VERSION = 9


@dataclass(frozen=True)
class Artifact:
    """One exported form: its manifest entry, the bundle folder that holds its files, and the time that it took."""

    entry: Entry
    folder: Path
    seconds: float


def entry_id(target: str, precision: str, io: str = "tensor") -> str:
    """The entry's name everywhere."""
    return f"{target}-{precision}" if io == "tensor" else f"{target}-{precision}-{io}"


def export(
    model: nn.Module,
    target: str,
    precision: str | None = None,
    *,
    folder: Path,
    example: tuple[Tensor, ...],
    golden: Golden | None = None,
    bound: bool = False,
    floor: float | None = None,
    rewrites: Sequence[str] | None = None,
    calibration: np.ndarray | None = None,
    ios: int | None = None,
    io: str = "tensor",
    soc: str | None = None,
) -> Artifact:
    """Export `model`, which is not changed, to `folder`/models/<target>-<precision>, and measure its parity.

    Args:
        precision: the target's default where None.
        folder: root of an unpacked bundle; the entry's own folder must not be there yet.
        example: one (1, c, h, w) tensor that fixes the input's shape.
        golden: inputs and float32 outputs of `model` as tensors; of one seeded image where None.
        bound: whether a file that misses its parity floor is refused, or reported: fresh random weights of our own
            families may give too little to be measured by.
        floor: parity floor in dB; that of the precision where None.
        rewrites: names of exact rewrites (`rewrites.REWRITES`) in their order, () for a plain export; those that pay on
            the target's runtime where None.
        calibration: (n, c, h, w) float32 real inputs in [-1, 1], for integer activations.
        ios: oldest iOS for Core ML; the lowest that the precision runs on where None.
        io: "tensor", or "image" for a file that takes and gives uint8 RGB (1, h, w, 3), of a network from RGB to RGB.
        soc: Qualcomm's name of the phone's chip for executorch-qualcomm; the target's default where None.
    Raises:
        ExportError: the target or precision is unknown or lacks something, or the target cannot express the model.
        MissingExtraError: the target's packages are not installed.
        ParityError: the file does not compute what the model computes, and `bound`.
        StorageError: the disk is full or read-only.
    """
    from pocketgan.export import parity as measuring
    from pocketgan.export.golden import golden_outputs, seeded_inputs
    from pocketgan.export.quiet import quiet
    from pocketgan.export.rewrites import rewrites_at
    from pocketgan.export.targets import Form, find_target

    started = time.monotonic()
    chosen, precision = find_target(target, precision)
    _must_be_one_image(example)
    form = Form(precision, None if calibration is None else calibration[:, None], ios, io, soc=soc)
    minimum_os = chosen.minimum_os(form)
    chosen.check_installed()
    name = entry_id(target, precision, io)
    relative = f"models/{name}"
    floor = min(measuring.FLOORS_DB[precision], measuring.MOST_FLOOR_DB[io]) if floor is None else floor
    with storage_errors(folder), quiet():
        tensors = golden or golden_outputs(model, seeded_inputs(*example[0].shape[1:]))
        golden = tensors.to(io)
        (folder / relative).mkdir(parents=True)
        names = rewrites_at(precision, chosen.rewrites) if rewrites is None else tuple(rewrites)
        written = _written_and_run(
            chosen, model, example, form, folder=folder / relative, golden=tensors, rewrites=names, floor_db=floor
        )
    parity = None
    if written.outputs is not None:
        parity = measuring.measure(written.outputs, golden, floor, chosen.checked_by or chosen.runtime)
        measuring.check(parity, name, bound)
    files = sorted(file for file in (folder / relative).rglob("*") if file.is_file())
    contract = golden.specs()
    component = Component(
        name="generator",
        entry_point=f"{relative}/{written.exported.entry_point}",
        files=[record_file(folder, file.relative_to(folder).as_posix()) for file in files],
        inputs=[contract[0]],
        outputs=[contract[1]],
    )
    entry = Entry(
        id=name,
        target=target,
        precision=precision,
        runtime=chosen.runtime,
        runtime_version=written.exported.runtime_version,
        minimum_os=minimum_os,
        golden=golden.id,
        delegation=written.exported.delegation,
        parity=parity,
        unchecked=None if parity is not None else written.unchecked,
        trade_off=written.trade_off,
        components=[component],
    )
    return Artifact(entry, folder, time.monotonic() - started)


@dataclass(frozen=True)
class _Written:
    """What a target wrote, what it computes or why that is not known here, and what was tried on the way."""

    exported: Exported
    outputs: np.ndarray | None
    unchecked: str | None = None
    trade_off: list[Trial] = field(default_factory=list)


def _written_and_run(
    target: Target,
    model: nn.Module,
    example: tuple[Tensor, ...],
    form: Form,
    *,
    folder: Path,
    golden: Golden,
    rewrites: Sequence[str],
    floor_db: float,
) -> _Written:
    """The files of one form in `folder`.

    Raises:
        ExportError: says in one line whatever the target's libraries raise.
    """
    from pocketgan.export.canonical import canonical
    from pocketgan.export.mil import UnknownOperationError
    from pocketgan.export.mixed import export_mixed
    from pocketgan.export.parity import run_file
    from pocketgan.export.rewrites import rewrite
    from pocketgan.export.unsupported import converter_failure, place_of

    module = rewrite(canonical(model, example), example, rewrites)
    written: Path | None = None
    try:
        if form.precision == "mixed":
            mixed = export_mixed(target, module, example, form, golden=golden, folder=folder, floor_db=floor_db)
            return _Written(mixed[0], mixed[1], trade_off=mixed[2])
        exported = target.export(module, example, form, folder)
        written = folder / exported.entry_point
        try:
            outputs = run_file(target.checked_by, written, list(golden.to(form.io).inputs))
        except UnknownOperationError as error:
            return _Written(exported, None, f"{error}{place_of(error, module, example)}")
        return _Written(exported, outputs, None if outputs is not None else _not_run(target))
    except ExportError as error:
        raise ExportError(f"{error}{place_of(error, module, example)}") from error
    except (PocketganError, OSError, MemoryError):
        raise
    except Exception as error:
        doing = "express" if written is None else "run its own file of"
        why = converter_failure(error, target.name, written, module, example)
        raise ExportError(f"{target.name} cannot {doing} {type(model).__name__}: {why}") from error


def _not_run(target: Target) -> str:
    if target.checked_by is None:
        return f"nothing on a host runs files of {target.name}"
    return "not all of its graph is in one Core ML program, which alone is evaluated here"


def _must_be_one_image(example: tuple[Tensor, ...]) -> None:
    if len(example) != 1 or example[0].dim() != 4 or example[0].shape[0] != 1:
        shapes = ", ".join("x".join(map(str, tensor.shape)) for tensor in example)
        raise ExportError(f"generators are exported for one image (1, channels, height, width), not for {shapes}")
