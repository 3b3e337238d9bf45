from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketgan.bench.devices.device import Tick
from pocketgan.bench.jobs import JobOptions
from pocketgan.bench.journal import SampleRow, read_results
from pocketgan.bench.schema.job import Job
from pocketgan.bench.schema.result import DeviceInfo, Frame, Result
from pocketgan.bench.session import measure
from pocketgan.bench.statistics import frame_times, frames_needed, half_width, percentile_interval
from pocketgan.bundle.manifest import Entry
from pocketgan.bundle.reader import Bundle, open_bundle
from pocketgan.errors import BundleError, DeviceError

QUICK = JobOptions(iterations=4, rounds=2, runs=1)


class FakeDevice:
    """Answers at once; remembers what it was asked."""

    name = "fake"
    simulated = False
    runtimes = ("onnxruntime",)

    def __init__(self, broken: bool = False) -> None:
        self.turns: list[list[tuple[str, str]]] = []
        self.broken = broken
        self.locked = False

    def describe(self) -> DeviceInfo:
        return DeviceInfo(
            name=self.name, model="m", kind="local", os="o", os_build="b", cpu="c", cores=1, memory_bytes=1
        )

    def runs(self, entry: Entry) -> bool:
        return entry.runtime in self.runtimes

    @contextmanager
    def lock(self) -> Iterator[None]:
        self.locked = True
        yield
        self.locked = False

    def run(self, bundle: Bundle, job: Job) -> Result:
        return self.run_interleaved([(bundle, job)])[0]

    def run_interleaved(
        self, work: Sequence[tuple[Bundle, Job]], *, session: str = "", tick: Tick | None = None
    ) -> list[Result]:
        assert self.locked
        self.turns.append([(bundle.manifest.name, job.entry) for bundle, job in work])
        frame = Frame(start_ns=0, pre_ns=0, inference_ns=1, post_ns=0, round=0)
        return [
            Result(
                session=session,
                job=job,
                bundle_name=bundle.manifest.name,
                device=self.describe(),
                runtime="onnxruntime",
                runtime_version="1",
                app_build="release",
                started_at="2026-01-01T00:00:00+00:00",
                frames=[] if self.broken else [frame],
                errors=["wrong output"] if self.broken else [],
            )
            for bundle, job in work
        ]

    def check(self, work: Sequence[tuple[Bundle, str, str | None]]) -> list[list[str]]:
        return [[] for _ in work]


