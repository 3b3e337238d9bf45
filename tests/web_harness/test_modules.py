"""The page's modules in Node, without a browser: the conformance vectors, and figures that numpy gives as well."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketgan.bench.runners.loop import agreement
from pocketgan.bench.runners.picture import to_picture, to_tensor
from pocketgan.bench.runners.protocol import TensorPlan

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "web_harness"
VECTORS = ROOT / "bench" / "schema" / "conformance"
NODE, NPM = shutil.which("node"), shutil.which("npm")
TYPESCRIPT = "typescript@5.9.3"

pytestmark = pytest.mark.skipif(NODE is None, reason="needs Node.js (Debian: apt install nodejs)")

RUN = """
import fs from 'node:fs';
import { turns, framesOfRounds } from './turns.js';
import { warmUp } from './warmup.js';
import { agreement } from './parity.js';
import { PictureConverter } from './picture.js';
import { cast, tensorOf, halfOf, floatOf } from './tensor.js';
import { drawn } from './drawn.js';
import { FrameCount, middleOf } from './frames.js';
import { Shelf, medianOf } from './shelf.js';
import { modelPath } from './plan.js';
import { whenGone, whenSilent } from './lifeline.js';
const asked = JSON.parse(fs.readFileSync(0));
const does = {
  turns: ({ models, rounds }) => turns(models, rounds),
  rounds: ({ iterations, rounds }) => framesOfRounds(iterations, rounds),
  async warmup({ warmup, frames_ns: frames }) {
    let [now, number] = [1000, 0];
    const frame = async () => {
      const time = frames[Math.min(number, frames.length - 1)];
      number += 1;
      now += time;
      return time;
    };
    return warmUp(warmup, frame, () => now);
  },
  parity({ outputs, golden, range }) {
    const tensor = (values) => ({ dtype: 'float32', shape: [values.length], data: Float32Array.from(values) });
    try {
      return agreement([tensor(outputs)], [tensor(golden)], [range]);
    } catch (problem) {
      return problem.message;
    }
  },
  picture({ spec, picture, tensor }) {
    const converter = new PictureConverter(spec);
    const made = new Float32Array(tensor.length);
    converter.toTensor(Uint8Array.from(picture), made);
    const back = new Uint8ClampedArray(picture.length);
    converter.toPicture(Float32Array.from(tensor), back);
    return { tensor: [...made], picture: [...back] };
  },
  concepts({ manifest, entry, component, concept }) {
    const paths = (tensors) => tensors.map((tensor) => tensor.file.path);
    try {
      const found = drawn(manifest, entry, concept);
      const part = found.components.find((one) => component === null || one.name === component);
      return {
        model: modelPath(part), patch: found.patch, function: found.function,
        files: part.files.map((file) => file.path),
        inputs: paths(found.golden.inputs), outputs: paths(found.golden.outputs),
      };
    } catch (problem) {
      return { refused: problem.message };
    }
  },
  frames(events) {
    const count = new FrameCount();
    for (const [what, ...values] of events) count[what](...values);
    return { rate: count.rate, dropped: count.dropped };
  },
  middle: ({ picture, shape }) => middleOf(picture, shape),
  median: ({ values }) => medianOf(values),
  shelf({ manifest, results }) {
    const shelf = new Shelf();
    for (const { job, inference_ns, errors } of results) {
      shelf.add({ job, errors, frames: [{ pre_ns: 0, inference_ns, post_ns: 0 }] }, { job, manifest });
    }
    return shelf.choices.map(({ model, concept, work }) => [model, concept, work.job.provider]);
  },
  // Events: seconds without a word, or a word.
  silence(events) {
    const found = [];
    const worker = new EventTarget();
    const over = new AbortController();
    let tick;
    globalThis.setInterval = (ticked) => { tick = ticked; return 7; };
    globalThis.clearInterval = (number) => found.push(['ended', number]);
    whenSilent(worker, over.signal, (seconds) => found.push(seconds), (seconds) => found.push(['lost', seconds]));
    for (const event of events) {
      if (typeof event === 'string') worker.dispatchEvent(new Event('message'));
      else for (let left = event; left > 0; left -= 1) tick();
    }
    over.abort();
    return found.slice(-2);
  },
  // A browser grants a lock to the next in its queue once who holds it is gone; this one tells who asked when.
  lifeline(words) {
    const asked = [];
    Object.defineProperty(globalThis, 'navigator', { configurable: true, value: {
      locks: { request: async (name, how, gone) => { asked.push(name); gone(); } },
    } });
    const worker = new EventTarget();
    whenGone(worker, 'worker 1', new AbortController().signal, () => asked.push('gone'));
    for (const data of words) worker.dispatchEvent(Object.assign(new Event('message'), { data }));
    return asked;
  },
  halves: ({ values }) => values.map((value) => halfOf(value)),
  floats: ({ halves }) => halves.map((half) => String(floatOf(half))),
};
const answers = [];
for (const [what, value] of asked) answers.push(await does[what](value));
console.log(JSON.stringify(answers));
"""


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's modules where Node takes them for such."""
    folder = tmp_path_factory.mktemp("modules")
    for file in PAGE.glob("*.js"):
        shutil.copy(file, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "run.js").write_text(RUN)
    return folder


