"""What the page has to reach, in the system's Chromium; `make bench` runs it."""

from __future__ import annotations

import base64
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from chromium import chromium, local_url, needs_chromium, until
from fake_page import measuring
from ort_web import ort_web

from pocketgan.bench.devices.web.gathering import WebDevices
from pocketgan.bench.devices.web.options import WebOptions
from pocketgan.bench.jobs import JobOptions
from pocketgan.bench.journal import read_results
from pocketgan.bench.schema.job import Warmup
from pocketgan.bundle.reader import open_bundle

pytestmark = [needs_chromium, pytest.mark.heavy]
SEED = 20261126

# The page's own frames and bare ones, of one model in one runtime, one after the other.
LOOPS = """async ({ model, size, frames }) => {
  const { openEngine } = await import('/engine.js');
  const { TimedModel } = await import('/model.js');
  const { runtimeUrl } = await import('/modules.js');
  const names = ['ort.wasm.min.mjs', 'ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm'];
  const [library, loader, wasm] = await Promise.all(names.map(runtimeUrl));
  const engine = await openEngine('wasm', 1, { library, loader, wasm });
  const bytes = Uint8Array.from(atob(model), (letter) => letter.charCodeAt(0));
  const spec = (name) => ({
    name, shape: [1, 3, size, size], layout: 'NCHW', dtype: 'float32', value_range: [-1, 1], colour_space: 'RGB',
  });
  const golden = { dtype: 'float32', shape: [1, 3, size, size], data: new Float32Array(3 * size * size).fill(0.25) };
  const plan = {
    model: bytes, external: [], repeat: 1,
    inputs: [{ spec: spec('x'), golden }], outputs: [{ spec: spec('y'), golden }],
  };
  const clock = () => Math.round(performance.now() * 1e6);
  const timed = new TimedModel(plan, await engine.load(plan), clock);
  const ort = await import(library);
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ['wasm'] });
  const x = new ort.Tensor('float32', golden.data.slice(), golden.shape);
  const found = { bare: [], framed: [], around: [] };
  const bare = async () => {
    const before = performance.now();
    const { y } = await session.run({ x });
    await y.getData();
    found.bare.push(performance.now() - before);
  };
  const framed = async () => {
    const began = performance.now();
    const { pre_ns: pre, inference_ns: inference, post_ns: post } = await timed.frame(0);
    found.around.push(performance.now() - began - (pre + inference + post) / 1e6);
    found.framed.push(inference / 1e6);
  };
  for (let frame = 0; frame < frames; frame += 1) {
    // Neither is always the one that comes after the other.
    for (const one of frame % 2 ? [bare, framed] : [framed, bare]) await one();
  }
  return found;
}"""


def test_the_pages_loop_adds_little_to_an_inference(make_bundle: Any, tmp_path: Path) -> None:
    # About 5 ms on a core of a server: 16 convolutions, one after the other.
    size = 160
    with open_bundle(make_bundle(size=size, layers=16)) as bundle:
        model = b"".join(bundle.chunks("models/onnx-fp32/model.bin"))
    device = WebDevices(WebOptions(port=0, ort_web=ort_web()))
    with device.open(), chromium() as browser:
        page = browser.new_page()
        page.goto(device.urls[-1])
        until(page, lambda: page.inner_text("#title") == "Ready")
        asked = {"model": base64.b64encode(model).decode(), "size": size, "frames": 300}
        found = {name: statistics.median(times[50:]) for name, times in page.evaluate(LOOPS, asked).items()}
    framed, bare, around = (found[name] for name in ("framed", "bare", "around"))
    ratio = framed / bare
    print(f"page's loop: {framed:.3f} ms, bare {bare:.3f} ms ({ratio:.4f}), around it {around / bare:.4f} of that")
    assert ratio == pytest.approx(1, abs=0.02)
    assert around < 0.02 * bare


def test_the_first_timed_frame_comes_soon(make_bundle: Any, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "pocketgan", "bench", str(make_bundle(size=64)), "--device", "web", "--port", "0",
        "--out", str(tmp_path / "r.jsonl"), "--ort-web", str(ort_web()), "--warmup", "0", "--warmup-timeout", "0",
    ]  # fmt: skip
    with chromium() as browser:
        page = browser.new_page()
        began = time.monotonic()
        measures = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        page.goto(local_url(measures))
        until(page, lambda: page.get_attribute("body", "data-at") == "measuring" or page.locator("#results tr").count())
        seconds = time.monotonic() - began
        until(page, lambda: measures.poll() is not None)
    print(f"first timed frame {seconds:.1f} s after the command")
    assert seconds < 5


def test_four_pages_that_are_reloaded_lose_nothing_of_ten_bundles(make_bundle: Any, tmp_path: Path) -> None:
    rng = random.Random(SEED)
    bundles = [make_bundle(f"model{number}", size=32, layers=1 + number % 3) for number in range(10)]
    options = JobOptions(iterations=12, rounds=2, runs=3, warmup=Warmup(iterations=1, timeout_s=0))
    with measuring(bundles, tmp_path / "r.jsonl", ort_web(), options, phones=4, time_limit_s=600) as session:
        with chromium() as browser:
            pages = [browser.new_context().new_page() for _ in range(4)]
            for page in pages:
                page.goto(session.url)
            for page in pages:
                page.wait_for_timeout(rng.randrange(600))
                page.reload()
            until(pages[0], lambda: session.thread is None or not session.thread.is_alive(), 500)
        results = session.wait()
    assert [(len(result.frames), result.errors) for result in results] == [(12, [])] * 40
    kept = read_results([session.out]).results
    # Each run of each bundle on each phone, once.
    assert len(kept) == len({(one.device.name, one.bundle_name, one.job.run) for one in kept}) == 120
