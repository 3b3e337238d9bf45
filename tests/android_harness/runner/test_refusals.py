"""What the native runner refuses: a broken session as a whole, on one line; a broken bundle in its own Result."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from native_runner import (
    ROOT,
    Answer,
    change_session,
    library,
    manifest_of,
    read_answer,
    repack,
    shell_job,
    write_session,
)

from pocketgan.bench.schema.job import Job

onnxruntime = pytest.importorskip("onnxruntime")

EXAMPLES = ROOT / "bench" / "schema" / "examples"


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    return write_session(tmp_path / "session", [exported], [[shell_job(exported)]])


def refused(answer: Answer, part: str) -> None:
    """One line that says why, exit code 2, nothing measured."""
    assert (answer.code, answer.errors.count("\n"), answer.results) == (2, 1, [])
    assert part in answer.errors


BROKEN: dict[str, tuple[Callable[[Any], Any], str]] = {
    "newer major": (
        lambda s: s.update(schema_version="2.0"),
        "reads 1.x; use the runner and the",
    ),
    "newer Job": (lambda s: s["groups"][0]["jobs"][0].update(schema_version="2.0"), "reads 1.x"),
    "unknown field": (lambda s: s.update(colour="red"), "colour is not known"),
    "no groups": (lambda s: s.update(groups=[]), "groups is empty"),
    "no name": (lambda s: s.pop("name") and None, "name is missing"),
    "other rounds": (
        lambda s: s["groups"][0]["jobs"].append({**s["groups"][0]["jobs"][0], "rounds": 2}),
        "differ in more",
    ),
    "interval": (lambda s: s.update(beat_interval_s=0), "beat_interval_s is not above 0"),
    "a path for a digest": (lambda s: s["groups"][0]["jobs"][0].update(bundle="../" * 20 + "etc"), "is no SHA-256"),
    "threads as text": (lambda s: s["groups"][0]["jobs"][0].update(threads="1"), "threads is no whole number"),
    "a list": (lambda s: [s], "is no record"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_session_is_refused(name, folder, run):
    change, part = BROKEN[name]
    change_session(folder, change)
    refused(run(folder), part)


def test_what_a_later_minor_version_added_is_left_out(folder, run):
    change_session(folder, lambda s: s.update(schema_version="1.7", colour="red"))
    change_session(folder, lambda s: s["groups"][0]["jobs"][0].update(schema_version="1.9", light="on"))
    (result,) = run(folder).of_kind("result")
    assert result["errors"] == []
    assert result["job"]["light"] == "on"  # the Job goes back unchanged


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"a":1,"a":2}', '{"a":1}x', '{"a":\x01}', '{"a":01}', '{"a":"\\ud800"}', "[" * 100_000, '{"a":"\xff"}'],
)
def test_what_is_no_json_is_refused(text, folder, run):
    (folder / "session.json").write_bytes(text.encode("latin-1"))
    refused(run(folder), "is no JSON")


def test_without_a_session_or_a_runtime_nothing_is_measured(folder, run, built, tmp_path):
    refused(run(tmp_path), "session.json: cannot be read: No such file or directory")
    answer = run(folder, "--runtime", str(tmp_path / "libnone.so"))
    refused(answer, "name it with --runtime")
    assert "ONNX Runtime cannot be opened" in answer.end.error
    answer = run(folder, "--runtime", "libm.so.6")
    refused(answer, "is no ONNX Runtime")
    refused(run(folder, "--colour"), "unexpected --colour; usage:")


def test_a_runtime_in_the_current_folder_is_found_by_its_name(folder, built, tmp_path):
    (tmp_path / "libort.so").symlink_to(library())
    command = [built / "pocketgan-runner", folder, "--runtime", "libort.so"]
    subprocess.run(command, check=True, cwd=tmp_path)
    assert read_answer(folder).results[0].errors == []


def test_help_is_no_mistake(built):
    done = subprocess.run([built / "pocketgan-runner", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: pocketgan-runner SESSION")


def test_results_of_something_else_stay_as_they_are(folder, run):
    (folder / "results.jsonl").write_text('{"a": 1}\n')
    answer = run(folder)
    assert (answer.code, answer.errors.count("\n")) == (2, 1)
    assert "is no results.jsonl" in answer.errors
    assert (folder / "results.jsonl").read_text() == '{"a": 1}\n'


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*-session-*.json")), ids=lambda path: path.stem)
def test_examples_of_sessions_are_judged_as_their_names_say(path, run, tmp_path):
    shutil.copy(path, tmp_path / "session.json")
    answer = run(tmp_path)
    if path.name.startswith("invalid"):
        refused(answer, "session.json")
    else:
        assert answer.code == 0
        assert all(result.errors for result in answer.results)  # their bundles are not there


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*-job-*.json")), ids=lambda path: path.stem)
def test_examples_of_jobs_are_judged_as_their_names_say(path, run, tmp_path):
    job = json.loads(path.read_text())
    (tmp_path / "session.json").write_text(json.dumps({"name": "s", "groups": [{"jobs": [job]}]}))
    answer = run(tmp_path)
    if path.name.startswith("invalid"):
        refused(answer, "jobs.0")
    else:
        assert answer.code == 0
        assert answer.results[0].job == Job.model_validate(job)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*-manifest-*.json")), ids=lambda path: path.stem)
def test_examples_of_manifests_are_judged_as_their_names_say(path, run, tmp_path):
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    (tmp_path / "bundles" / digest).mkdir(parents=True)
    (tmp_path / "bundles" / digest / "manifest.json").write_bytes(data)
    entries = json.loads(data).get("entries") or [{}]
    job = {"bundle": digest, "entry": entries[0].get("id", "none"), "via": "shell"}
    (tmp_path / "session.json").write_text(json.dumps({"name": "s", "groups": [{"jobs": [job]}]}))
    (error,) = run(tmp_path).results[0].errors
    after_reading = ("is not there, or is no file", "native runner has ONNX Runtime alone", "name one of them")
    read = any(part in error for part in after_reading)
    assert read == path.name.startswith("valid"), error


def only_error(answer: Answer) -> str:
    """The one error of the only Result; nothing was timed."""
    assert answer.code == 0
    assert answer.end.error is None
    (result,) = answer.results
    (error,) = result.errors
    assert result.frames == []
    return error


def test_another_manifest_than_that_of_the_digest_is_refused(folder, run):
    path = manifest_of(folder)
    path.write_text(path.read_text() + " ")
    assert "is not the manifest of this bundle (its SHA-256 is another)" in only_error(run(folder))


@pytest.mark.parametrize("kind", ["models", "golden"])
def test_a_changed_byte_is_found_before_the_file_is_used(kind, folder, run):
    file = next(path for path in manifest_of(folder).parent.rglob("*") if path.is_file() and f"/{kind}/" in str(path))
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert "is not what the bundle's manifest says" in only_error(run(folder))


def test_a_missing_file_and_a_link_are_refused(folder, run, tmp_path):
    file = next(path for path in manifest_of(folder).parent.glob("models/*/*") if path.is_file())
    shutil.move(file, tmp_path / "elsewhere")
    assert "push the session again" in only_error(run(folder))
    (folder / "results.jsonl").unlink()
    file.symlink_to(tmp_path / "elsewhere")
    assert "is no file" in only_error(run(folder))


def test_wrong_outputs_are_never_timed(folder, run):
    def spoil(manifest, place):
        entry = manifest["entries"][0]
        golden = next(one for one in manifest["golden"] if one["id"] == entry["golden"])
        file = place / golden["outputs"][0]["file"]["path"]
        data = file.read_bytes()
        file.write_bytes(data[4:] + data[:4])  # each value at its neighbour's place

    repack(folder, spoil)
    answer = run(folder)
    error = only_error(answer)
    assert "dB from the golden output" in error
    assert error.endswith("wrong output, not timed")
    assert answer.results[0].parity.psnr_db < 60


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (b"no model", "is no ONNX model"),
        (b"1234ORTM", "onnxruntime refused the model: "),
        (b"", "onnxruntime refused the model: "),
    ],
)
def test_what_is_no_model_is_refused(model, line, folder, run):
    def spoil(manifest, place):
        (place / manifest["entries"][0]["components"][0]["files"][0]["path"]).write_bytes(model)

    repack(folder, spoil)
    assert line in only_error(run(folder))


@pytest.mark.parametrize(("needed", "too_old"), [("99.0.1", True), ("1.17.0", False), ("nightly", False)])
def test_an_engine_that_is_too_old_for_the_file_says_which_is_needed(needed, too_old, folder, run):
    """An operator set of the future, in a bundle that names the runtime that it was written for."""
    from onnx import TensorProto, helper

    def of_the_future(manifest, place):
        entry = manifest["entries"][0]
        component, entry["runtime_version"] = entry["components"][0], needed
        inside, outside = (
            helper.make_tensor_value_info(component[side][0]["name"], TensorProto.FLOAT, component[side][0]["shape"])
            for side in ("inputs", "outputs")
        )
        graph = helper.make_graph([helper.make_node("Relu", [inside.name], [outside.name])], "g", [inside], [outside])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 99)], ir_version=9)
        (place / component["files"][0]["path"]).write_bytes(model.SerializeToString())

    repack(folder, of_the_future)
    error = only_error(run(folder))
    if too_old:
        assert error.startswith(f"engine too old for the file: ONNX Runtime {onnxruntime.__version__} refused it (")
        assert error.endswith("; put a libonnxruntime.so of 99.0.1 or newer beside the runner")
    else:
        assert error.startswith("onnxruntime refused the model: ")


def test_a_tensor_of_another_name_is_refused(folder, run):
    def rename(manifest, place):
        entry = manifest["entries"][0]
        golden = next(one for one in manifest["golden"] if one["id"] == entry["golden"])
        golden["inputs"][0]["name"] = entry["components"][0]["inputs"][0]["name"] = "another"

    repack(folder, rename)
    assert "another" in only_error(run(folder))


def test_golden_values_that_are_missing_are_named(folder, run):
    def remove(manifest, place):
        for golden in manifest["golden"]:
            golden["outputs"][0]["name"] = "other"

    repack(folder, remove)
    assert "the bundle has no golden values for tensor" in only_error(run(folder))


def test_an_entry_of_another_runtime_needs_the_app(folder, run):
    repack(folder, lambda manifest, place: manifest["entries"][0].update(runtime="executorch"))
    answer = run(folder)
    assert only_error(answer).endswith("the native runner has ONNX Runtime alone; use --via app")
    assert answer.results[0].runtime == "executorch"


ANOTHER = "choose another, or put a libonnxruntime.so that has it beside the runner"
NOT_OURS: list[tuple[dict[str, Any], str]] = [
    ({"via": "app"}, "the Job is for via app, the native runner measures via shell"),
    ({"mode": "camera", "iterations": None, "duration_s": 1}, "mode camera needs the app: use --via app"),
    (
        {"mode": "sustained", "iterations": None, "duration_s": 1, "energy": True},
        "energy per frame needs the app: use --via app",
    ),
    ({"entry": "coreml-fp16"}, "there is no entry coreml-fp16 in the bundle"),
    ({"component": "decoder"}, "entry onnx-fp32 has the components generator, name one of them"),
    ({"provider": "vulkan"}, "ONNX Runtime in a shell has no provider vulkan"),
    ({"provider": "nnapi"}, f"ONNX Runtime has no provider NNAPI here: {ANOTHER}"),
    (
        {"provider": "xnnpack"},
        "ONNX Runtime has no provider XNNPACK here (XNNPACK execution provider is not supported in this build.): "
        f"{ANOTHER}",
    ),
    ({"compute_units": "cpu_and_gpu"}, "the native runner cannot choose compute units cpu_and_gpu"),
]


@pytest.mark.parametrize(("fields", "line"), NOT_OURS)
def test_what_it_cannot_do_is_said(fields, line, exported, folder, run):
    change_session(folder, lambda s: s["groups"][0]["jobs"][0].update(fields))
    assert only_error(run(folder)) == line


def test_a_broken_entry_leaves_those_that_it_takes_turns_with(exported, run, tmp_path):
    jobs = [shell_job(exported, entry="onnx-fp32-image"), shell_job(exported)]
    folder = write_session(tmp_path / "s", [exported], [jobs])
    next(manifest_of(folder).parent.glob("models/onnx-fp32-image/*")).write_bytes(b"")
    broken, sound = run(folder).results
    assert len(broken.errors) == 1
    assert (sound.errors, len(sound.frames)) == ([], 6)


def right_once(names: tuple[str, str], shape: list[int], runs: int) -> bytes:
    """A model that gives its input in its first run, and zeros in the run of that number."""
    from onnx import TensorProto, helper, numpy_helper

    for seed in range(100):
        nodes = [
            helper.make_node("RandomUniform", [], ["u"], shape=[1], seed=float(seed)),
            helper.make_node("Less", ["u", "half"], ["small"]),
            helper.make_node("Cast", ["small"], ["factor"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [names[0], "factor"], [names[1]]),
        ]
        graph = helper.make_graph(
            nodes,
            "right-once",
            [helper.make_tensor_value_info(names[0], TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(names[1], TensorProto.FLOAT, shape)],
            [numpy_helper.from_array(np.array([0.5], "f4"), "half")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        data = bytes(model.SerializeToString())
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        ones = np.ones(shape, "f4")
        answers = [session.run(None, {names[0]: ones})[0].max() for _ in range(runs)]
        if answers[0] == 1 and answers[-1] == 0:
            return data
    raise AssertionError("no seed does it")


def test_an_output_that_went_wrong_while_it_was_timed_is_found(folder, run):
    def replace(manifest, place):
        entry = manifest["entries"][0]
        component = entry["components"][0]
        golden = next(one for one in manifest["golden"] if one["id"] == entry["golden"])
        inside, outside = component["inputs"][0], component["outputs"][0]
        # One run for the golden check, one to warm up, six frames.
        model = right_once((inside["name"], outside["name"]), inside["shape"], 1 + 1 + 6)
        (place / component["files"][0]["path"]).write_bytes(model)
        files = [place / golden[side][0]["file"]["path"] for side in ("inputs", "outputs")]
        files[1].write_bytes(files[0].read_bytes())

    repack(folder, replace)
    answer = run(folder)
    assert only_error(answer).endswith("wrong output of the last timed frame")
    assert answer.results[0].parity.psnr_db is None
    assert answer.results[0].parity_after.psnr_db < 30


def test_a_disk_that_refuses_is_said_and_keeps_what_is_there(folder, built):
    command = [str(built / "pocketgan-runner"), str(folder), "--runtime", str(library())]
    whole = ["sh", "-c", 'ulimit -f 1; exec "$@"', "sh", *command]  # half a KiB, and no Result fits
    done = subprocess.run(whole, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "results.jsonl: results cannot be written: File too large" in done.stderr
    assert read_answer(folder).of_kind("result") == []
