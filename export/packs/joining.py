"""One entry of a pack, made of the exports of its base and of every concept: what a worker does last."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from pocketgan.bundle.manifest import Component, ConceptForm, Entry, Parity
from pocketgan.bundle.packing import record_file
from pocketgan.errors import storage_errors
from pocketgan.export import parity as measuring
from pocketgan.export.canonical import canonical
from pocketgan.export.entry import entry_id
from pocketgan.export.exchange import INPUTS, OUTPUTS, WEIGHTS, Answer, OnStep, Task
from pocketgan.export.golden import Golden
from pocketgan.export.packs.coreml import LEAST_IOS, function_names, with_branches, write_functions
from pocketgan.export.packs.executorch import ConceptProgram, ExecuTorchPack, ProgramFile, read_program
from pocketgan.export.packs.onnx import OnnxPack
from pocketgan.export.quiet import quiet
from pocketgan.export.rewrites import rewrite, rewrites_at
from pocketgan.export.source import ModelSource, load_source
from pocketgan.export.targets import find_target
from pocketgan.export.targets.coreml import PACKAGE
from pocketgan.export.targets.executorch import MODEL_FILE as PROGRAM_FILE
from pocketgan.export.targets.onnx import MODEL_FILE
from pocketgan.export.targets.target import Form
from pocketgan.files import atomic_folder, write_atomic
from pocketgan.scratch import scratch_folder

# What all concepts' patches begin with.
FIRST_FILE = "base.safetensors"
# Factors of fewer numbers are not worth the trial of halving them.
_LEAST_HALVED = 1024
# What float16 must hold beyond the floor: other pictures and processors are a little worse than the golden ones here.
_MARGIN_DB = 2.0
# How much of the error that the floor leaves may be used up by what was measured of each factor alone: errors add up to
# less than their sum where they do not point the same way.
_SHARES = (1.25, 0.8, 0.4)


@dataclass(frozen=True)
class Written:
    """A concept in an entry: `name`, a file in the entry's folder or a function; what a runtime opens, and calls."""

    name: str
    runnable: Path
    function: str | None = None


class _Writer(Protocol):
    """Writes what is a concept's own, as often as it takes."""

    way: str

    def products(self, name: str) -> list[dict[str, int]]:
        """How many numbers a concept's products have, by the constants that they are for, in groups of one weight."""

    def write(self, name: str, halved: Collection[str]) -> Written:
        """Write what is the concept's own.

        Args:
            halved: constants whose factors are stored in float16.
        """


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


