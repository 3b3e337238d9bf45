"""Goals of packs: size, switching and frame time. Run by `make bench`, which prints what was measured.

Times are CPU times of one thread, merged and packed concept in turns, the fastest counts: what else a machine does can
only make them slower.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pack_inputs import make_pack_inputs

from pocketgan import api
from pocketgan.bench.runners.protocol import thread_environment
from pocketgan.bundle.manifest import Manifest
from pocketgan.training.adapter import merge
from pocketgan.training.adapter_files import load_adapter
from pocketgan.training.generators.files import load_generator, save_generator

pytestmark = pytest.mark.heavy

NAMES = ("e2gan", "e2gan-mobile")
CONCEPTS = 20
# Sum under models/ of CONCEPTS concepts over that of one; milliseconds; frame time over a merged model's.
MOST_GROWTH, MOST_SWITCH_MS, MOST_FRAME = 1.5, 150.0, 1.02
ROUNDS = 12

# Prints milliseconds: of the steps from choosing a concept to a runtime that is ready, and of its first frame; then of
# frames of the merged file and of the concept's.
LOADERS = {
    "onnx-fp32": """
import numpy, onnxruntime
image = numpy.random.default_rng(0).uniform(-1, 1, (1, 3, side, side)).astype(numpy.float32)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.log_severity_level = 3
def load(file):
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"image": image})
def made(target, form):
    return form
""",
    "executorch-xnnpack-fp32": """
import pathlib, torch
torch.set_num_threads(1)
from executorch.runtime import Runtime
from executorch.extension.pybindings import portable_lib
from pocketgan.bundle.patch import patched
portable_lib._unsafe_reset_threadpool(1)
image = torch.rand(1, 3, side, side) * 2 - 1
def load(file):
    program = Runtime.get().load_program(file)
    method = program.load_method("forward")
    return lambda: (method.execute([image]), program)
def made(target, form):
    file = pathlib.Path(scratch) / "concept.pte"
    file.unlink(missing_ok=True)
    file.write_bytes(patched(pathlib.Path(target), pathlib.Path(form)))
    return str(file)
""",
}
TURNS = """
import json, sys, time
side, merged, target, form, scratch, rounds = json.loads(sys.argv[1])
%s
def clocked(work):
    start = time.process_time()
    found = work()
    return found, (time.process_time() - start) * 1e3
told = {"make": [], "load": [], "first": [], "merged": [], "concept": []}
usual = load(merged)
for _ in range(rounds):
    file, ms = clocked(lambda: made(target, form))
    told["make"].append(ms)
    run, ms = clocked(lambda: load(file))
    told["load"].append(ms)
    told["first"].append(clocked(run)[1])
    for _ in range(4):
        told["merged"].append(clocked(usual)[1])
        told["concept"].append(clocked(run)[1])
print(json.dumps({name: min(times) for name, times in told.items()}))
"""


def pack(folder: Path, name: str, concepts: int, side: int = 256, workers: int = 2) -> tuple[Manifest, Path]:
    """A pack of both runtimes, in a folder where its inputs lie, too."""
    make_pack_inputs(folder, [f"effect{index:02}" for index in range(concepts)], name, None, side)
    written = api.export(
        folder / "base.safetensors",
        ["onnx", "executorch-xnnpack"],
        folder / "pack",
        concepts=folder / "effects",
        workers=workers,
    )
    assert not written.failed, written.failed
    return written.manifest, folder / "pack"


def growth(manifest: Manifest, entry: str, concepts: int) -> float:
    """What `concepts` concepts take, over what one takes; from a pack of some."""
    files = next(one for one in manifest.entries if one.id == entry).components[0].files
    own = {form.name for concept in manifest.concepts for form in concept.forms}
    mean = sum(file.bytes for file in files if file.path in own) / len(own & {file.path for file in files})
    # Of one concept there is neither another one nor what leads from it to the base.
    alone = sum(file.bytes for file in files if file.path not in own and not file.path.endswith("base.safetensors"))
    rest = sum(file.bytes for file in files if file.path not in own)
    return (rest + (concepts - 1) * mean) / alone


def times(folder: Path, manifest: Manifest, entry: str, concept: str, side: int = 256) -> dict[str, float]:
    """Milliseconds of a concept that is not the default, and of the same concept merged and exported alone."""
    base = load_generator(folder / "base.safetensors")
    merged = merge(base, load_adapter(folder / "effects" / f"{concept}.safetensors"))
    save_generator(folder / "merged.safetensors", merged.module, merged.spec, merged.metadata)
    target, precision = entry.rsplit("-", 1)
    alone = api.export(
        folder / "merged.safetensors", target, folder / f"alone-{entry}", precisions=precision, workers=1
    )
    (named,) = [one for one in manifest.concepts if one.name == concept]
    (form,) = [one for one in named.forms if one.entry == entry]
    point = next(one for one in manifest.entries if one.id == entry).components[0].entry_point
    told = [
        side,
        str(folder / f"alone-{entry}" / alone.manifest.entries[0].components[0].entry_point),
        str(folder / "pack" / point),
        str(folder / "pack" / form.name),
        str(folder),
        ROUNDS,
    ]
    found = subprocess.run(
        [sys.executable, "-c", TURNS % LOADERS[entry], json.dumps(told)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **thread_environment(1)},
    )
    times: dict[str, float] = json.loads(found.stdout)
    return times


@pytest.mark.parametrize("name", NAMES)
def test_twenty_concepts_are_small_quick_to_choose_and_as_fast_as_merged(tmp_path: Path, name: str) -> None:
    manifest, _ = pack(tmp_path, name, CONCEPTS)
    missed = []
    for entry in LOADERS:
        grown = growth(manifest, entry, CONCEPTS)
        found = times(tmp_path, manifest, entry, manifest.concepts[-1].name)
        switch = found["make"] + found["load"] + found["first"] - found["concept"]
        frame = found["concept"] / found["merged"]
        print(f"\n{name} {entry}: {grown:.2f} times one, switching {switch:.0f} ms {found}, frame {frame:.3f}")
        limits = {"growth": (grown, MOST_GROWTH), "switch": (switch, MOST_SWITCH_MS), "frame": (frame, MOST_FRAME)}
        missed += [f"{entry} {goal} {value:.3g}" for goal, (value, most) in limits.items() if value > most]
    assert not missed
