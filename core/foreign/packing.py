"""Bundles of models that pocketgan did not make, so that they can be measured beside those that it made.

The model's own runtime says what it takes and gives. Its golden outputs are computed by something else where something
else can: onnx's reference evaluator, or torch for Core ML's programs. Where nothing can, the runtime computes them
itself, and the bundle says so: they prove that a phone computes the same, not that it is right.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from pocketgan import __version__
from pocketgan.bundle.damage import reading
from pocketgan.bundle.manifest import Component, Entry, GoldenSet, GoldenTensor, Manifest, Origin, Role
from pocketgan.bundle.onnx_data import named_files
from pocketgan.bundle.packing import pack_folder, record_file, write_manifest
from pocketgan.bundle.tensors import picture_layout, store_tensor, tensor_spec
from pocketgan.errors import BundleError, ParityError, PocketganError
from pocketgan.foreign.onnx_cost import possible_cost
from pocketgan.foreign.onnx_inputs import AskedShapes, Shape, closed_inputs, open_session
from pocketgan.foreign.onnx_reference import reference_outputs
from pocketgan.scratch import scratch_folder
from pocketgan.targets import PORTABLE, RUNTIMES, TARGETS, runs_on_host

Kind = Literal["onnx", "pte", "mlpackage"]
Dtype = Literal["float32", "float16", "uint8", "int32", "int64"]
Run = Callable[[Mapping[str, np.ndarray]], Sequence[np.ndarray]]

GOLDEN = "golden"
_SEED = 7
# Below it the runtime and the reference compute two different things, whatever the precision.
FLOOR_DB = 30.0
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
    reference: str | None = None


def pack_foreign(
    kind: Kind,
    file: Path,
    out: Path,
    *,
    name: str,
    precision: str,
    input_shape: Shape | None = None,
    named_shapes: Mapping[str, Shape] | None = None,
    value_range: tuple[float, float] = (-1.0, 1.0),
    role: Role = "foreign",
    teacher: Origin | None = None,
    with_reference: bool = True,
) -> str:
    """Pack a model file into a bundle of one entry, `<target>-<precision>`, and return its digest.

    Args:
        file: an ONNX file (the files that it names come along), an ExecuTorch program, or an `.mlpackage`.
        precision: the entry's name; models of equal names take turns when they are measured.
        input_shape: of an ONNX model's first open input: (channels, height, width), or all that the model declares.
        named_shapes: of its inputs by name, likewise.
        value_range: what black and white are to the model, in and out; bytes are 0 and 255.
        role, teacher: of the manifest, where the model is the teacher of a run.
        with_reference: whether something else than the runtime is asked for the golden outputs, up to two minutes.
    Raises:
        BundleError: the file is missing, no such model, takes nothing or what cannot be told, or names files that do
            not lie in its folder.
        ParityError: the runtime computes something else than the reference.
        MissingExtraError: its runtime is not installed.
    """
    if not file.exists():
        raise BundleError(f"there is no {file}")
    shapes = AskedShapes(input_shape, dict(named_shapes or {}))
    if kind != "onnx" and shapes.given:
        raise BundleError(f"--input is for ONNX models; the shapes of {file} are fixed")
    with scratch_folder() as folder:
        copy = folder / "file" / file.name
        copy.parent.mkdir()
        _copy(kind, file, copy)
        try:
            model = _READERS[kind](copy, shapes)
            if not model.inputs:
                raise BundleError(f"{file} takes no inputs: there is nothing to measure it with")
            inputs = {name: _sample(shape, dtype, value_range) for name, shape, dtype in model.inputs}
            outputs = [np.ascontiguousarray(output) for output in model.run(inputs)]
        except PocketganError:
            raise
        except Exception as error:  # runtimes raise whatever they like
            reason = " ".join(str(error).split()).replace(str(copy), file.name)
            raise BundleError(f"{file}: {kind} cannot run it here: {reason[:300]}") from error
        _check(outputs, file)
        computed = reference_outputs(copy, inputs, folder) if kind == "onnx" and with_reference else None
        if computed is not None and _comparable(computed[1], outputs):
            _must_agree(file, model, outputs, *computed)
            model, outputs = replace(model, reference=computed[0]), [np.ascontiguousarray(one) for one in computed[1]]
        cost = possible_cost(copy, {name: value.shape for name, value in inputs.items()}) if kind == "onnx" else None
        entry_id = f"{model.target}-{precision}"
        home = folder / "bundle" / "models" / entry_id
        home.parent.mkdir(parents=True)
        copy.parent.rename(home)
        manifest = _manifest(folder / "bundle", name, entry_id, precision, file, model, inputs, outputs, value_range)
        about = {"role": role, "teacher": teacher, "cost": cost}
        write_manifest(folder / "bundle", manifest.model_copy(update=about))
        return pack_folder(folder / "bundle", out)


def _copy(kind: Kind, file: Path, copy: Path) -> None:
    """The model and, of ONNX, the files that it names."""
    if file.is_dir():
        shutil.copytree(file, copy)
        return
    shutil.copyfile(file, copy)
    if kind != "onnx":
        return
    with reading(file):
        named = named_files(file)
    for relative in named:
        target = copy.parent / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.parent / relative, target)


def _comparable(expected: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> bool:
    """Whether the reference gives the contract's numbers; some operators it computes in other types."""
    return [(one.shape, one.dtype) for one in expected] == [(one.shape, one.dtype) for one in outputs] and all(
        np.isfinite(one).all() for one in expected if one.dtype.kind == "f"
    )


