"""Goals of speed of the Kotlin core: run by `make bench`, which prints what was measured; never part of `make test`."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kotlin_harness
import pytest

from pocketgan import api
from pocketgan.bundle.check import check
from pocketgan.bundle.manifest import Component, Entry, GoldenSet, GoldenTensor, Manifest, TensorSpec
from pocketgan.bundle.packing import pack_folder, record_file, write_manifest

pytestmark = pytest.mark.heavy
MEGABYTES = 100


def _seconds(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _large_bundle(folder: Path) -> Path:
    model, golden = "models/onnx-fp32/model.bin", "golden/one/x.bin"
    for name, data in ((model, os.urandom(MEGABYTES * 1_000_000)), (golden, bytes(4))):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(data)
    contract = TensorSpec(name="x", shape=[1], layout=None, dtype="float32", value_range=None, colour_space=None)
    tensor = GoldenTensor(name="x", dtype="float32", shape=[1], file=record_file(folder, golden))
    component = Component(
        name="main", entry_point="model.bin", files=[record_file(folder, model)], inputs=[contract], outputs=[contract]
    )
    entry = Entry(
        id="onnx-fp32",
        target="onnx",
        precision="fp32",
        runtime="onnxruntime",
        runtime_version="1",
        golden="one",
        components=[component],
    )
    (folder / "golden/one/y.bin").write_bytes(bytes(4))
    other = tensor.model_copy(update={"file": record_file(folder, "golden/one/y.bin")})
    golden_set = GoldenSet(id="one", inputs=[tensor], outputs=[other])
    write_manifest(folder, Manifest(name="large", role="student", trained=True, entries=[entry], golden=[golden_set]))
    pack_folder(folder, folder.parent / "large.pgb")
    return folder.parent / "large.pgb"


def test_verifying_100_mb_in_kotlin_takes_at_most_1_5_times_pythons_time(tmp_path: Path) -> None:
    path = _large_bundle(tmp_path / "large")
    kotlin_harness.ask("job", text="{}")  # the JVM has started
    first = _seconds(lambda: kotlin_harness.ask("bundle", path=str(path)))
    assert kotlin_harness.ask("bundle", path=str(path))["problems"] == check(path) == []
    # In turns, because the machine is not alone; the best of each.
    judge, own = (lambda: kotlin_harness.ask("bundle", path=str(path))), (lambda: check(path))
    pairs = [(_seconds(judge), _seconds(own)) for _ in range(9)]
    ours, theirs = (min(times) for times in zip(*pairs, strict=True))
    print(
        f"\nverifying {MEGABYTES} MB: Kotlin {ours * 1e3:.0f} ms (the first time in its process {first * 1e3:.0f}), "
        f"Python {theirs * 1e3:.0f} ms: {ours / theirs:.2f} times"
    )
    assert ours <= 1.5 * theirs


def test_the_loop_adds_less_than_one_percent(tmp_path: Path) -> None:
    """Against a bare loop over the same runtime that takes turns with it, on an inference of about 5 ms."""
    api.export("resnet6", "onnx", tmp_path / "x.pgb", ngf=8, input=(3, 144, 144), name="x", io="image", workers=1)
    api.open_bundle(tmp_path / "x.pgb").extract(tmp_path / "x")
    command = kotlin_harness.java("pocketgan.jvm.OverheadKt", str(tmp_path / "x"), "onnx-fp32-image")
    tests = str(kotlin_harness.ROOT / "jvm" / "target" / "test-classes")
    command[command.index("-cp") + 1] += f":{tests}"
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    # The fast tenth of each: where a neighbour took the processor, no loop is to blame.
    loop, bare = (_tenth([int(line.split()[side]) for line in lines]) for side in (0, 1))
    print(f"\nthe Kotlin loop adds {loop / bare - 1:+.2%} to a bare loop of {bare / 1e6:.2f} ms a frame")
    assert loop <= 1.01 * bare


def _tenth(times: list[int]) -> float:
    return statistics.quantiles(times, n=10)[0]
