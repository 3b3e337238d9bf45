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

from pocketgan.bench.budget import hold
from pocketgan.bench.compare import ROUNDS_A_PROCESS
from pocketgan.bench.gate import compare, read_tolerances
from pocketgan.bench.journal import BundleRecord, Results, read_results
from pocketgan.bench.judging import decide
from pocketgan.bench.looks import confidence_of_each, looks
from pocketgan.bench.report.verdicts import junit, markdown, remarks, rows
from pocketgan.bench.schema.result import Result
from pocketgan.bench.statistics import Interval, round_interval
from pocketgan.bench.verdict import Verdict
from pocketgan.errors import ResultsError

TOLERANCE, FRAMES, FIRST, MOST = 0.03, 10, 10, 160
# Frames, of a turn's 10: the drift of a busy neighbour, and of a machine that grows warm.
CORRELATIONS = (5, 100)


def _turns(rng: np.random.Generator, rounds: int, correlation: float, slower: float) -> Any:
    """(rounds, 2, FRAMES) milliseconds of base and candidate, which share the machine's drift and begin by turns."""
    times = noise.frame_times(rng, rounds * 2 * FRAMES, correlation).reshape(rounds, 2, FRAMES)
    times[1::2] = times[1::2, ::-1]
    times[:, 1] *= slower
    return times


def verdict(rng: np.random.Generator, correlation: float, slower: float) -> tuple[Verdict, int]:
    """What `pocketgan compare` says at its last look, and after how many rounds that was."""
    schedule = looks(FIRST, MOST, 0.99, ROUNDS_A_PROCESS)
    # (rounds, 2): as `paired_ratio` takes the medians of turns, all at once.
    medians = np.median(_turns(rng, MOST, correlation, slower), axis=2)
    logs = np.log(medians[:, 1] / medians[:, 0])
    for rounds in schedule:
        found, needed = _look(logs[:rounds], len(schedule), 1 + TOLERANCE)
        if needed is None:
            break
    return found, rounds


def _look(logs: np.ndarray, count: int, bound: float) -> tuple[Verdict, int | None]:
    """What the gate says of log ratios at one of `count` looks."""
    centre = round_interval(logs.tolist(), confidence_of_each(0.99, count))
    low, estimate, high = np.exp([centre.low, centre.estimate, centre.high]).tolist()
    return decide(Interval(estimate, low, high, centre.confidence), len(logs), bound)


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


def test_many_looks_are_wrong_no_more_often_than_one() -> None:
    """At the bound itself every verdict is wrong: 0.5 % a side. Looking at 99 % each time it would be some 2 %."""
    rng, wrong = np.random.default_rng(23), Counter[Verdict]()
    schedule = looks(10, 80, 0.99)
    for _ in range(2000):
        logs = 0.02 * rng.standard_normal(schedule[-1])
        for rounds in schedule:
            found, needed = _look(logs[:rounds], len(schedule), 1.0)
            if needed is None:
                wrong[found] += 1
                break
    assert 1 <= wrong[Verdict.REGRESSION] <= 10
    assert 1 <= wrong[Verdict.PASS] <= 10


@pytest.mark.heavy
def test_the_gate_on_thousands_of_comparisons() -> None:
    count = 2000
    print(f"\n{count:,} simulated comparisons each, tolerance {TOLERANCE:.0%}, {MOST} turns of {FRAMES} frames at most")
    for correlation in CORRELATIONS:
        for slower in (1.0, 1 + TOLERANCE, 1.05):
            found, rounds = verdicts(count, correlation, slower)
            shares = {one: found[one] / count for one in (Verdict.PASS, Verdict.REGRESSION, Verdict.NOISY)}
            print(
                f"{slower - 1:.0%} slower, drifts of {correlation:3} frames, {rounds:3.0f} rounds in the median: "
                + ", ".join(f"{share:.2%} {one}" for one, share in shares.items())
            )
            if slower == 1 + TOLERANCE:
                # Three standard errors above 0.5 %.
                assert max(shares[Verdict.PASS], shares[Verdict.REGRESSION]) <= 0.01
            elif slower == 1:
                assert shares[Verdict.REGRESSION] <= 0.01
                assert shares[Verdict.PASS] >= 0.95
            else:
                assert shares[Verdict.REGRESSION] >= 0.95
                assert shares[Verdict.PASS] <= 0.01


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


