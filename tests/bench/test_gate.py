"""The gate: never wrong by chance, finds what is there, and compares nothing that cannot be compared."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import noise
import numpy as np
import pytest
import synthetic_results as synthetic

from pocketgan.bench.gate import Verdict, compare, decide, read_tolerances
from pocketgan.bench.journal import BundleRecord, Results, read_results
from pocketgan.bench.report.verdicts import junit, markdown
from pocketgan.bench.schema.result import Result
from pocketgan.bench.statistics import paired_ratio
from pocketgan.errors import ResultsError

TOLERANCE, FRAMES, FIRST = 0.03, 10, 10
# Frames, of a turn's 10: the drift of a busy neighbour, and of a machine that grows warm.
CORRELATIONS = (5, 100)


def _turns(rng: np.random.Generator, rounds: int, correlation: float, slower: float) -> Any:
    """(rounds, 2, FRAMES) milliseconds of base and candidate, which share the machine's drift and begin by turns."""
    times = noise.frame_times(rng, rounds * 2 * FRAMES, correlation).reshape(rounds, 2, FRAMES)
    times[1::2] = times[1::2, ::-1]
    times[:, 1] *= slower
    return times


def verdict(rng: np.random.Generator, correlation: float, slower: float) -> tuple[Verdict, int]:
    """What a user gets who measures as many rounds as the gate asks for until it decides, and those rounds."""
    turns = _turns(rng, FIRST, correlation, slower)
    while True:
        ratio = paired_ratio(turns[:, 0].tolist(), turns[:, 1].tolist(), confidence=0.99)
        found, needed = decide(ratio, len(turns), 1 + TOLERANCE)
        if needed is None or len(turns) > 2000:
            return found, len(turns)
        turns = np.concatenate([turns, _turns(rng, needed - len(turns), correlation, slower)])


def verdicts(count: int, correlation: float, slower: float) -> tuple[Counter[Verdict], float]:
    rng = np.random.default_rng(17)
    found = [verdict(rng, correlation, slower) for _ in range(count)]
    return Counter(one for one, _ in found), float(np.median([rounds for _, rounds in found]))


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_the_same_model_is_hardly_ever_a_regression(correlation: float) -> None:
    found, _ = verdicts(200, correlation, 1.0)
    assert found[Verdict.REGRESSION] <= 2
    assert found[Verdict.PASS] >= 198


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_a_slow_down_is_found_within_the_rounds_that_the_gate_asks_for(correlation: float) -> None:
    found, _ = verdicts(100, correlation, 1.05)
    assert found[Verdict.REGRESSION] >= 95


@pytest.mark.heavy
def test_the_gate_on_thousands_of_comparisons() -> None:
    print(f"\n2,000 simulated comparisons each, tolerance {TOLERANCE:.0%}, turns of {FRAMES} frames")
    for correlation in CORRELATIONS:
        for slower in (1.0, 1.05):
            found, rounds = verdicts(2000, correlation, slower)
            wrong, right = (Verdict.REGRESSION, Verdict.PASS) if slower == 1 else (Verdict.PASS, Verdict.REGRESSION)
            print(
                f"{found[right] / 2000:6.1%} {right}, {found[wrong] / 2000:.2%} {wrong}: {slower - 1:.0%} slower, "
                f"drifts of {correlation} frames, {rounds:.0f} rounds in the median"
            )
            assert found[Verdict.REGRESSION] / 2000 <= 0.01 if slower == 1 else found[Verdict.REGRESSION] / 2000 >= 0.95


# Results as a device gives them.


