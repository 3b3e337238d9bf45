"""Bundles of what users would ship otherwise: unpruned generators, and diffusion editors of several components."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pocketgan import __version__, console
from pocketgan.bundle import record_file, write_manifest
from pocketgan.errors import ExportError
from pocketgan.export.bundles import must_be_replaceable, write_notice
from pocketgan.files import atomic_folder
from pocketgan.manifest import (
    Component,
    Cost,
    Diffusion,
    Entry,
    GoldenSet,
    GoldenTensor,
    Manifest,
    Parity,
    TensorSpec,
)

if TYPE_CHECKING:
    from pocketgan.export.diffusion import Editor, Part

GOLDEN = "edit"
PRECISIONS = ("fp32", "fp16")


def diffusion_bundle(editor: Editor, folder: Path, name: str, precision: str = "fp32") -> Manifest:
    """Write an unpacked bundle of a diffusion editor in ONNX, one component after the other.

    The peak of memory is 5 GB in float32 for Stable Diffusion's size.

    Raises:
        ExportError: an unknown precision, a component that cannot be expressed, or a folder of something else.
        MissingExtraError: a package is missing.
        ModelError: there are no such weights.
        ParityError: with real weights, a component does not compute what it computes in torch.
        StorageError: the disk is full or read-only.
    """
    from pocketgan.export.diffusion import parts

    if precision not in PRECISIONS:
        raise ExportError(f"a diffusion editor has the precisions {', '.join(PRECISIONS)}, not {precision!r}")
    must_be_replaceable(folder.absolute())
    entry_id = f"onnx-{precision}"
    components: list[Component] = []
    tensors: tuple[list[GoldenTensor], list[GoldenTensor]] = ([], [])
    parities: list[Parity] = []
    params = macs = 0
    with atomic_folder(folder.absolute()) as made, console.progress("export", 4) as progress:
        source = parts(editor)
        while (part := next(source, None)) is not None:
            console.note(
                f"{part.name}: {sum(tensor.numel() for tensor in part.module.parameters()) / 1e6:.0f} M parameters"
            )
            params += sum(tensor.numel() for tensor in part.module.parameters())
            macs += part.repeat * _macs(part)
            outputs = _run_torch(part)
            home = made / "models" / entry_id / part.name
            home.mkdir(parents=True)
            _write_onnx(part, home / "model.onnx", precision)
            inputs, output, repeat, title = part.inputs, part.output, part.repeat, part.name
            del part
            gc.collect()  # torch's copy of the weights goes before the runtime's comes
            parities.append(_parity(home / "model.onnx", inputs, output, outputs, precision))
            relative = home.relative_to(made).as_posix()
            files = sorted(file.relative_to(made).as_posix() for file in home.iterdir())
            components.append(
                Component(
                    name=title,
                    entry_point=f"{relative}/model.onnx",
                    files=[record_file(made, file) for file in files],
                    inputs=[_spec(key, value) for key, value in inputs.items()],
                    outputs=[_spec(output, outputs)],
                    repeat=repeat,
                )
            )
            tensors[0].extend(_store(made, key, value) for key, value in inputs.items())
            tensors[1].append(_store(made, output, outputs))
            progress.advance(1, title)
        trained = editor.weights is not None
        worst = min(parities, key=lambda one: float("inf") if one.psnr_db is None else one.psnr_db)
        if trained:
            from pocketgan.export.parity import check

            check(worst, entry_id, trained)
        entry = Entry(
            id=entry_id,
            target="onnx",
            precision=precision,
            runtime="onnxruntime",
            runtime_version=metadata.version("onnxruntime"),
            golden=GOLDEN,
            parity=worst,
            components=components,
        )
        manifest = Manifest(
            name=name,
            role="diffusion",
            trained=trained,
            cost=Cost(params=params, macs=macs, macs_by_output=macs),
            diffusion=Diffusion(
                steps=editor.steps, guidance_passes=editor.guidance_passes, weights=editor.weights or "random"
            ),
            entries=[entry],
            golden=[GoldenSet(id=GOLDEN, inputs=tensors[0], outputs=tensors[1])],
            licenses=[write_notice(made)],
            created_with={"pocketgan": __version__, **_versions(("diffusers", "onnxruntime", "torch", "transformers"))},
        )
        write_manifest(made, manifest)
    return manifest


def _run_torch(part: Part) -> np.ndarray:
    import torch

    with torch.no_grad():
        output: np.ndarray = part.module(*(torch.from_numpy(value) for value in part.inputs.values())).numpy()
    return output


def _macs(part: Part) -> int:
    """Multiply-adds of one run, counted by torch."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        part.module(*(torch.from_numpy(value) for value in part.inputs.values()))
    return counter.get_total_flops() // 2


def _write_onnx(part: Part, path: Path, precision: str) -> None:
    """The component's graph, its weights beside it: a single file ends at 2 GiB."""
    import torch

    from pocketgan.export.canonical import trace
    from pocketgan.export.diffusion import HalfInside
    from pocketgan.export.quiet import quiet
    from pocketgan.export.targets.onnx import write_component

    module: torch.nn.Module = part.module
    if precision == "fp16":
        module = HalfInside(module.half())
    example = tuple(torch.from_numpy(value) for value in part.inputs.values())
    with quiet():
        write_component(trace(module, example), list(part.inputs), [part.output], path)


def _parity(path: Path, inputs: dict[str, np.ndarray], output: str, expected: np.ndarray, precision: str) -> Parity:
    """Agreement of the file with torch, over the range of the expected values."""
    import math

    import onnxruntime

    from pocketgan.export.parity import FLOORS_DB

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    found = session.run([output], inputs)[0].astype(np.float64)
    difference = found - expected.astype(np.float64)
    if not np.isfinite(difference).all():
        raise ExportError(f"{path.parent.name} gives values that are not finite numbers")
    error, peak = float(np.mean(difference**2)), float(np.ptp(expected)) or 1.0
    return Parity(
        psnr_db=None if error < peak**2 * 1e-300 else 10 * math.log10(peak**2 / error),
        max_abs_error=float(np.abs(difference).max()),
        floor_db=FLOORS_DB[precision],
        runtime="onnxruntime",
    )


def _spec(name: str, value: np.ndarray) -> TensorSpec:
    picture = value.ndim == 4 and value.shape[1] == 3
    return TensorSpec.model_validate(
        {
            "name": name,
            "shape": list(value.shape),
            "layout": "NCHW" if picture else None,
            "dtype": str(value.dtype),
            "value_range": (-1.0, 1.0) if picture else None,
            "colour_space": "RGB" if picture else None,
        }
    )


def _store(folder: Path, name: str, value: np.ndarray) -> GoldenTensor:
    relative = f"golden/{GOLDEN}/{name}.bin"
    path = folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(np.ascontiguousarray(value, value.dtype.newbyteorder("<")).tobytes())
    return GoldenTensor.model_validate(
        {"name": name, "dtype": str(value.dtype), "shape": list(value.shape), "file": record_file(folder, relative)}
    )


def _versions(packages: Sequence[str]) -> dict[str, str]:
    return {package: metadata.version(package).partition("+")[0] for package in packages}
