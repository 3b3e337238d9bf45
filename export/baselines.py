"""The bundle of a diffusion editor, which users would ship otherwise: several components, one entry."""

from __future__ import annotations

import gc
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pocketgan import __version__, console
from pocketgan.bundle.manifest import Component, Cost, Diffusion, Entry, GoldenSet, GoldenTensor, Manifest, Parity
from pocketgan.bundle.packing import record_file, write_manifest
from pocketgan.bundle.tensors import store_tensor, tensor_spec
from pocketgan.errors import ExportError
from pocketgan.export.bundles import must_be_replaceable, write_notice
from pocketgan.files import atomic_folder
from pocketgan.targets import TARGETS, versions

if TYPE_CHECKING:
    from pocketgan.export.diffusion import Editor, Part

GOLDEN = "edit"
PRECISIONS = ("fp32", "fp16")
PACKAGES = ("diffusers", "transformers", *TARGETS["onnx"].packages)


@dataclass(frozen=True)
class _Exported:
    """A component whose file is written, without its network: what went in, what torch makes of it."""

    name: str
    file: Path
    inputs: dict[str, np.ndarray]
    output: str
    expected: np.ndarray
    repeat: int
    params: int
    macs: int


def diffusion_bundle(editor: Editor, folder: Path, name: str, precision: str = "fp32") -> Manifest:
    """Write an unpacked bundle of a diffusion editor in ONNX, one component after the other.

    The peak of memory is 5 GB in float32 for Stable Diffusion's size.

    Raises:
        ExportError: an unknown precision, a component that cannot be expressed, or a folder of something else.
        MissingExtraError: a package is missing.
        ModelError: there are no such weights.
        ParityError: with real weights, a component does not compute what it computes in torch; or one gives values that
            are not finite numbers.
        StorageError: the disk is full or read-only.
    """
    from pocketgan.export.diffusion import parts
    from pocketgan.export.parity import check

    if precision not in PRECISIONS:
        raise ExportError(f"a diffusion editor has the precisions {', '.join(PRECISIONS)}, not {precision!r}")
    must_be_replaceable(folder.absolute())
    entry_id = f"onnx-{precision}"
    done: list[tuple[_Exported, Parity]] = []
    with atomic_folder(folder.absolute()) as made, console.progress("export", 4) as progress:
        source = parts(editor)
        while (part := next(source, None)) is not None:
            exported = _export(part, made / "models" / entry_id / part.name, precision)
            del part
            gc.collect()  # torch's copy of the weights goes before the runtime's comes
            done.append((exported, _parity(exported, precision)))
            progress.advance(1, f"{exported.name} of {exported.params / 1e6:.0f} M parameters")
        worst = min((parity for _, parity in done), key=lambda one: math.inf if one.psnr_db is None else one.psnr_db)
        trained = editor.weights is not None
        check(worst, entry_id, bound=True)
        entry = Entry(
            id=entry_id,
            target="onnx",
            precision=precision,
            runtime="onnxruntime",
            runtime_version=metadata.version("onnxruntime"),
            golden=GOLDEN,
            parity=worst,
            components=[_component(made, one) for one, _ in done],
        )
        macs = sum(one.repeat * one.macs for one, _ in done)
        manifest = Manifest(
            name=name,
            role="diffusion",
            trained=trained,
            cost=Cost(params=sum(one.params for one, _ in done), macs=macs, macs_by_output=macs),
            diffusion=Diffusion(
                steps=editor.steps, guidance_passes=editor.guidance_passes, weights=editor.weights or "random"
            ),
            entries=[entry],
            golden=[_golden(made, [one for one, _ in done])],
            licenses=[write_notice(made)],
            created_with={"pocketgan": __version__, **versions(PACKAGES)},
        )
        write_manifest(made, manifest)
    return manifest


def _export(part: Part, home: Path, precision: str) -> _Exported:
    """Run a component in torch, which counts its multiply-adds, and write its graph, the weights beside it: a single
    file ends at 2 GiB."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from pocketgan.export.diffusion import HalfInside
    from pocketgan.export.quiet import quiet
    from pocketgan.export.targets.onnx import write_component
    from pocketgan.export.tracing import trace

    module, file = part.module, home / "model.onnx"
    params = sum(tensor.numel() for tensor in module.parameters())
    example = tuple(torch.from_numpy(value) for value in part.inputs.values())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        expected: np.ndarray = module(*example).numpy()
    if precision == "fp16":
        module = HalfInside(module.half())
    home.mkdir(parents=True)
    with quiet():
        write_component(trace(module, example), list(part.inputs), [part.output], file)
    macs = counter.get_total_flops() // 2
    return _Exported(
        name=part.name,
        file=file,
        inputs=part.inputs,
        output=part.output,
        expected=expected,
        repeat=part.repeat,
        params=params,
        macs=macs,
    )


def _parity(exported: _Exported, precision: str) -> Parity:
    """Agreement of the file with torch, over the range of the expected values."""
    from pocketgan.export.parity import FLOORS_DB, agreement, onnx_session

    output = onnx_session(exported.file).run([exported.output], exported.inputs)[0]
    peak = float(np.ptp(exported.expected)) or 1.0
    psnr, error = agreement(output, exported.expected, peak, f"ONNX Runtime ({exported.name})")
    return Parity(psnr_db=psnr, max_abs_error=error, floor_db=FLOORS_DB[precision], runtime="onnxruntime")


def _component(folder: Path, exported: _Exported) -> Component:
    files = sorted(file.relative_to(folder).as_posix() for file in exported.file.parent.iterdir())
    return Component(
        name=exported.name,
        entry_point=exported.file.relative_to(folder).as_posix(),
        files=[record_file(folder, file) for file in files],
        inputs=[tensor_spec(name, value) for name, value in exported.inputs.items()],
        outputs=[tensor_spec(exported.output, exported.expected)],
        repeat=exported.repeat,
    )


def _golden(folder: Path, components: Sequence[_Exported]) -> GoldenSet:
    def stored(name: str, value: np.ndarray) -> GoldenTensor:
        return store_tensor(folder, f"golden/{GOLDEN}/{name}.bin", name, value)

    return GoldenSet(
        id=GOLDEN,
        inputs=[stored(name, value) for one in components for name, value in one.inputs.items()],
        outputs=[stored(one.output, one.expected) for one in components],
    )
