"""Whether an exported file computes what its source module computes in float32: PSNR, maximum error and SSIM."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pocketgan.bundle.manifest import Parity
from pocketgan.errors import ParityError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from pocketgan.export.golden import Golden

FLOORS_DB = {
    "fp32": 100.0,
    "fp16": 60.0,
    "int8": 30.0,
    "w8a8": 30.0,
    "8bit": 30.0,
    "6bit": 30.0,
    "4bit": 20.0,
    "int4": 20.0,
    "mixed": 40.0,
}
# Outputs of 256 levels are 59 dB from what was rounded to them.
MOST_FLOOR_DB = {"tensor": float("inf"), "image": 50.0}
# Wang et al. 2004: Gaussian windows of 11 pixels.
_SSIM_WINDOW = 11

Run = Callable[[np.ndarray], np.ndarray]


def measure(outputs: np.ndarray, golden: Golden, floor_db: float, runtime: str) -> Parity:
    """Agreement of a stack of outputs with the golden ones; the PSNR is None where they are equal.

    Raises:
        ParityError: the shapes differ, or an output is not a finite number.
    """
    psnr, error = agreement(outputs, golden.outputs, golden.peak, runtime)
    return Parity(
        psnr_db=psnr,
        max_abs_error=error,
        ssim=_ssim(outputs, golden),
        floor_db=floor_db,
        runtime=runtime,
    )


def agreement(outputs: np.ndarray, expected: np.ndarray, peak: float, runtime: str) -> tuple[float | None, float]:
    """PSNR in dB, None where they are equal, and the largest error; `peak` is from black to white.

    Raises:
        ParityError: the shapes differ, or a value is not a finite number.
    """
    if outputs.shape != expected.shape:
        raise ParityError(f"the exported file gives shape {outputs.shape}, its source module {expected.shape}")
    difference = outputs.astype(np.float64) - expected.astype(np.float64)
    if not np.isfinite(expected).all():
        raise ParityError("the source module gives values that are not finite numbers: are its weights finite?")
    if not np.isfinite(outputs).all():
        raise ParityError(
            f"{runtime} gives values that are not finite numbers where the source module's are: float16 ends at 65504 "
            "(--precision fp32 tells whether it is that)"
        )
    error = float(np.mean(difference**2))
    # Below this the ratio itself overflows; it is more than 3000 dB, which no float32 output can tell from equal.
    psnr = None if error < peak**2 * 1e-300 else 10 * math.log10(peak**2 / error)
    return psnr, float(np.abs(difference).max())


def _ssim(outputs: np.ndarray, golden: Golden) -> float | None:
    """Mean structural similarity of the images; None where they are smaller than its window."""
    from skimage.metrics import structural_similarity

    axis = -1 if golden.io == "image" else 0
    black = 0.0 if golden.io == "image" else -1.0  # the luminance of black is 0
    similarities = []
    for output, expected in zip(outputs[:, 0], golden.outputs[:, 0], strict=True):
        if min(size for dim, size in enumerate(expected.shape) if dim != axis % 3) < _SSIM_WINDOW:
            return None
        similarities.append(
            structural_similarity(
                expected.astype(np.float64) - black,
                output.astype(np.float64) - black,
                data_range=golden.peak,
                channel_axis=axis,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
        )
    return min(1.0, float(np.mean(similarities)))  # rounding may reach beyond


def check(parity: Parity, entry: str, bound: bool) -> None:
    """Refuse a file below its floor; where it is not `bound`, it is only reported, by its `parity.passed`.

    Raises:
        ParityError: names the entry, what was measured and the floor.
    """
    if bound and not parity.passed:
        raise ParityError(
            f"{entry} is {parity.psnr_db:.1f} dB from its source module (maximum error {parity.max_abs_error:.2g}), "
            f"below the floor of {parity.floor_db:g} dB; --floor sets another one"
        )


def run_file(
    runtime: str | None, path: Path, inputs: Sequence[np.ndarray], function: str | None = None
) -> np.ndarray | None:
    """Outputs of an exported file for each input, stacked; None where this host has no such runtime.

    Core ML programs are evaluated on torch, everywhere (`pocketgan.export.mil`); so is the one inside of an ExecuTorch
    program, if the whole graph is in it.

    Args:
        function: of a Core ML package that has several; its main one where None.
    Raises:
        UnknownOperationError: the evaluator does not know an operation of the program.
    """
    if runtime not in _RUNTIMES:
        return None
    run = _RUNTIMES[runtime](path) if function is None else _coreml(path, function)
    return None if run is None else np.stack([run(image) for image in inputs])


def onnx_session(path: Path) -> InferenceSession:
    """ONNX Runtime on the CPU, one thread, without its warnings."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _onnxruntime(path: Path) -> Run:
    session = onnx_session(path)
    name = session.get_inputs()[0].name

    def run(image: np.ndarray) -> np.ndarray:
        output: np.ndarray = session.run(None, {name: image})[0]
        return output

    return run


def _executorch(path: Path) -> Run:
    import torch
    from executorch.runtime import Runtime

    program = Runtime.get().load_program(path)

    def run(image: np.ndarray) -> np.ndarray:
        # The method reads from `program`, which this closure keeps alive.
        output: np.ndarray = program.load_method("forward").execute([torch.from_numpy(image)])[0].numpy().copy()
        return output

    return run


def _coreml(path: Path, function: str = "main") -> Run:
    from pocketgan.export.mil import Program
    from pocketgan.export.targets.target import INPUT, OUTPUT

    program = Program.read(path, function)

    def run(image: np.ndarray) -> np.ndarray:
        if image.dtype != np.uint8:
            return program.run({INPUT: image})[OUTPUT]
        levels = program.run({INPUT: image.transpose(0, 3, 1, 2).astype(np.float32)})[OUTPUT]
        return np.clip(np.round(levels), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)

    return run


def _executorch_coreml(path: Path) -> Run | None:
    from pocketgan.export.mil import Program
    from pocketgan.export.targets.payload import delegated_package

    with tempfile.TemporaryDirectory(prefix="pocketgan-") as folder:
        package = delegated_package(path, Path(folder))
        if package is None:
            return None
        program = Program.read(package)
    (name,) = program.inputs

    def run(image: np.ndarray) -> np.ndarray:
        output = next(iter(program.run({name: image.astype(np.float32)}).values()))
        return output.astype(image.dtype)  # bytes are cut, as ExecuTorch's kernel does

    return run


def _coreai(path: Path) -> Run:
    import asyncio

    from coreai.authoring import AIModelAsset
    from coreai.runtime import NDArray

    from pocketgan.export.quiet import native_quiet
    from pocketgan.export.targets.target import INPUT, OUTPUT

    async def compute(image: np.ndarray) -> np.ndarray:
        async with AIModelAsset.load(path).executable() as model:
            outputs = await model.load_function("main")({INPUT: NDArray(image)})
            output: np.ndarray = outputs[OUTPUT].numpy().copy()
            return output

    def run(image: np.ndarray) -> np.ndarray:
        with native_quiet():
            return asyncio.run(compute(image))

    return run


def _torch(path: Path) -> Run:
    import torch

    from pocketgan.torch_program import load_program

    program = load_program(path)

    def run(image: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            output: np.ndarray = program(torch.from_numpy(image)).numpy()
            return output

    return run


_RUNTIMES: dict[str | None, Callable[[Path], Run | None]] = {
    "onnxruntime": _onnxruntime,
    "executorch": _executorch,
    "coreml": _coreml,
    "executorch-coreml": _executorch_coreml,
    "coreai": _coreai,
    "torch": _torch,
}
