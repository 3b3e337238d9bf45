"""The process that loads models and exports them: python -m pocketgan.export.worker, started by `pool.py`.

It reads one JSON task a line from standard input and answers each with one JSON line on what was its standard output,
after lines that hold a `step` alone; whatever the exporters print goes to standard error. When standard input ends, its
parent is gone, and it ends at once, in the middle of an export too.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import sys
import threading
import traceback
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from pocketgan.bundle.manifest import Entry
from pocketgan.errors import ExportError, PocketganError
from pocketgan.export.exchange import ARTIFACT, INPUTS, OUTPUTS, WEIGHTS, Answer, OnStep, Task
from pocketgan.files import atomic_file, atomic_folder, write_atomic


def run_task(task: Task, on_step: OnStep) -> Answer:
    """Carry out one task; see `golden_task`, `export_task` and `join_task`.

    Raises:
        PocketganError: what the user must know.
    """
    if task["task"] == "join":
        from pocketgan.export.packs.joining import join

        return join(task, on_step)
    return {"golden": _golden, "export": _export}[task["task"]](task)


def golden_task(source: dict[str, Any], inputs: str | None, io: list[str], folder: Path) -> Task:
    """Compute golden outputs into `folder`. `inputs` is a .npy file (n, c, h, w), None for a seeded image.

    They are rounded to the levels of pixels where `io` holds "image".

    Answers with `identity`, a hash of the model and what it computes, its number of `layers`, `spec` and `trained`.
    """
    return {"task": "golden", "source": source, "inputs": inputs, "io": io, "folder": str(folder)}


def export_task(
    source: dict[str, Any],
    target: str,
    precision: str,
    io: str,
    *,
    golden: Path,
    folder: Path,
    digest: str,
    bound: bool,
    floor: float | None,
    calibration: str | None,
    ios: int | None,
    soc: str | None,
    places: bool = False,
) -> Task:
    """Export to `folder`, which appears whole: the files below models/, and artifact.json with entry and digest.

    `calibration` is a .npy file (n, c, h, w). With `places` there is weights.json, too: see `packs.executorch`.
    """
    return {
        "task": "export",
        "source": source,
        "target": target,
        "precision": precision,
        "io": io,
        "golden": str(golden),
        "folder": str(folder),
        "digest": digest,
        "bound": bound,
        "floor": floor,
        "calibration": calibration,
        "ios": ios,
        "soc": soc,
        "places": places,
    }


def join_task(target: str, precision: str, io: str, **told: Any) -> Task:
    """Make one entry of the forms of a pack's networks; see `packs.joining.join`."""
    return {"task": "join", "target": target, "precision": precision, "io": io, **told}


def read_artifact(folder: Path, digest: str) -> Entry | None:
    """The entry of a finished export, if it is there, whole and of that digest."""
    try:
        stored = json.loads((folder / ARTIFACT).read_text())
        entry = Entry.model_validate_json(json.dumps(stored["entry"]))
        sizes = [(folder / file.path).stat().st_size == file.bytes for part in entry.components for file in part.files]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return entry if stored.get("digest") == digest and all(sizes) else None


def _golden(task: Task) -> Answer:
    from pocketgan.export.golden import golden_outputs, on_levels, seeded_inputs
    from pocketgan.export.source import ModelSource, load_source

    loaded = load_source(ModelSource.from_json(task["source"]))
    inputs = seeded_inputs(*loaded.shape) if task["inputs"] is None else np.load(task["inputs"], allow_pickle=False)
    if inputs.shape[1:] != loaded.shape:
        raise ExportError(f"golden inputs are of {inputs.shape[1:]}, the model's input is of {loaded.shape}")
    golden = golden_outputs(loaded.module, on_levels(inputs) if "image" in task["io"] else inputs)
    for io in task["io"]:
        golden.to(io)  # refuses networks that have no pixels
    digest = hashlib.sha256(golden.digest.encode())
    for name, tensor in sorted(loaded.module.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    for name, array in ((INPUTS, golden.inputs), (OUTPUTS, golden.outputs)):
        with atomic_file(Path(task["folder"]) / name) as temporary, temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
    return {
        "identity": digest.hexdigest(),
        "layers": sum(1 for _ in loaded.module.modules()),
        "spec": None if loaded.spec is None else loaded.spec.to_json(),
        "trained": loaded.trained,
    }


def _export(task: Task) -> Answer:
    import torch

    from pocketgan.export.entry import export
    from pocketgan.export.golden import Golden
    from pocketgan.export.source import ModelSource, load_source

    loaded = load_source(ModelSource.from_json(task["source"]))
    arrays = [np.load(Path(task["golden"]) / name, allow_pickle=False) for name in (INPUTS, OUTPUTS)]
    weights: list[dict[str, Any]] = []
    with atomic_folder(Path(task["folder"])) as folder, _recording(task, weights):
        artifact = export(
            loaded.module,
            task["target"],
            task["precision"],
            folder=folder,
            example=(torch.zeros(1, *loaded.shape),),
            golden=Golden(*arrays),
            bound=task["bound"],
            floor=task["floor"],
            calibration=None if task["calibration"] is None else np.load(task["calibration"], allow_pickle=False),
            ios=task["ios"],
            io=task["io"],
            soc=task["soc"],
        )
        entry = artifact.entry.model_dump(mode="json")
        stored = {"digest": task["digest"], "seconds": artifact.seconds, "entry": entry}
        if weights:
            write_atomic(folder / WEIGHTS, json.dumps(weights))
        write_atomic(folder / ARTIFACT, json.dumps(stored))
    return {"entry": entry, "seconds": artifact.seconds}


def _recording(task: Task, weights: list[dict[str, Any]]) -> AbstractContextManager[None]:
    """Within it the places of weights are told, where the task asks for them and the target has them to tell."""
    if not task["places"] or task["target"] != "executorch-xnnpack":
        return nullcontext()
    from pocketgan.export.packs.executorch import recorded_weights

    return recorded_weights(weights)


def main() -> None:
    """Serve tasks until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    tasks: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read_tasks, args=(tasks,), daemon=True).start()

    def send(told: Answer) -> None:
        answers.write(json.dumps(told) + "\n")
        answers.flush()

    while True:
        task = json.loads(tasks.get())
        try:
            answer = run_task(task, lambda step: send({"step": step}))
        except PocketganError as problem:
            answer = {"error": str(problem), "kind": type(problem).__name__}
        except Exception:
            answer = {"error": traceback.format_exc(), "kind": "defect"}
        send(answer)


def _read_tasks(tasks: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        tasks.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