def _side(
    slower: float = 1.0, entry: str = "onnx-fp32", seed: int = 0, name: str = "student", **changes: Any
) -> Results:
    """One result of ten rounds of ten frames, whose rounds drift as those of the other side do."""
    rng, own = np.random.default_rng(0), np.random.default_rng(seed)
    spells = np.repeat(rng.normal(1, 0.05, 10), 10)
    times = 12e6 * slower * spells * own.normal(1, 0.005, 100)
    frames = [
        {"start_ns": number, "pre_ns": 0, "inference_ns": int(time), "post_ns": 0, "round": number // 10}
        for number, time in enumerate(times)
    ]
    fields = {key: value for key, value in synthetic.result(name, entry, **changes).items() if key != "record"}
    record = {key: value for key, value in synthetic.bundle(name, with_samples=False).items() if key != "record"}
    found = Results()
    found.add(BundleRecord.model_validate(record))
    found.add(
        Result.model_validate({"frames": frames, **fields, **({} if "frames" in changes else {"frames": frames})})
    )
    return found


def test_the_ratio_is_that_of_turns_side_by_side() -> None:
    (pair,) = compare(_side(seed=1), _side(1.1, seed=2))
    assert pair.verdict is Verdict.REGRESSION
    p50 = pair.metrics[0]
    assert p50.metric == "p50"
    assert p50.ratio is not None
    assert p50.ratio.low < 1.1 < p50.ratio.high
    assert p50.ratio.high / p50.ratio.low < 1.02  # the spells of 5 % cancel
    assert compare(_side(seed=1), _side(seed=1))[0].verdict is Verdict.PASS


def test_sessions_that_did_not_take_turns_have_a_wider_interval() -> None:
    together, apart = (
        compare(_side(seed=1), _side(1.1, seed=2, session=session))[0].metrics[0].ratio
        for session in ("2026-11-21T09:30:00Z-7f3a", "another")
    )
    assert together is not None
    assert apart is not None
    assert np.log(apart.high / apart.low) > 3 * np.log(together.high / together.low)


def test_noise_is_told_with_the_rounds_that_would_decide() -> None:
    (pair,) = compare(_side(seed=1), _side(1.03, seed=2))
    assert pair.verdict is Verdict.NOISY
    assert pair.metrics[0].rounds is not None
    assert pair.metrics[0].rounds > 10


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"device": {**synthetic.DEVICE, "model": "husky"}}, "device: shiba and husky"),
        ({"device": {**synthetic.DEVICE, "os_build": "X"}}, "system: Android 15 AP4A.250205.002 and Android 15 X"),
        ({"device": {**synthetic.DEVICE, "simulated": True}}, "simulated: an emulator's times"),
        ({"runtime_version": "1.0"}, "runtime: onnxruntime 1.23.2 and onnxruntime 1.0"),
        ({"app_build": "debug"}, "build: release and debug"),
        ({"conditions": [{"at_ns": 0, "thermal_state": "serious", "charging": False}]}, "thermal state: nominal and"),
        ({"conditions": [{"at_ns": 0, "thermal_state": "nominal", "charging": True}]}, "charger: False and True"),
    ],
)
def test_what_cannot_be_compared_says_which_circumstance_differs(changes: dict[str, Any], expected: str) -> None:
    (pair,) = compare(_side(), _side(**changes))
    assert pair.verdict is Verdict.INCOMPARABLE
    assert any(difference.startswith(expected) for difference in pair.differences)


def test_threads_and_precisions_must_agree() -> None:
    changed = _side()
    changed.results[0] = changed.results[0].model_copy(
        update={"job": changed.results[0].job.model_copy(update={"threads": 1})}
    )
    assert compare(_side(), changed)[0].differences == ("threads: 4 and 1",)
    assert "precision: fp32 and fp16" in compare(_side(), _side(entry="coreml-fp16"))[0].differences


def test_every_metric_is_shown_and_judged_where_there_is_a_tolerance() -> None:
    tolerances = {"load": 0.1, "memory": 0.05, "size": 0.0, "parity": 1.0, "p90": 0.1}
    (pair,) = compare(_side(), _side(1.0, parity={"psnr_db": 100.0, "max_abs_error": 1e-4}), tolerances)
    found = {one.metric: one.verdict for one in pair.metrics}
    assert found == {
        "p50": None,
        "p90": Verdict.PASS,
        "first": None,
        "load": Verdict.NOISY,  # three loads decide nothing
        "memory": Verdict.PASS,
        "size": Verdict.PASS,
        "parity": Verdict.REGRESSION,
    }
    assert pair.verdict is Verdict.REGRESSION


