"""Bundles of models that pocketgan did not make, so that they can be measured beside those that it made.

The model's own runtime says what it takes and gives, and computes the golden outputs on this host: they prove that a
phone computes the same, not that the model is right.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from pocketgan import __version__
from pocketgan.bundle.manifest import Component, Entry, GoldenSet, GoldenTensor, Manifest
from pocketgan.bundle.packing import pack_folder, record_file, write_manifest
from pocketgan.bundle.tensors import picture_layout, store_tensor, tensor_spec
from pocketgan.errors import BundleError, PocketganError
from pocketgan.targets import PORTABLE, RUNTIMES, TARGETS, runs_on_host

Kind = Literal["onnx", "pte", "mlpackage"]
Dtype = Literal["float32", "float16", "uint8", "int32", "int64"]
Shape = tuple[int, ...]
Run = Callable[[Mapping[str, np.ndarray]], Sequence[np.ndarray]]

GOLDEN = "golden"
_SEED = 7
_ONNX_TYPES = {"float": "float32", "float16": "float16", "uint8": "uint8", "int32": "int32", "int64": "int64"}
# As torch numbers them.
_TORCH_TYPES = {0: "uint8", 3: "int32", 4: "int64", 5: "float16", 6: "float32"}
_BACKENDS = {facts.delegate: facts.name for facts in TARGETS.values() if facts.delegate is not None}


@dataclass(frozen=True)
class _Model:
    """What a runtime says of a file: (name, shape, dtype) of each input and names of the outputs, and how to run it."""

    target: str
    runtime: str
    runtime_version: str
    inputs: list[tuple[str, Shape, str]]
    outputs: list[str]
    run: Run
    minimum_os: str | None = None


def pack_foreign(
    kind: Kind,
    file: Path,
    out: Path,
    *,
    name: str,
    precision: str,
    input_shape: Shape | None = None,
    value_range: tuple[float, float] = (-1.0, 1.0),
) -> str:
    """Pack a model file into a bundle of one entry, `<target>-<precision>`, and return its digest.

    Args:
        file: an ONNX file (weights beside it as `FILE.data` come along), an ExecuTorch program, or an `.mlpackage`.
        precision: the entry's name; models of equal names take turns when they are measured.
        input_shape: of the first input, where the model leaves it open.
        value_range: what black and white are to the model, in and out; bytes are 0 and 255.
    Raises:
        BundleError: the file is missing, no such model, or takes what cannot be told.
        MissingExtraError: its runtime is not installed.
    """
    if not file.exists():
        raise BundleError(f"there is no {file}")
    with tempfile.TemporaryDirectory(prefix="pocketgan-") as temporary:
        folder = Path(temporary)
        copy = folder / "file" / file.name
        copy.parent.mkdir()
        _copy(file, copy)
        try:
            model = _READERS[kind](copy, input_shape)
            inputs = {name: _sample(shape, dtype, value_range) for name, shape, dtype in model.inputs}
            outputs = [np.ascontiguousarray(output) for output in model.run(inputs)]
        except PocketganError:
            raise
        except Exception as error:  # runtimes raise whatever they like
            reason = " ".join(str(error).split()).replace(str(copy), file.name)
            raise BundleError(f"{file}: {kind} cannot run it here: {reason[:300]}") from error
        _check(outputs, file)
        entry_id = f"{model.target}-{precision}"
        home = folder / "bundle" / "models" / entry_id
        home.parent.mkdir(parents=True)
        copy.parent.rename(home)
        manifest = _manifest(folder / "bundle", name, entry_id, precision, file, model, inputs, outputs, value_range)
        write_manifest(folder / "bundle", manifest)
        return pack_folder(folder / "bundle", out)


def _copy(file: Path, copy: Path) -> None:
    if file.is_dir():
        shutil.copytree(file, copy)
        return
    shutil.copyfile(file, copy)
    for weights in (file.with_name(f"{file.name}.data"), file.with_name(f"{file.name}_data")):
        if weights.is_file():
            shutil.copyfile(weights, copy.with_name(weights.name))


def _onnx(file: Path, input_shape: Shape | None) -> _Model:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    inputs = [
        (one.name, _filled(one.shape, input_shape if index == 0 else None, one.name), _dtype(one.type, _ONNX_TYPES))
        for index, one in enumerate(session.get_inputs())
    ]
    names = [one.name for one in session.get_outputs()]
    return _Model(
        "onnx", "onnxruntime", onnxruntime.__version__, inputs, names, lambda values: session.run(names, dict(values))
    )


def _pte(file: Path, input_shape: Shape | None) -> _Model:
    RUNTIMES["executorch"].check_installed()
    if file.read_bytes()[4:6] != b"ET":  # the identifier that flatbuffers of ExecuTorch carry, such as ET12
        raise BundleError(f"{file.name} is no ExecuTorch program (.pte), or damaged")
    import torch
    from executorch.exir._serialize._program import deserialize_pte_binary
    from executorch.extension.pybindings import _portable_lib

    plan = deserialize_pte_binary(file.read_bytes()).program.execution_plan[0]
    targets = {_BACKENDS.get(delegate.id, f"executorch-{delegate.id}") for delegate in plan.delegates} or {PORTABLE}
    if not all(runs_on_host(target, "executorch") for target in targets):
        raise BundleError(f"{file.name} is for {', '.join(sorted(targets))}, which this host cannot run")
    program = _portable_lib._load_program(str(file))
    method = program.load_method("forward")
    about = method.method_meta()
    infos = [about.input_tensor_meta(index) for index in range(about.num_inputs())]
    specs = [
        (f"input{index}", tuple(info.sizes()), _dtype(info.dtype(), _TORCH_TYPES)) for index, info in enumerate(infos)
    ]

    def run(inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        assert program is not None  # the method reads its weights
        return [output.numpy().copy() for output in method([torch.from_numpy(inputs[name]) for name, *_ in specs])]

    names = [f"output{index}" for index in range(about.num_outputs())]
    return _Model(targets.pop(), "executorch", metadata.version("executorch"), specs, names, run)


def _mlpackage(package: Path, input_shape: Shape | None) -> _Model:
    TARGETS["coreml"].check_installed()
    from pocketgan.export.mil import Program
    from pocketgan.export.quiet import quiet

    with quiet():  # coremltools tells what it lacks beside a Mac, line after line
        program = Program.read(package)
    inputs = [(name, shape, "float32") for name, shape in program.inputs.items()]
    names = list(program.run({name: np.zeros(shape, np.float32) for name, shape, _ in inputs}))
    return _Model(
        "coreml",
        "coreml",
        f"specification {program.version}",
        inputs,
        names,
        lambda values: list(program.run(dict(values)).values()),
        f"iOS {program.version + 9}",
    )


_READERS: dict[Kind, Callable[[Path, Shape | None], _Model]] = {"onnx": _onnx, "pte": _pte, "mlpackage": _mlpackage}


def _filled(shape: Sequence[Any], asked: Shape | None, name: str) -> Shape:
    """The shape with what is open in it (None or a word) filled: a batch of one, the rest as the user says."""
    described = "x".join("?" if one is None else str(one) for one in shape)
    filled = [1 if index == 0 and not isinstance(one, int) else one for index, one in enumerate(shape)]
    if asked is not None:
        fits = len(asked) == len(shape) and all(
            size == one for size, one in zip(asked, filled, strict=True) if isinstance(one, int)
        )
        if not fits:
            raise BundleError(f"input {name} is {described}, which {'x'.join(map(str, asked))} does not fit")
        return asked
    if not all(isinstance(one, int) and one > 0 for one in filled):
        raise BundleError(f"input {name} is open ({described}): say its shape with --input, such as 1x3x256x256")
    return tuple(filled)


def _dtype(dtype: Any, known: Mapping[Any, str]) -> str:
    kind = dtype.removeprefix("tensor(").removesuffix(")") if isinstance(dtype, str) else dtype
    if kind not in known:
        raise BundleError(f"an input of type {dtype} cannot be packed; {', '.join(get_args(Dtype))} can")
    return known[kind]


def _sample(shape: Shape, dtype: str, value_range: tuple[float, float]) -> np.ndarray:
    """A picture where the input takes one, else seeded noise (zeros for integers, which may be indices)."""
    layout = picture_layout(shape)
    if layout is None:
        if dtype.startswith("float"):
            return np.random.default_rng(_SEED).standard_normal(shape).astype(dtype)
        return np.zeros(shape, dtype)
    picture = _picture(*(shape[2:] if layout == "NCHW" else shape[1:3]))
    values = picture[None] if layout == "NHWC" else picture.transpose(2, 0, 1)[None]
    low, high = (0.0, 255.0) if dtype == "uint8" else value_range
    return np.ascontiguousarray(values * ((high - low) / 255) + low).astype(dtype)


def _picture(height: int, width: int) -> np.ndarray:
    """(height, width, 3) levels of 0 to 255, smooth as photos are, the same on every machine."""
    from PIL import Image

    coarse = np.random.default_rng(_SEED).integers(0, 256, (max(2, height // 16), max(2, width // 16), 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR), np.float64)


def _check(outputs: Sequence[np.ndarray], file: Path) -> None:
    for output in outputs:
        if str(output.dtype) not in get_args(Dtype):
            raise BundleError(f"{file}: an output of {output.dtype} cannot be packed")
        if output.dtype.kind == "f" and not np.isfinite(output).all():
            raise BundleError(f"{file}: gives values that are not finite numbers")


def _manifest(
    folder: Path,
    name: str,
    entry_id: str,
    precision: str,
    file: Path,
    model: _Model,
    inputs: Mapping[str, np.ndarray],
    outputs: Sequence[np.ndarray],
    value_range: tuple[float, float],
) -> Manifest:
    pairs = dict(zip(model.outputs, outputs, strict=True))
    home = f"models/{entry_id}"
    files = sorted(one.relative_to(folder).as_posix() for one in (folder / home).rglob("*") if one.is_file())
    component = Component(
        name="model",
        entry_point=f"{home}/{file.name}",
        files=[record_file(folder, one) for one in files],
        inputs=[tensor_spec(key, value, value_range) for key, value in inputs.items()],
        outputs=[tensor_spec(key, value, value_range) for key, value in pairs.items()],
    )
    entry = Entry(
        id=entry_id,
        target=model.target,
        precision=precision,
        runtime=model.runtime,
        runtime_version=model.runtime_version,
        minimum_os=model.minimum_os,
        golden=GOLDEN,
        components=[component],
    )
    sets = GoldenSet(id=GOLDEN, inputs=_golden(folder, "input", inputs), outputs=_golden(folder, "output", pairs))
    created = {"pocketgan": __version__, model.runtime: model.runtime_version}
    return Manifest(name=name, role="foreign", trained=True, entries=[entry], golden=[sets], created_with=created)


def _golden(folder: Path, side: str, values: Mapping[str, np.ndarray]) -> list[GoldenTensor]:
    return [
        store_tensor(folder, f"{GOLDEN}/{GOLDEN}/{side}{index}.bin", name, value)
        for index, (name, value) in enumerate(values.items())
    ]