def ask(modules: Path, what: str, cases: list[Any]) -> list[Any]:
    asked = json.dumps([[what, case] for case in cases])
    done = subprocess.run([str(NODE), "run.js"], cwd=modules, input=asked, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def vectors(name: str) -> list[dict[str, Any]]:
    return list(json.loads((VECTORS / f"{name}.json").read_text("utf-8"))["cases"])


def test_models_take_turns_in_the_order_of_the_vectors(modules: Path) -> None:
    cases = vectors("turns")
    assert ask(modules, "turns", cases) == [case["turns"] for case in cases]


def test_iterations_are_split_into_rounds_as_the_vectors_say(modules: Path) -> None:
    cases = vectors("rounds")
    assert ask(modules, "rounds", cases) == [case["frames"] for case in cases]


def test_warm_up_ends_where_the_vectors_say(modules: Path) -> None:
    cases = vectors("warmup")
    wanted = [{name: case[name] for name in ("iterations", "duration_ns", "steady")} for case in cases]
    assert ask(modules, "warmup", cases) == wanted


def test_a_worker_that_says_nothing_is_lost_in_the_end(modules: Path) -> None:
    # A minute until its first word, four minutes after each.
    cases = [[59], [60], ["begun", 239], ["begun", 239, "progress", 239], ["begun", 200, "progress", 240]]
    told = [found[0] for found in ask(modules, "silence", cases)]
    assert told == [59, ["lost", 60], 239, 239, ["lost", 240]]


def test_a_page_waits_for_a_workers_lock_from_its_first_word_on(modules: Path) -> None:
    held, none = {"kind": "begun", "held": True}, {"kind": "begun", "held": False}
    cases = [[held], [{"kind": "progress"}], [none, {"kind": "progress"}]]
    assert ask(modules, "lifeline", cases) == [["worker 1", "gone"], [], []]


def test_a_concept_is_drawn_as_the_vectors_say(modules: Path) -> None:
    told = json.loads((VECTORS / "concepts.json").read_text("utf-8"))
    # A Core ML model is a folder, which no browser opens.
    cases = [case for case in told["cases"] if not case["entry"].startswith("coreml")]
    asked = [{**case, "manifest": told["manifests"][case["manifest"]]} for case in cases]
    drawn = ("model", "patch", "function", "files", "inputs", "outputs", "refused")
    wanted = [{name: case[name] for name in drawn if name in case} for case in cases]
    assert ask(modules, "concepts", asked) == wanted


def test_frames_that_nobody_saw_are_dropped(modules: Path) -> None:
    # The browser's own count goes from 1 to 2 to 5: two frames passed by the page. The second came too early.
    counted = [["came", True, 1], ["shown", 100], ["came", False, 2], ["came", True, 5], ["shown", 350]]
    uncounted = [["came", True], ["came", False], ["came", False]]
    slow = [["shown", 0], ["shown", 5000], ["shown", 9000]]
    found = ask(modules, "frames", [counted, uncounted, slow])
    # Two frames shown 250 ms apart are 4 a second; the last two of the slow ones are 4 s apart.
    assert found == [{"rate": 4, "dropped": 3}, {"rate": None, "dropped": 2}, {"rate": 0.25, "dropped": 0}]


def test_the_middle_of_a_camera_has_the_networks_shape(modules: Path) -> None:
    wide, tall = {"width": 1280, "height": 720}, {"width": 720, "height": 1280}
    square, flat = {"width": 256, "height": 256}, {"width": 512, "height": 256}
    cases = [{"picture": picture, "shape": shape} for picture, shape in ((wide, square), (tall, square), (tall, flat))]
    assert [tuple(one.values()) for one in ask(modules, "middle", cases)] == [
        (280, 0, 720, 720),
        (0, 280, 720, 720),
        (0, 460, 720, 360),
    ]


def test_the_camera_offers_what_was_right_by_the_faster_way(modules: Path) -> None:
    manifest = json.loads((VECTORS / "concepts.json").read_text("utf-8"))["manifests"]["pack"]
    results = [
        {"job": {"bundle": "b", "entry": entry, "concept": concept, "provider": provider}, **found}
        for entry, concept, provider, found in (
            ("onnx-fp32", None, "wasm", {"inference_ns": 9, "errors": []}),
            ("onnx-fp32", None, "webgpu", {"inference_ns": 5, "errors": []}),
            ("onnx-fp32", "ink", "wasm", {"inference_ns": 5, "errors": []}),
            ("onnx-fp32", "ink", "webgpu", {"inference_ns": 9, "errors": []}),
            ("onnx-fp32", "autumn", "wasm", {"inference_ns": 1, "errors": ["wrong output"]}),
            # Two components, each measured alone.
            ("onnx-fp16", "ink", "wasm", {"inference_ns": 1, "errors": []}),
        )
    ]
    assert ask(modules, "shelf", [{"manifest": manifest, "results": results}]) == [
        [["effects onnx-fp32", "night", "webgpu"], ["effects onnx-fp32", "ink", "wasm"]]
    ]
    assert ask(modules, "median", [{"values": [5, 1, 9]}, {"values": [9, 1, 5, 2]}]) == [5, 3.5]


def test_parity_is_what_python_says(modules: Path) -> None:
    rng = np.random.default_rng(3)
    golden = rng.uniform(-1, 1, 500).astype("f4")
    cases = [
        {"outputs": (golden + noise).tolist(), "golden": golden.tolist(), "range": value_range}
        for noise in (np.float32(0), rng.normal(0, 0.01, 500).astype("f4"))
        for value_range in ([-1, 1], None)
    ]
    for case, found in zip(cases, ask(modules, "parity", cases), strict=True):
        outputs, expected = (np.array(case[name], "f4") for name in ("outputs", "golden"))
        db, error = agreement([outputs], [expected], [case["range"] and tuple(case["range"])])
        assert found["max_abs_error"] == pytest.approx(error, rel=1e-6)
        assert found["psnr_db"] == (None if db is None else pytest.approx(db, abs=1e-6))


def test_what_cannot_be_compared_is_wrong_output(modules: Path) -> None:
    cases = [
        {"outputs": [1.0, 2.0], "golden": [1.0], "range": None},
        {"outputs": [1e39], "golden": [1.0], "range": None},
    ]
    assert ask(modules, "parity", cases) == [
        "output of shape (2), golden output of shape (1)",
        "the output holds values that are not finite",
    ]


def test_pictures_become_the_tensors_that_they_become_in_python(modules: Path) -> None:
    rng = np.random.default_rng(4)
    picture = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    tensor = rng.uniform(-1.2, 1.2, (1, 3, 5, 7)).astype("f4")
    cases, plans = [], []
    for value_range in ((-1.0, 1.0), (0.0, 1.0), (0.0, 255.0)):
        spec = {"shape": [1, 3, 5, 7], "layout": "NCHW", "dtype": "float32", "value_range": value_range}
        cases.append({"spec": spec, "picture": picture.ravel().tolist(), "tensor": tensor.ravel().tolist()})
        plans.append(TensorPlan("x", (1, 3, 5, 7), "NCHW", "float32", value_range, "RGB", "", "float32", (1, 3, 5, 7)))
    for plan, found in zip(plans, ask(modules, "picture", cases), strict=True):
        assert np.allclose(found["tensor"], to_tensor(picture, plan).ravel(), rtol=0, atol=3e-7 * 255)
        # Where rounding falls on a half, float32 and float64 differ by a level.
        assert np.abs(np.array(found["picture"]) - to_picture(tensor, plan).ravel().astype(int)).max() <= 1


def test_halves_are_those_of_numpy(modules: Path) -> None:
    every = np.arange(65536, dtype=np.uint16)
    (floats,) = ask(modules, "floats", [{"halves": every.tolist()}])
    expected = every.view(np.float16).astype(np.float64)
    assert np.array_equal(np.array([float(one.replace("Infinity", "inf")) for one in floats]), expected, equal_nan=True)
    rng = np.random.default_rng(5)
    values = np.concatenate([rng.normal(0, scale, 2000) for scale in (1e-7, 1e-4, 1.0, 3e4)]).astype("f4")
    edges = np.array(
        [0, 65504, 65519.996, 65520, 1e9, 2.0**-24, 2.0**-25, 2.0**-14, 1 + 2.0**-11, 1 + 3 * 2.0**-11], "f4"
    )
    values = np.concatenate([values, edges, -edges[1:]])
    (halves,) = ask(modules, "halves", [{"values": values.astype(float).tolist()}])
    with np.errstate(over="ignore"):
        assert halves == values.astype(np.float16).view(np.uint16).tolist()


@pytest.mark.slow
@pytest.mark.skipif(NPM is None, reason="needs npm (Debian: apt install npm)")
def test_the_types_of_the_page_hold(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("tsc")
    asked = [str(NPM), "install", "--silent", "--no-audit", "--no-fund", "--prefer-offline", TYPESCRIPT]
    (folder / "package.json").write_text('{"private": true}')
    fetched = subprocess.run(asked, cwd=folder, capture_output=True, text=True)
    if fetched.returncode:
        pytest.skip(f"npm cannot fetch {TYPESCRIPT}")
    done = subprocess.run(
        [str(folder / "node_modules" / ".bin" / "tsc"), "--project", str(PAGE / "jsconfig.json")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