def test_sessions_apart_are_told_with_the_command_that_decides() -> None:
    (pair,) = compare(_side(seed=1), _side(1.03, seed=2, session="another"))
    assert pair.verdict is Verdict.NOISY
    assert not pair.took_turns
    assert pair.metrics[0].rounds is None
    (told,) = remarks(pair)
    assert "measured in different sessions and did not take turns" in told
    assert told.endswith("pocketgan compare BASE.pgb CANDIDATE.pgb --entry onnx-fp32 --threads 4 --device 'Pixel 8'")
    assert "--most-rounds" not in told
    # In turns, but not enough of them: more rounds of a file that is there cannot be asked for either.
    (pair,) = compare(_side(seed=1), _side(1.03, seed=2, name="teacher"))
    (told,) = remarks(pair)
    assert "too few rounds" in told
    assert told.endswith("pocketgan compare student.pgb teacher.pgb --entry onnx-fp32 --threads 4 --device 'Pixel 8'")


def test_a_farms_sessions_are_told_what_a_farm_can_do() -> None:
    far: dict[str, Any] = {"device": {**synthetic.DEVICE, "name": "farm"}}
    (pair,) = compare(_side(seed=1, **far), _side(1.03, seed=2, session="another", **far))
    (told,) = remarks(pair)
    assert told.endswith("pocketgan bench BASE.pgb CANDIDATE.pgb --entry onnx-fp32 --threads 4 --device farm:DIR")


def test_entries_of_other_input_sizes_or_types_are_incomparable() -> None:
    def changed(**fields: Any) -> Results:
        found = _side()
        digest, record = next(iter(found.bundles.items()))
        entries = []
        for entry in record.manifest.entries:
            component = entry.components[0]
            inputs = [one.model_copy(update=fields) for one in component.inputs]
            entries.append(entry.model_copy(update={"components": [component.model_copy(update={"inputs": inputs})]}))
        manifest = record.manifest.model_copy(update={"entries": entries})
        found.bundles[digest] = record.model_copy(update={"manifest": manifest})
        return found

    (pair,) = compare(_side(), changed(shape=[1, 3, 128, 128]))
    assert pair.verdict is Verdict.INCOMPARABLE
    assert pair.differences == ("input: 1x3x256x256 float32 and 1x3x128x128 float32",)
    assert pair.input == "3x128x128"
    (pair,) = compare(_side(), changed(dtype="uint8"))
    assert pair.differences == ("input: 1x3x256x256 float32 and 1x3x256x256 uint8",)
    # What a tensor is called is no difference.
    assert compare(_side(), changed(name="x"))[0].differences == ()


@pytest.mark.parametrize(
    ("limit_ms", "expected"), [(20.0, Verdict.PASS), (12.05, Verdict.NOISY), (8.0, Verdict.TOO_SLOW)]
)
def test_a_budget_is_held_missed_or_undecided(limit_ms: float, expected: Verdict) -> None:
    """The frames take 12 ms, with spells of 5 %."""
    (pair,) = compare(_side(seed=1), _side(seed=1), {"p50": 0.03}, limit_ms)
    assert pair.verdict is expected
    assert pair.budget is not None
    assert pair.budget.frame.low < 12 < pair.budget.frame.high
    assert pair.budget.share_within == {20.0: 1.0, 8.0: 0.0}.get(limit_ms, pytest.approx(0.5, abs=0.3))
    assert (pair.budget.frames is not None) == (expected is Verdict.NOISY)
    told = {row[0]: row for row in rows(pair)}
    assert told["budget"][-1] == expected
    assert f"within {limit_ms:.4g} ms" in told
    assert f"| budget | - | {pair.budget.frame.estimate:.4g} ms |" in markdown([pair], pair.verdict)
    (suite,) = ElementTree.fromstring(junit([pair]))
    case = next(one for one in suite if one.get("name") == "budget")
    assert [one.tag for one in case] == {Verdict.PASS: [], Verdict.TOO_SLOW: ["failure"]}.get(expected, ["skipped"])


def test_a_budget_counts_beside_what_cannot_be_compared() -> None:
    base, other = _side(), _side(app_build="debug")
    assert compare(base, other, None, 20.0)[0].verdict is Verdict.INCOMPARABLE
    assert compare(base, other, None, 8.0)[0].verdict is Verdict.TOO_SLOW
    emulated = _side(device={**synthetic.DEVICE, "simulated": True}).results[0]
    assert hold(emulated, 20.0).verdict is Verdict.INCOMPARABLE