def test_bundles_of_other_names_match_only_where_each_side_has_one() -> None:
    assert len(compare(_side(), _side(name="teacher"))) == 1
    both = _side()
    both.results += _side(entry="executorch-xnnpack-fp32").results
    both.bundles |= _side(name="resnet9").bundles
    with pytest.raises(ResultsError, match="share no entry: base has student executorch-xnnpack-fp32, student onnx"):
        compare(both, _side(name="teacher"))
    with pytest.raises(ResultsError, match="the candidate holds no timed result"):
        compare(both, Results())


def test_the_usual_results_compare_with_themselves(tmp_path: Path) -> None:
    results = read_results([synthetic.write_records(tmp_path / "results.jsonl", synthetic.usual_records())])
    pairs = compare(results, results)
    assert len(pairs) == 6
    # Five rounds leave a ratio open at 99 %.
    assert {pair.verdict for pair in pairs} == {Verdict.NOISY}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p50 = 0.05\nparity = 1", None),
        ("p5 = 0.05", "no metric 'p5'; there are p50, p90"),
        ("p50 = -1", "p50 needs a number of 0 or more"),
        ("p50 = '3%'", "p50 needs a number of 0 or more"),
        ("p50", "cannot read tolerances"),
    ],
)
def test_tolerances_come_from_toml(text: str, expected: str | None, tmp_path: Path) -> None:
    path = tmp_path / "gate.toml"
    path.write_text(text)
    if expected is None:
        assert read_tolerances(path) == {"p50": 0.05, "parity": 1.0}
    else:
        with pytest.raises(ResultsError, match=expected):
            read_tolerances(path)


def test_markdown_and_junit_say_the_same() -> None:
    tolerances = {"p50": 0.03, "size": 0.0, "parity": 0.0}
    pairs = compare(_side(seed=1), _side(1.1, seed=2), tolerances)
    table = markdown(pairs, pairs[0].verdict)
    assert table.startswith("### pocketgan: REGRESSION\n")
    assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) == 1
    (suite,) = ElementTree.fromstring(junit(pairs))
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "0")
    (failed,) = (case for case in suite if case.find("failure") is not None)
    assert failed.get("name") == "p50"
    (suite,) = ElementTree.fromstring(junit(compare(_side(), _side(app_build="debug"), tolerances)))
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "0", "3")
    assert "cannot be compared: build: release and debug" in str(suite[0][0].get("message"))


def test_components_are_judged_one_by_one() -> None:
    def side(slower: float) -> Results:
        found = _side(slower, seed=1)
        result, (digest, record) = found.results[0], next(iter(found.bundles.items()))
        entry = record.manifest.entry("onnx-fp32")
        parts = [entry.components[0].model_copy(update={"name": name}) for name in ("encoder", "denoiser")]
        manifest = record.manifest.model_copy(update={"entries": [entry.model_copy(update={"components": parts})]})
        found.bundles[digest] = record.model_copy(update={"manifest": manifest})
        jobs = [result.job.model_copy(update={"component": name}) for name in ("encoder", "denoiser")]
        found.results = [result.model_copy(update={"job": job}) for job in jobs]
        return found

    base, candidate = side(1.0), side(1.0)
    candidate.results[1] = side(1.2).results[1]
    pairs = compare(base, candidate, {"p50": 0.03, "size": 0.0})
    assert [(pair.entry, pair.verdict) for pair in pairs] == [
        ("onnx-fp32 encoder", Verdict.PASS),
        ("onnx-fp32 denoiser", Verdict.REGRESSION),
    ]
