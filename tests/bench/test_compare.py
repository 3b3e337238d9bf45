"""`pocketgan compare`: two bundles in turns until the gate decides, two results files, and what it says of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic_results as synthetic

from pocketgan.bench.compare import compare_bundles
from pocketgan.bench.devices.local import LocalDevice
from pocketgan.bench.gate import TOLERANCES
from pocketgan.bench.jobs import JobOptions
from pocketgan.bench.schema.result import Frame, Result
from pocketgan.bench.verdict import Verdict
from pocketgan.errors import DeviceError

Command = Callable[..., subprocess.CompletedProcess[str]]


class _Steady(LocalDevice):
    """A device whose candidate is `slower` times as slow as the base, with `noise` from turn to turn."""

    def __init__(self, slower: float, noise: float, error: str | None = None) -> None:
        super().__init__()
        self.slower, self.noise, self.error = slower, noise, error
        self.random, self.asked = np.random.default_rng(0), []

    def lock(self) -> Any:
        return nullcontext()

    def run_interleaved(self, work: Sequence[Any], *, session: str = "", tick: Any = None) -> list[Result]:
        self.asked.append(work[0][1].rounds)
        found = []
        for side, (bundle, job) in enumerate(work):
            spells = self.random.normal(1, self.noise, job.rounds)
            times = 1e7 * (self.slower if side else 1) * np.repeat(spells, job.iterations // job.rounds)
            frames = [
                Frame(
                    start_ns=0, pre_ns=0, inference_ns=int(time), post_ns=0, round=number * job.rounds // job.iterations
                )
                for number, time in enumerate(times)
            ]
            found.append(
                Result(
                    session=session, job=job, bundle_name=bundle.manifest.name, device=self.describe(),
                    runtime="onnxruntime", runtime_version="1", app_build="release", started_at="now",
                    frames=[] if self.error else frames, errors=[self.error] if self.error else [],
                )
            )  # fmt: skip
        return found


def _judged(device: _Steady, base: Path, candidate: Path, most: int = 160) -> Any:
    (found,) = compare_bundles(base, candidate, device, JobOptions(rounds=10), tolerances=TOLERANCES, most_rounds=most)
    assert len(found.base) == len(found.candidate) == len(device.asked)
    return found.pair


@pytest.mark.parametrize(
    ("slower", "noise", "verdict"),
    [(1.0, 0.005, Verdict.PASS), (1.05, 0.005, Verdict.REGRESSION), (1.05, 0.03, Verdict.REGRESSION)],
)
def test_it_measures_until_the_gate_decides(
    slower: float, noise: float, verdict: Verdict, make_bundle: Callable[..., Path]
) -> None:
    device = _Steady(slower, noise)
    pair = _judged(device, make_bundle("a"), make_bundle("b", layers=2))
    assert pair.verdict is verdict
    assert pair.metrics[0].ratio.low < slower < pair.metrics[0].ratio.high
    assert device.asked[:2] == [5, 5]
    assert (len(device.asked) > 2) == (noise == 0.03)


def test_at_the_most_rounds_it_stays_undecided(make_bundle: Callable[..., Path]) -> None:
    device = _Steady(1.03, 0.02)
    pair = _judged(device, make_bundle("a"), make_bundle("b"), most=18)
    assert pair.verdict is Verdict.NOISY
    assert pair.metrics[0].rounds > 18
    assert device.asked == [5, 5, 5, 3]


def test_a_budget_is_measured_until_it_is_decided(make_bundle: Callable[..., Path]) -> None:
    """Frames of 10 ms, whose rounds spread by 5 %, against budgets near by and far off."""
    asked = {}
    for budget_ms, verdict in ((20.0, Verdict.PASS), (10.3, Verdict.PASS), (9.7, Verdict.TOO_SLOW)):
        device = _Steady(1.0, 0.05)
        (found,) = compare_bundles(
            make_bundle("a"), make_bundle("b"), device, JobOptions(rounds=10), {}, 160, budget_ms=budget_ms
        )
        assert found.pair.budget is not None
        assert found.pair.budget.verdict is verdict
        asked[budget_ms] = sum(device.asked)
    assert asked[20.0] < min(asked[10.3], asked[9.7])


def test_a_budget_of_the_command_line(pocketgan: Command, make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    bundle = make_bundle("a")
    done = pocketgan(
        "compare", bundle, bundle, "--max-slowdown", "900%", "--min-fps", "1", "--markdown", "s.md", "--json"
    )
    found = json.loads(done.stdout)
    assert (done.returncode, found["verdict"]) == (0, "PASS")
    assert found["pairs"][0]["budget"]["limit_ms"] == 1000
    assert found["pairs"][0]["budget"]["share_within"] == 1
    assert "| within 1000 ms | 100 % | 100 % |" in (tmp_path / "s.md").read_text()
    done = pocketgan("compare", bundle, bundle, "--max-slowdown", "900%", "--max-ms", "0.000001")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "TOO SLOW")


def test_what_fails_cannot_be_compared(make_bundle: Callable[..., Path]) -> None:
    with pytest.raises(DeviceError, match="onnx-fp32 cannot be compared: differs from the golden output"):
        _judged(_Steady(1, 0.01, "differs from the golden output"), make_bundle("a"), make_bundle("b"))


def test_more_layers_are_a_regression_and_the_same_file_passes(
    pocketgan: Command, make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    base, candidate = make_bundle("a", size=64), make_bundle("b", size=64, layers=12)
    done = pocketgan(
        "compare", base, candidate, "--rounds", 8, "--markdown", "summary.md", "--junit", "gate.xml", "--json"
    )
    found = json.loads(done.stdout)
    assert (done.returncode, found["verdict"]) == (1, "REGRESSION")
    assert found["ci_low"] > 1.03
    assert found["pairs"][0]["metrics"]["p50"]["tolerance"] == 0.03
    assert "| p50 |" in (tmp_path / "summary.md").read_text()
    assert 'failures="1"' in (tmp_path / "gate.xml").read_text()

    done = pocketgan("compare", base, base, "--rounds", 8, "--max-slowdown", "200%")
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "PASS"


@pytest.mark.heavy
def test_one_more_layer_is_found_with_its_ratio_and_the_same_file_passes(
    pocketgan: Command, make_bundle: Callable[..., Path]
) -> None:
    base = make_bundle("main", size=256, layers=10)
    candidate = make_bundle("candidate", size=256, layers=11)
    longer, same = (
        json.loads(pocketgan("compare", base, other, "--rounds", 40, "--json").stdout) for other in (candidate, base)
    )
    print()
    for what, found in (("11 layers against 10", longer), ("the same file against itself", same)):
        interval = f"{found['ci_low']:.3f} to {found['ci_high']:.3f}"
        print(f"{what}: {found['verdict']}, {found['ratio']:.3f} ({interval})")
    # A layer's share is not quite a tenth: pictures are converted too.
    assert longer["verdict"] == "REGRESSION"
    assert longer["ci_low"] < 1.09 < longer["ci_high"]
    assert same["verdict"] == "PASS"


def test_results_files_are_compared_too(pocketgan: Command, tmp_path: Path) -> None:
    for name, session in (("student", "monday"), ("teacher", "tuesday")):
        records = [synthetic.bundle(name), synthetic.result(name, "onnx-fp32", session=session)]
        synthetic.write_records(tmp_path / f"{name}.jsonl", records)
    done = pocketgan("compare", "student.jsonl", "teacher.jsonl")
    assert done.returncode == 1, done.stdout
    assert done.stdout.splitlines()[-1] == "REGRESSION"
    # One sample.
    assert "too few samples" in next(line for line in done.stdout.splitlines() if line.startswith("first"))
    done = pocketgan("compare", "student.jsonl", "student.jsonl")  # five rounds, which leave 99 % open
    assert done.returncode == 3, done.stdout
    assert done.stdout.splitlines()[-1] == "NOISY"
    assert "to decide, measure both in turns: pocketgan compare BASE.pgb CANDIDATE.pgb" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("a.pgb", "b.jsonl"), "two bundles, two results files"),
        (("a.pgb", "none.pgb"), "there is no such file"),
        (("a.pgb", "a.pgb", "--max-slowdown", "3"), "is a percentage such as 3%"),
        (("a.pgb", "a.pgb", "--entry", "coreml-fp16"), "has no entry coreml-fp16; it has: onnx-fp32"),
        (("a.pgb", "a.pgb", "--tolerances", "none.toml"), "cannot read tolerances"),
        (("a.pgb", "a.pgb", "--min-fps", "0"), "--min-fps is a positive number, not 0"),
        (("a.pgb", "a.pgb", "--wait", "soon"), "--wait is a time such as 90s, 10m or 1h"),
    ],
)
def test_mistakes_are_one_line(
    arguments: tuple[str, ...], expected: str, pocketgan: Command, make_bundle: Callable[..., Path]
) -> None:
    make_bundle("a")
    done = pocketgan("compare", *arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