def join(task: Task, on_step: OnStep) -> Answer:
    """Write an entry's files below `folder`/models.

    The task has, beside target, precision and io: `folder`; `base` and `source`, the export of the base and where it
    comes from; `concepts`, by name `export`, `golden` and `source`, the folders of a concept's export and golden
    tensors, and where it comes from; `default`; `entry`, the default concept's; `floor` in dB or None; `bound`, whether
    floors bind; `ios`. A step is a concept.

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
        with _writer(task, exports, folder) as writer:
            for concept in exports.concepts:
                measured[concept] = _written(writer, concept, golden[concept], floor, task)
                on_step(concept)
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        component = exports.entry.components[0]
        whole = Component(
            **{
                **component.model_dump(),
                "files": [record_file(root, file.relative_to(root).as_posix()) for file in files],
            }
        )
        oldest = {"minimum_os": f"iOS {max(task['ios'] or 0, LEAST_IOS)}"} if task["target"] == "coreml" else {}
        told = {**exports.entry.model_dump(), **oldest, "components": [whole], "parity": measured[exports.default][1]}
        forms = {
            concept: {
                "entry": name,
                "way": writer.way,
                "name": file if writer.way == "function" else f"models/{name}/{file}",
                "parity": parity.model_dump(),
            }
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
    """The concept's file with as many factors in float16 as the floor allows, with a margin, and what it is.

    Where it does not allow all of them, each weight's are tried alone, and those are taken whose errors cost least for
    what they save: errors of several add up like those of independent roundings.
    """
    target = find_target(task["target"], task["precision"])[0]
    runtime = target.checked_by or target.runtime
    weights = writer.products(concept)
    numbers = {name: count for weight in weights for name, count in weight.items() if count >= _LEAST_HALVED}

    def tried(halved: Collection[str]) -> tuple[str, Parity]:
        one = writer.write(concept, halved)
        outputs = measuring.run_file(target.checked_by, one.runnable, list(golden.inputs), one.function)
        assert outputs is not None
        return one.name, measuring.measure(outputs, golden, floor, runtime)

    aim = floor + _MARGIN_DB

    def holds(parity: Parity) -> bool:
        return parity.psnr_db is None or parity.psnr_db >= aim

    written = tried(numbers)
    if numbers and not holds(written[1]):
        whole = _error(tried(())[1])
        left = 10 ** (-aim / 10) - whole
        costs: dict[str, float] = {}
        for names in ([name for name in weight if name in numbers] for weight in weights):
            if names and left > 0:
                costs |= dict.fromkeys(names, max(_error(tried(names)[1]) - whole, 0.0) / len(names))
        for share in _SHARES if costs else ():
            written = tried(_cheapest(costs, numbers, share * left))
            if holds(written[1]):
                break
        else:
            written = tried(())
    measuring.check(
        written[1], f"{concept} in {entry_id(task['target'], task['precision'], task['io'])}", task["bound"]
    )
    return written


def _cheapest(costs: Mapping[str, float], numbers: Mapping[str, int], left: float) -> list[str]:
    """Those that save most for their errors, whose sum is `left` at most."""
    halved = []
    for name in sorted(numbers, key=lambda one: costs[one] / numbers[one]):
        if costs[name] <= left:
            left -= costs[name]
            halved.append(name)
    return halved


def _error(parity: Parity) -> float:
    """Mean square of the error, black to white being 1."""
    return 0.0 if parity.psnr_db is None else float(10 ** (-parity.psnr_db / 10))


@contextmanager
def _writer(task: Task, exports: _Exports, folder: Path) -> Iterator[_Writer]:
    if task["target"] == "onnx":
        yield _OnnxWriter(exports, folder)
        return
    with scratch_folder() as scratch:
        if task["target"] == "coreml":
            yield _CoreMLWriter(task, folder, scratch)
        else:
            yield _ExecuTorchWriter(exports, folder, scratch)


class _OnnxWriter:
    way = "model"

    def __init__(self, exports: _Exports, folder: Path) -> None:
        self._folder, self._default = folder, exports.default
        concepts = {name: exports.file(path) for name, path in exports.concepts.items()}
        self._pack = OnnxPack(exports.file(exports.base), concepts)
        self._pack.write_weights(folder)

    def products(self, name: str) -> list[dict[str, int]]:
        return self._pack.products(name)

    def write(self, name: str, halved: Collection[str]) -> Written:
        file = MODEL_FILE if name == self._default else f"concept-{name}.onnx"
        self._pack.write_model(name, self._folder / file, halved)
        return Written(file, self._folder / file)


class _ExecuTorchWriter:
    way = "patch"

    def __init__(self, exports: _Exports, folder: Path, scratch: Path) -> None:
        self._folder, self._scratch, self._exports = folder, scratch, exports
        default = _program(exports, exports.concepts[exports.default])
        write_atomic(folder / PROGRAM_FILE, default.data)
        self._pack = ExecuTorchPack(_program(exports, exports.base), default)
        self._kept: tuple[str, ConceptProgram] | None = None
        self._tries = 0
        if len(exports.concepts) > 1:
            write_atomic(folder / FIRST_FILE, self._pack.first)

    def products(self, name: str) -> list[dict[str, int]]:
        return [] if name == self._exports.default else self._concept(name).products()

    def write(self, name: str, halved: Collection[str]) -> Written:
        if name == self._exports.default:
            return Written(PROGRAM_FILE, self._folder / PROGRAM_FILE)
        patch, program = self._pack.patch(self._concept(name), halved, FIRST_FILE)
        file = f"concept-{name}.safetensors"
        write_atomic(self._folder / file, patch)
        # ExecuTorch maps a program's file: one that is in use is not written over.
        self._tries += 1
        runnable = self._scratch / f"{self._tries}.pte"
        runnable.write_bytes(program)
        (self._scratch / f"{self._tries - 2}.pte").unlink(missing_ok=True)
        return Written(file, runnable)

    def _concept(self, name: str) -> ConceptProgram:
        """The last that was asked for is kept: one is tried several times."""
        if self._kept is None or self._kept[0] != name:
            program = _program(self._exports, self._exports.concepts[name])
            self._kept = name, self._pack.concept(program)
        return self._kept[1]


class _CoreMLWriter:
    way = "function"

    def __init__(self, task: Task, folder: Path, scratch: Path) -> None:
        sources = {name: told["source"] for name, told in task["concepts"].items()}
        self._names = function_names(list(sources), task["default"])
        self._package = folder / PACKAGE
        target, precision = find_target(task["target"], task["precision"])
        rewrites = rewrites_at(precision, target.rewrites)
        form = Form(precision, ios=max(task["ios"] or 0, LEAST_IOS), io=task["io"])

        def rewritten(source: dict[str, Any]) -> tuple[nn.Module, tuple[Tensor, ...]]:
            loaded = load_source(ModelSource.from_json(source))
            example = (torch.zeros(1, *loaded.shape),)
            return rewrite(canonical(loaded.module, example), example, rewrites), example

        base, example = rewritten(task["source"])
        packages = {}
        for name, source in sources.items():
            (scratch / name).mkdir()
            branched = with_branches(base, rewritten(source)[0])
            target.export(branched, example, form, scratch / name)
            packages[self._names[name]] = scratch / name / PACKAGE
        write_functions(packages, folder)

    def products(self, name: str) -> list[dict[str, int]]:
        """None: factors are of the program's precision."""
        return []

    def write(self, name: str, halved: Collection[str]) -> Written:
        return Written(self._names[name], self._package, self._names[name])


def _program(exports: _Exports, folder: Path) -> ProgramFile:
    weights = folder / WEIGHTS
    return read_program(exports.file(folder), json.loads(weights.read_text()) if weights.exists() else [])