def _must_agree(
    file: Path, model: _Model, outputs: Sequence[np.ndarray], reference: str, expected: Sequence[np.ndarray]
) -> None:
    """Raises ParityError where the runtime computes something else than the reference."""
    for name, output, other in zip(model.outputs, outputs, expected, strict=True):
        one, two = output.astype(np.float64), other.astype(np.float64)
        error = float(np.mean((one - two) ** 2)) if one.size else 0.0
        peak = float(two.max() - two.min()) if two.size else 0.0
        psnr = math.inf if error == 0 else 10 * math.log10((peak or 1.0) ** 2 / error)
        if psnr < FLOOR_DB:
            raise ParityError(
                f"{file}: {model.runtime} gives another output {name} than {reference}: {psnr:.1f} dB, below the floor "
                f"of {FLOOR_DB:g} dB; one of them has a fault with this model"
            )


def _onnx(file: Path, shapes: AskedShapes) -> _Model:
    import onnxruntime

    session = open_session(file)
    there = [(one.name, list(one.shape), one.type) for one in session.get_inputs()]
    unknown = [name for name in shapes.by_name if name not in {name for name, *_ in there}]
    if unknown:
        known = ", ".join(name for name, *_ in there) or "none"
        raise BundleError(f"{file.name} has no input {unknown[0]}; it has: {known}")
    inputs = [(name, shape, _dtype(kind, _ONNX_TYPES)) for name, shape, kind in closed_inputs(there, shapes)]
    names = [one.name for one in session.get_outputs()]
    return _Model(
        "onnx", "onnxruntime", onnxruntime.__version__, inputs, names, lambda values: session.run(names, dict(values))
    )


def _pte(file: Path, _: AskedShapes) -> _Model:
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


def _mlpackage(package: Path, _: AskedShapes) -> _Model:
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
        "the evaluator of Core ML programs on torch",
    )


_READERS: dict[Kind, Callable[[Path, AskedShapes], _Model]] = {"onnx": _onnx, "pte": _pte, "mlpackage": _mlpackage}


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
    sets = GoldenSet(
        id=GOLDEN,
        reference=model.reference,
        inputs=_golden(folder, "input", inputs),
        outputs=_golden(folder, "output", pairs),
    )
    created = {"pocketgan": __version__, model.runtime: model.runtime_version}
    return Manifest(name=name, role="foreign", trained=True, entries=[entry], golden=[sets], created_with=created)


def _golden(folder: Path, side: str, values: Mapping[str, np.ndarray]) -> list[GoldenTensor]:
    return [
        store_tensor(folder, f"{GOLDEN}/{GOLDEN}/{side}{index}.bin", name, value)
        for index, (name, value) in enumerate(values.items())
    ]