def test_text_of_results_stays_text_in_markdown() -> None:
    attack = "1.0 <img src=x onerror=alert(1)> | @octocat #7 [x](https://evil.example) `code` *b*\n# head"
    pairs = compare(_side(), _side(runtime_version=attack))
    text = markdown(pairs, pairs[0].verdict)
    assert not any(mark in text for mark in ("<img", "@octocat", "#7", "https:", " [x]", " | @", "\n# head"))
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert len({line.count("|") - line.count("\\|") for line in text.splitlines() if line.startswith("|")}) == 1


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


JOB = synthetic.result("student", "onnx-fp32")["job"]
CLOCK = {"regime": "pinned", "before_mhz": 1800.0, "after_mhz": 1800.0}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"job": {**JOB, "via": "shell"}}, "via: app and shell"),
        ({"job": {**JOB, "via": "app", "provider": "nnapi"}}, "provider: default and nnapi"),
        (
            {"job": {**JOB, "via": "app"}, "placement": {"requested": "xnnpack", "planned": {"cpu": 3}}},
            "provider: default and xnnpack",
        ),
        ({"job": {**JOB, "via": "app", "clock": "pinned"}, "clock": CLOCK}, "clock: free and pinned at 1800 MHz"),
        ({"job": {**JOB, "via": "app", "clock": "pinned"}}, "clock: free and pinned at unknown"),
        (
            {"conditions": [{"at_ns": 0, "power_save": False}, {"at_ns": 9, "power_save": True}]},
            "power-save: off and on",
        ),
        ({"conditions": [{"at_ns": 0, "screen_on": False}]}, "screen: on and off"),
        ({"device": {**synthetic.DEVICE, "simulated": True}}, "simulated: an emulator's times"),
    ],
)
def test_circumstances_of_devices_elsewhere_are_named_where_they_differ(changes: dict[str, Any], expected: str) -> None:
    usual: dict[str, Any] = {"job": {**JOB, "via": "app"}, "schema_version": "1.1", "conditions": []}
    (pair,) = compare(_side(**usual), _side(**{**usual, **changes}))
    assert pair.verdict is Verdict.INCOMPARABLE
    assert [difference for difference in pair.differences if difference.startswith(expected)] == list(pair.differences)


def test_clocks_that_were_held_at_one_frequency_can_be_compared() -> None:
    pinned: dict[str, Any] = {"job": {**JOB, "clock": "pinned"}, "clock": CLOCK, "schema_version": "1.1"}
    assert compare(_side(**pinned), _side(**pinned))[0].differences == ()
    faster: dict[str, Any] = {**pinned, "clock": {**CLOCK, "before_mhz": 2400.0}}
    assert compare(_side(**pinned), _side(**faster))[0].differences == (
        "clock: pinned at 1800 MHz and pinned at 2400 MHz",
    )


def test_results_of_the_first_schema_compare_with_later_ones() -> None:
    told = [{"at_ns": 0, "thermal_state": "nominal", "charging": False}]
    old = _side(seed=1, conditions=told)
    assert old.results[0].schema_version == "1.0"
    newer = [{**told[0], "power_save": False, "screen_on": True, "thermal_headroom": 0.3}]
    later = _side(1.1, seed=2, conditions=newer, schema_version="1.1")
    (pair,) = compare(old, later)
    assert pair.differences == ()
    assert pair.verdict is Verdict.REGRESSION


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


def test_each_phone_of_both_sides_is_judged_and_no_other_hides_it() -> None:
    def on(phone: str, slower: float, seed: int, **job: Any) -> list[Result]:
        device = {**synthetic.DEVICE, "name": phone}
        return _side(slower, seed=seed, device=device, job={**JOB, "threads": 1, **job}).results

    base, candidate = _side(), _side()
    # The candidate's phones came in another order, and one more of them did.
    base.results = [*on("web:1", 1.0, 1), *on("web:2", 1.0, 2), *on("web:2", 1.0, 3, provider="webgpu", via="page")]
    candidate.results = [*on("web:2", 1.0, 2), *on("web:1", 1.2, 1), *on("web:3", 1.0, 4)]
    pairs = compare(base, candidate)
    assert [(pair.where, pair.verdict) for pair in pairs] == [
        ("on web:1, 1 thread", Verdict.REGRESSION),
        ("on web:2, 1 thread", Verdict.PASS),
    ]
    assert pairs[0].title == "student onnx-fp32 3x256x256 on web:1, 1 thread"
    assert "student onnx-fp32 on web:1, 1 thread" in junit(pairs)
    # Where they have no phone in common, the latest are compared, and say why they cannot be.
    candidate.results = on("web:3", 1.0, 4)
    (pair,) = compare(base, candidate)
    assert (pair.where, pair.verdict) == ("", Verdict.INCOMPARABLE)


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