def test_bundles_with_the_same_entry_take_turns_in_one_session(
    make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    device = FakeDevice()
    bundles = [make_bundle("a"), make_bundle("b", layers=2), make_bundle("c", target="other")]
    results = measure(bundles, device, QUICK, tmp_path / "r.jsonl")
    assert device.turns == [[("a", "onnx-fp32"), ("b", "onnx-fp32")], [("c", "other-fp32")]]
    assert [result.bundle_name for result in results] == ["a", "b", "c"]
    assert len({result.session for result in results}) == 1
    written = read_results([tmp_path / "r.jsonl"])
    assert written.results == results
    assert {record.manifest.name for record in written.bundles.values()} == {"a", "b", "c"}


def test_a_second_run_continues_the_file_with_a_new_session(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    bundle, out = make_bundle(), tmp_path / "r.jsonl"
    for _ in range(2):
        measure([bundle], FakeDevice(), QUICK, out)
    written = read_results([out])
    assert len({result.session for result in written.results}) == 2
    assert len(written.bundles) == 1


def test_resume_measures_only_what_is_missing(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    a, b, out = make_bundle("a"), make_bundle("b", layers=2), tmp_path / "r.jsonl"
    first = measure([a], FakeDevice(), QUICK, out)
    device = FakeDevice()
    results = measure([a, b], device, QUICK, out, resume=True)
    assert device.turns == [[("b", "onnx-fp32")]]
    assert results[0] == first[0]
    assert results[1].bundle_name == "b"


@pytest.mark.parametrize(
    "other",
    [
        JobOptions(iterations=5, rounds=2, runs=1),
        JobOptions(iterations=4, rounds=2, runs=1, threads=2),
        JobOptions("sustained", duration_s=1),
    ],
)
def test_resume_measures_again_what_was_measured_otherwise(
    make_bundle: Callable[..., Path], tmp_path: Path, other: JobOptions
) -> None:
    bundle, out = make_bundle(), tmp_path / "r.jsonl"
    measure([bundle], FakeDevice(), QUICK, out)
    device = FakeDevice()
    measure([bundle], device, other, out, resume=True)
    assert len(device.turns) == 1


def test_resume_tries_failed_results_again(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    bundle, out = make_bundle(), tmp_path / "r.jsonl"
    measure([bundle], FakeDevice(broken=True), QUICK, out)
    assert measure([bundle], FakeDevice(), QUICK, out, resume=True)[0].frames


def test_frames_are_split_over_runs_whose_groups_change_order(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    device, out = FakeDevice(), tmp_path / "r.jsonl"
    bundles = [make_bundle("a"), make_bundle("b", target="other")]
    results = measure(bundles, device, JobOptions(iterations=20, rounds=6, runs=3), out)
    one, other = [("a", "onnx-fp32")], [("b", "other-fp32")]
    assert device.turns == [one, other, other, one, one, other]
    assert [(result.job.iterations, result.job.rounds, len(result.frames)) for result in results] == [(21, 6, 3)] * 2
    written = read_results([out]).results
    assert [(result.job.run, result.job.iterations, result.job.rounds) for result in written[::2]] == [
        (run, 7, 2) for run in range(3)
    ]


def test_an_interrupted_session_goes_on_where_it_was(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    class Interrupted(FakeDevice):
        def run_interleaved(self, *arguments: Any, **options: Any) -> list[Result]:
            if len(self.turns) == 3:
                raise KeyboardInterrupt
            return super().run_interleaved(*arguments, **options)

    bundles, out = [make_bundle("a"), make_bundle("b", target="other")], tmp_path / "r.jsonl"
    options = JobOptions(iterations=6, rounds=3, runs=3)
    with pytest.raises(KeyboardInterrupt):
        measure(bundles, Interrupted(), options, out)
    assert len(read_results([out]).results) == 3
    device = FakeDevice()
    results = measure(bundles, device, options, out, resume=True)
    assert len(device.turns) == 3
    written = read_results([out]).results
    assert len({result.session for result in written}) == 1
    assert sorted((result.bundle_name, result.job.run) for result in written) == [
        (name, run) for name in "ab" for run in range(3)
    ]
    assert [len(result.frames) for result in results] == [3, 3]


def test_a_sustained_session_is_one_run_of_seconds(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    device = FakeDevice()
    (result,) = measure([make_bundle()], device, JobOptions("sustained", duration_s=7), tmp_path / "r.jsonl")
    assert (result.job.iterations, result.job.duration_s, result.job.rounds) == (None, 7, 1)


def test_runs_go_on_until_the_median_is_known_well_enough(
    make_bundle: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Noisy(FakeDevice):
        random = np.random.default_rng(2)

        def run_interleaved(self, work: Sequence[tuple[Bundle, Job]], **options: Any) -> list[Result]:
            times = (1e7 * self.random.normal(1, 0.02, 20)).astype(int)
            frames = [Frame(start_ns=0, pre_ns=0, inference_ns=int(time), post_ns=0, round=0) for time in times]
            return [result.model_copy(update={"frames": frames}) for result in super().run_interleaved(work, **options)]

    device, bundle = Noisy(), make_bundle()
    options = JobOptions(iterations=40, runs=2, until=0.005, most_runs=40)
    (result,) = measure([bundle], device, options, tmp_path / "a.jsonl")
    assert 2 < len(device.turns) < 40
    assert len(result.frames) == 20 * len(device.turns)
    assert half_width(percentile_interval(frame_times(result.frames))) <= 0.005
    told = re.search(r"not yet known to ±0.5 %: about (\d+) more runs, 40 in all at most", capsys.readouterr().err)
    assert told is not None
    early = [time for run in read_results([tmp_path / "a.jsonl"]).results[:2] for time in frame_times(run.frames)]
    wished = frames_needed(percentile_interval(early), len(early), 0.005)
    assert int(told[1]) == math.ceil((wished - len(early)) / 20)
    device = Noisy()
    measure([bundle], device, replace(options, most_runs=4), tmp_path / "b.jsonl")
    assert len(device.turns) == 4
    assert "not known to ±0.5 % after 4 runs; --most-runs allows more" in capsys.readouterr().err
    device = Noisy()
    measure([bundle], device, replace(options, until=0.5), tmp_path / "c.jsonl")
    assert len(device.turns) == 2
    assert "known" not in capsys.readouterr().err


def test_samples_reach_the_results_file(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    bundle, out = make_bundle(), tmp_path / "r.jsonl"
    with open_bundle(bundle) as opened:
        digest = opened.digest
    measure([bundle], FakeDevice(), QUICK, out, samples={digest: [SampleRow(output="bw==")]})
    assert read_results([out]).bundles[digest].samples == [SampleRow(output="bw==")]


def test_nothing_to_run_says_what_there_is_and_writes_nothing(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    bundle, out = make_bundle(runtime="coreml", target="coreml"), tmp_path / "r.jsonl"
    with pytest.raises(DeviceError, match=r"fake can run none of the entries of .*\(coreml-fp32\).*onnxruntime"):
        measure([bundle], FakeDevice(), QUICK, out)
    with pytest.raises(DeviceError, match="has no entry onnx-int8; it has: coreml-fp32"):
        measure([bundle], FakeDevice(), JobOptions(entry="onnx-int8"), out)
    assert not out.exists()


def test_a_damaged_bundle_is_refused_before_anything_runs(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    bundle = make_bundle()
    bundle.write_bytes(bundle.read_bytes()[:-30])
    with pytest.raises(BundleError):
        measure([bundle], FakeDevice(), QUICK, tmp_path / "r.jsonl")
    assert not (tmp_path / "r.jsonl").exists()
