"""Bundles are whole or not there, survive kills, and are readable as bundles."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("coremltools")
pytest.importorskip("executorch")

from pocketgan.bundle.check import check
from pocketgan.bundle.manifest import Origin
from pocketgan.bundle.packing import pack_folder
from pocketgan.bundle.reader import open_bundle
from pocketgan.errors import ExportError, ModelError, ParityError, StorageError
from pocketgan.export.bundles import BundleRequest, Plan, export_bundle, export_bundles, export_possible
from pocketgan.export.pool import Pool, worker_count
from pocketgan.export.source import from_function, from_spec, parse_source
from pocketgan.export.worker import read_artifact
from pocketgan.training.generators import GeneratorSpec, build, resnet

SPEC = GeneratorSpec("resnet", resnet.widths(2, 1, 2), "instance", blocks=1, height=16, width=16)
TENSOR = {"name": "x", "shape": [1], "layout": None, "dtype": "float32", "value_range": None, "colour_space": None}
ENTRY = {
    "id": "onnx-fp32",
    "target": "onnx",
    "precision": "fp32",
    "runtime": "onnxruntime",
    "runtime_version": "1",
    "golden": "nchw-float32",
    "components": [
        {
            "name": "generator",
            "entry_point": "models/onnx-fp32/model.onnx",
            "files": [{"path": "models/onnx-fp32/model.onnx", "bytes": 5, "sha256": "0" * 64}],
            "inputs": [TENSOR],
            "outputs": [TENSOR],
        }
    ],
}
GIVEN = Origin(kind="function", file="mine:net", sha256="0" * 64)
IMAGES = np.linspace(-1, 1, 2 * 3 * 16 * 16, dtype=np.float32).reshape(2, 3, 16, 16)


def _request(folder: Path, name: str = "tiny", **changes) -> BundleRequest:
    wanted = {"model": from_spec(SPEC), "role": "unpruned", "targets": [("onnx", None)], **changes}
    return BundleRequest(folder=folder / name, name=name, **wanted)


@pytest.mark.slow
def test_two_models_become_sound_bundles_of_reproducible_bytes(tmp_path):
    requests = [
        _request(tmp_path, "a", golden_inputs=IMAGES, quality={"psnr": 20.5}, teacher=GIVEN),
        _request(tmp_path, "b"),
    ]
    manifests = export_bundles(requests, workers=1)
    assert [manifest.name for manifest in manifests] == ["a", "b"]
    assert check(tmp_path / "a") == check(tmp_path / "b") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]  # no work folder is left
    assert manifests[0].spec_digest == SPEC.digest
    assert manifests[0].quality == {"psnr": 20.5}
    assert manifests[0].trained is False
    assert [manifest.teacher for manifest in manifests] == [GIVEN, None]

    with open_bundle(tmp_path / "a") as bundle:
        inputs, outputs = bundle.golden(bundle.manifest.entries[0].golden)
    np.testing.assert_array_equal(inputs["image"], IMAGES[:1])
    import torch

    with torch.no_grad():
        expected = build(SPEC).eval()(torch.from_numpy(IMAGES[:1])).numpy()
    np.testing.assert_allclose(outputs["output"], expected, atol=1e-6)

    first = pack_folder(tmp_path / "b", tmp_path / "b.pgb")
    export_bundle(_request(tmp_path, "b"), workers=1)
    assert pack_folder(tmp_path / "b", tmp_path / "again.pgb") == first


@pytest.mark.slow
def test_a_finished_form_is_exported_again_only_if_something_changed(tmp_path, monkeypatch):
    exported: list[str] = []
    run = Pool.run

    def spy(self, tasks, *rest):
        exported.extend(name for name, task in tasks if task["task"] == "export")
        run(self, tasks, *rest)

    monkeypatch.setattr(Pool, "run", spy)
    # The state that a kill between the last form and the finished bundle leaves.
    monkeypatch.setattr("pocketgan.export.bundles.shutil.rmtree", lambda *args, **kwargs: None)
    request = _request(tmp_path, work=tmp_path / "work")
    first = export_bundle(request, workers=1)
    (tmp_path / "tiny").rename(tmp_path / "aside")
    assert export_bundle(request, workers=1) == first
    assert exported == ["tiny onnx-fp32"]
    assert check(tmp_path / "tiny") == []

    export_bundle(_request(tmp_path, work=tmp_path / "work", golden_inputs=IMAGES), workers=1)
    assert exported == ["tiny onnx-fp32"] * 2


@pytest.mark.slow
def test_an_export_that_fails_before_its_first_form_leaves_nothing(tmp_path):
    # Nothing reaches 1000 dB but what is equal to the last bit.
    with pytest.raises(ParityError, match=r"^tiny onnx-fp32: .*below the floor of 1000 dB"):
        export_bundle(_request(tmp_path, trained=True, floor=1000), workers=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_entry_that_cannot_be_written_leaves_the_others(tmp_path):
    request = _request(tmp_path, targets=[("onnx", None), ("torch", None)], trained=True, floor=1000)
    with pytest.raises(ParityError, match="tiny onnx-fp32"):
        export_bundles([request], workers=1)  # bundles of a recipe are whole or not there
    assert [path.name for path in tmp_path.iterdir()] == [".tiny.work"]
    assert (tmp_path / ".tiny.work/entries/torch-fp32").is_dir()  # finished, for the next attempt
    manifest, failures = export_possible(request, workers=1)
    assert [entry.id for entry in manifest.entries] == ["torch-fp32"]
    assert list(failures) == ["onnx-fp32"]
    assert isinstance(failures["onnx-fp32"], ParityError)
    assert check(tmp_path / "tiny") == []
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


@pytest.mark.parametrize(
    ("targets", "options", "expected"),
    [
        ([("onnx", "fp32"), ("onnx", "int8")], {}, r"^onnx-int8: .*--calibration names a folder"),
        ([("coreml", "fp16"), ("coreml", "w8a8")], {"ios": 16, "calibration": IMAGES}, "^coreml-w8a8: .*needs iOS 17"),
        ([("onnx", "int8"), ("executorch-xnnpack", "int8")], {}, r"(?s)^onnx-int8: .*\nexecutorch-xnnpack-int8: "),
    ],
)
def test_what_can_be_checked_is_told_before_anything_is_lowered(targets, options, expected, tmp_path, monkeypatch):
    monkeypatch.setattr("pocketgan.export.bundles.Pool", None)  # which would start the workers
    with pytest.raises(ExportError, match=expected):
        export_bundle(_request(tmp_path, targets=targets, **options))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("target", "package"),
    [
        ("onnx", "onnx-ir"),
        ("executorch-xnnpack", "torchao"),
        ("executorch-coreml", "torchao"),
        ("coreml", "torchao"),
        ("coreml", "executorch"),
        ("coreml", "scikit-learn"),
    ],
)
def test_a_finished_form_does_not_outlive_an_upgrade_of_what_made_it(target, package, tmp_path, monkeypatch):
    plan = Plan(_request(tmp_path, targets=[(target, None)]))
    (form,) = plan.forms
    model = plan.form_folder(form) / "models/onnx-fp32/model.onnx"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"12345")
    (plan.form_folder(form) / "artifact.json").write_text(json.dumps({"digest": plan._digest(form), "entry": ENTRY}))
    assert plan.take_finished(form)
    installed = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "99" if name == package else installed(name))
    assert not plan.take_finished(form)
    monkeypatch.setattr(metadata, "version", lambda name: "99" if name == "numpy" else installed(name))
    assert plan.take_finished(form)


@pytest.mark.parametrize("damage", ["cut", "gone", "other digest", "no json"])
def test_a_form_that_is_not_whole_is_not_taken(damage, tmp_path):
    (tmp_path / "models/onnx-fp32").mkdir(parents=True)
    model = tmp_path / "models/onnx-fp32/model.onnx"
    model.write_bytes(b"12345")
    stored = tmp_path / "artifact.json"
    stored.write_text(json.dumps({"digest": "d", "entry": ENTRY}))
    assert read_artifact(tmp_path, "d") is not None
    if damage == "cut":
        model.write_bytes(b"123")
    elif damage == "gone":
        model.unlink()
    elif damage == "no json":
        stored.write_text(stored.read_text()[:-5])
    assert read_artifact(tmp_path, "e" if damage == "other digest" else "d") is None


def test_workers_end_when_their_parent_is_killed():
    code = (
        "import time\nfrom pocketgan.export.pool import Pool\npool = Pool(1)\n"
        "print(pool._workers[0]._process.pid, flush=True)\ntime.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the worker outlived its parent")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import os, sys; sys.stdin.readline(); os.kill(os.getpid(), 9)", "teacher coreml-fp16 was killed"),
        ("import sys; sys.stdin.readline(); sys.exit('no luck')", "ended with exit code 1: no luck"),
    ],
)
def test_a_worker_that_dies_is_an_error_that_names_its_task(code, expected):
    with Pool(1, [sys.executable, "-c", code]) as pool, pytest.raises(ExportError, match=expected):
        pool.run([("teacher coreml-fp16", {"task": "export"})], lambda index, answer: None)


def test_a_pool_answers_every_task_though_it_has_fewer_workers():
    echo = "import sys\nfor line in sys.stdin: print(line.strip(), flush=True)"
    answers: dict[int, object] = {}
    with Pool(2, [sys.executable, "-c", echo]) as pool:
        pool.run([(str(i), {"value": i}) for i in range(7)], lambda index, answer: answers.update({index: answer}))
    assert answers == {i: {"value": i} for i in range(7)}


def test_parts_of_a_task_are_told_before_it_is_done_and_of_one_whose_worker_dies():
    code = (
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    for step in 'ink', 'night': print(json.dumps({'step': step}), flush=True)\n"
        "    if json.loads(line)['do'] == 'die': sys.exit('no luck')\n"
        "    print(json.dumps({'did': 'it'}), flush=True)\n"
    )
    told: list[tuple[int, object]] = []
    failed: dict[int, Exception] = {}
    with Pool(1, [sys.executable, "-c", code]) as pool:
        tasks = [("onnx", {"do": "it"}), ("executorch", {"do": "die"})]
        pool.run(tasks, lambda *one: told.append(one), failed.__setitem__, lambda *one: told.append(one))
    assert told == [(0, "ink"), (0, "night"), (0, {"did": "it"}), (1, "ink"), (1, "night")]
    assert [*failed] == [1]


def test_a_task_that_fails_or_kills_its_worker_leaves_the_others():
    code = (
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    asked = json.loads(line)['do']\n"
        "    if asked == 'die': sys.exit('no luck')\n"
        "    failed = {'error': 'too far off', 'kind': 'ParityError'}\n"
        "    print(json.dumps(failed if asked == 'fail' else {'did': asked}), flush=True)\n"
    )
    done: dict[int, object] = {}
    failed: dict[int, Exception] = {}
    asked = ["a", "die", "b", "fail", "die", "c"]
    with Pool(1, [sys.executable, "-c", code]) as pool:
        tasks = [(name, {"do": name}) for name in asked]
        pool.run(tasks, done.__setitem__, failed.__setitem__)
    assert done == {index: {"did": asked[index]} for index in (0, 2, 5)}
    assert {index: type(error) for index, error in failed.items()} == {1: ExportError, 3: ParityError, 4: ExportError}
    assert str(failed[1]) == "the process that worked on it ended with exit code 1: no luck"
    assert str(failed[3]) == "too far off"


def test_a_full_disk_concerns_all_tasks():
    code = 'import sys\nfor line in sys.stdin: print(\'{"error": "disk full", "kind": "StorageError"}\', flush=True)'
    with Pool(1, [sys.executable, "-c", code]) as pool, pytest.raises(StorageError, match=r"^onnx: disk full"):
        pool.run([("onnx", {}), ("coreml", {})], lambda *_: None, lambda *_: None)


def test_there_are_never_more_workers_than_tasks():
    assert worker_count(8, 1) == 1


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "thesis.txt").write_text("years of work")
    with pytest.raises(ExportError, match="holds other files than a bundle"):
        export_bundle(_request(tmp_path))
    assert (tmp_path / "tiny" / "thesis.txt").read_text() == "years of work"


@pytest.mark.slow
def test_models_from_functions_are_found_in_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "here.py").write_text(
        "from torch import nn\ndef net(): return nn.Conv2d(3, 3, 1)\ndef no(): return 5\n"
    )
    monkeypatch.chdir(tmp_path)
    manifest = export_bundle(_request(tmp_path, model=from_function("here:net", (3, 8, 12)), role="foreign"), workers=1)
    assert manifest.entries[0].components[0].inputs[0].shape == [1, 3, 8, 12]
    assert manifest.spec is None
    with pytest.raises(ModelError, match="here:no returns int"):
        export_bundle(
            _request(tmp_path, "other", model=from_function("here:no", (3, 8, 12)), role="foreign"), workers=1
        )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("resnet7", "there is no model 'resnet7'"),
        ("gone.safetensors", "no model file gone.safetensors"),
        ("package.module:net", "--input 3x256x256"),
    ],
)
def test_a_model_that_is_not_there_is_said_in_one_line(text, expected):
    with pytest.raises(ModelError, match=expected):
        parse_source(text)
