"""One entry of a pack, made of the exports of its base and of every concept: what a worker does last."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pocketgan.bundle.manifest import Component, ConceptForm, Entry, Parity
from pocketgan.bundle.packing import record_file
from pocketgan.errors import storage_errors
from pocketgan.export import parity as measuring
from pocketgan.export.entry import entry_id
from pocketgan.export.golden import Golden
from pocketgan.export.packs.executorch import ExecuTorchPack, read_program
from pocketgan.export.packs.onnx import OnnxPack
from pocketgan.export.quiet import quiet
from pocketgan.export.targets import find_target
from pocketgan.export.targets.executorch import MODEL_FILE as PROGRAM_FILE
from pocketgan.export.targets.onnx import MODEL_FILE
from pocketgan.export.worker import INPUTS, OUTPUTS, WEIGHTS, Answer, Task
from pocketgan.files import atomic_folder, write_atomic
from pocketgan.scratch import scratch_folder

# What all concepts' patches begin with.
FIRST_FILE = "base.safetensors"
# The smallest first; the next where the floor is missed.
_FACTORS: tuple[type[np.floating], ...] = (np.float16, np.float32)


class _Writer(Protocol):
    """Writes what is a concept's own, as often as it takes."""

    way: str

    def write(self, name: str, dtype: type[np.floating]) -> tuple[str, Path]:
        """The concept's file, by its name in the entry's folder, and the file that a runtime opens."""


@dataclass(frozen=True)
class _Exports:
    """The networks of a pack: folders with their exported files, by concept.

    Attributes:
        entry: of the default concept, exported alone.
    """

    entry: Entry
    default: str
    base: Path
    concepts: Mapping[str, Path]

    def file(self, folder: Path) -> Path:
        return folder / self.entry.components[0].entry_point


def join(task: Task) -> Answer:
    """Write an entry's files below `folder`/models.

    The task has, beside target, precision and io: `folder`; `base`, the export of the base; `concepts`, by name
    `export` and `golden`, the folders of a concept's export and golden tensors; `default`; `entry`, the default
    concept's; `floor` in dB or None; `bound`, whether floors bind.

    Answers with the pack's `entry`, and by concept its form but for the golden set.

    Raises:
        ExportError: the networks' files differ by more than by weights.
        ParityError: a concept's file misses its floor, and floors bind.
    """
    name = entry_id(task["target"], task["precision"], task["io"])
    exports = _Exports(
        Entry.model_validate(task["entry"]),
        task["default"],
        Path(task["base"]),
        {concept: Path(told["export"]) for concept, told in task["concepts"].items()},
    )
    golden = {concept: _golden(Path(told["golden"])).to(task["io"]) for concept, told in task["concepts"].items()}
    floor = _floor(task)
    with storage_errors(task["folder"]), quiet(), atomic_folder(Path(task["folder"])) as root:
        folder = root / "models" / name
        folder.mkdir(parents=True)
        measured: dict[str, tuple[str, Parity]] = {}
        with _writer(task["target"], exports, folder) as writer:
            for concept in exports.concepts:
                measured[concept] = _written(writer, concept, golden[concept], floor, task)
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        component = exports.entry.components[0]
        whole = Component(
            **{**component.model_dump(), "files": [record_file(root, f"models/{name}/{file.name}") for file in files]}
        )
        told = {**exports.entry.model_dump(), "components": [whole], "parity": measured[exports.default][1]}
        forms = {
            concept: {"entry": name, "way": writer.way, "name": f"models/{name}/{file}", "parity": parity.model_dump()}
            for concept, (file, parity) in measured.items()
            if concept != exports.default
        }
    return {"entry": Entry.model_validate(told).model_dump(mode="json"), "forms": forms}


def form_of(told: Mapping[str, Any], golden: str) -> ConceptForm:
    """The manifest's line of what `join` answers of a concept."""
    return ConceptForm.model_validate({**told, "golden": golden})


def _floor(task: Task) -> float:
    if task["floor"] is not None:
        return float(task["floor"])
    return min(measuring.FLOORS_DB[task["precision"]], measuring.MOST_FLOOR_DB[task["io"]])


def _golden(folder: Path) -> Golden:
    return Golden(*(np.load(folder / name, allow_pickle=False) for name in (INPUTS, OUTPUTS)))


def _written(writer: _Writer, concept: str, golden: Golden, floor: float, task: Task) -> tuple[str, Parity]:
    """The concept's file with the smallest factors that hold the floor, and what it is."""
    target = find_target(task["target"], task["precision"])[0]
    runtime = target.checked_by or target.runtime
    for dtype in _FACTORS:
        file, runnable = writer.write(concept, dtype)
        outputs = measuring.run_file(target.checked_by, runnable, list(golden.inputs))
        assert outputs is not None
        parity = measuring.measure(outputs, golden, floor, runtime)
        if parity.passed:
            return file, parity
    name = entry_id(task["target"], task["precision"], task["io"])
    measuring.check(parity, f"{concept} in {name}", task["bound"])
    return file, parity


@contextmanager
def _writer(target: str, exports: _Exports, folder: Path) -> Iterator[_Writer]:
    if target == "onnx":
        yield _OnnxWriter(exports, folder)
        return
    with scratch_folder() as scratch:
        yield _ExecuTorchWriter(exports, folder, scratch)


class _OnnxWriter:
    way = "model"

    def __init__(self, exports: _Exports, folder: Path) -> None:
        self._folder, self._default = folder, exports.default
        concepts = {name: exports.file(path) for name, path in exports.concepts.items()}
        self._pack = OnnxPack(exports.file(exports.base), concepts)
        self._pack.write_weights(folder)

    def write(self, name: str, dtype: type[np.floating]) -> tuple[str, Path]:
        file = MODEL_FILE if name == self._default else f"concept-{name}.onnx"
        self._pack.write_model(name, self._folder / file, dtype)
        return file, self._folder / file


class _ExecuTorchWriter:
    way = "patch"

    def __init__(self, exports: _Exports, folder: Path, scratch: Path) -> None:
        self._folder, self._scratch, self._exports = folder, scratch, exports
        default = _program(exports, exports.concepts[exports.default])
        write_atomic(folder / PROGRAM_FILE, default.data)
        self._pack = ExecuTorchPack(_program(exports, exports.base), default)
        if len(exports.concepts) > 1:
            write_atomic(folder / FIRST_FILE, self._pack.first)

    def write(self, name: str, dtype: type[np.floating]) -> tuple[str, Path]:
        if name == self._exports.default:
            return PROGRAM_FILE, self._folder / PROGRAM_FILE
        concept = _program(self._exports, self._exports.concepts[name])
        patch, program = self._pack.patch(concept, dtype, FIRST_FILE)
        file = f"concept-{name}.safetensors"
        write_atomic(self._folder / file, patch)
        # ExecuTorch maps a program's file: one that is in use is not written over.
        runnable = self._scratch / f"{name}-{np.dtype(dtype).name}.pte"
        runnable.write_bytes(program)
        return file, runnable


def _program(exports: _Exports, folder: Path) -> Any:
    weights = folder / WEIGHTS
    return read_program(exports.file(folder), json.loads(weights.read_text()) if weights.exists() else [])
