"""The host side of devices that are elsewhere, over a phone that plays scripts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fake_phone import INFO, MS, FakePhone, Phone, Record, Time, unplugged

from pocketgan.bench.devices.waiting import locked
from pocketgan.bench.jobs import JobOptions
from pocketgan.bench.journal import read_results
from pocketgan.bench.schema.job import CoolDown, Job, Warmup
from pocketgan.bench.schema.result import Result
from pocketgan.bench.session import measure
from pocketgan.bundle.reader import Bundle, open_bundle
from pocketgan.errors import DeviceBusyError, DeviceError

MakeBundle = Callable[..., Path]
QUICK = JobOptions(iterations=4, rounds=2, runs=1)


@pytest.fixture
def phone() -> FakePhone:
    return FakePhone(Time())


@pytest.fixture
def opened(make_bundle: MakeBundle) -> Iterator[Callable[..., Bundle]]:
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(open_bundle(make_bundle(*args, **options)))


def job(bundle: Bundle, **changes: Any) -> Job:
    given = {"via": "app", "iterations": 4, "rounds": 2, **changes}
    return Job(bundle=bundle.digest, entry="onnx-fp32", **given)


def named(results: list[Result]) -> list[str]:
    return [result.bundle_name for result in results]


def measured(phone: FakePhone) -> list[str]:
    return [name for name, *_ in phone.measured]


def test_a_job_comes_back_as_a_result(phone: FakePhone, opened: Callable[..., Bundle]) -> None:
    bundle = opened("student")
    result = Phone(phone).run(bundle, job(bundle))
    assert result.errors == []
    assert result.job == job(bundle)
    assert [frame.inference_ns for frame in result.frames] == [10 * MS] * 4
    assert [frame.round for frame in result.frames] == [0, 0, 1, 1]
    assert result.device == INFO
    assert phone.calls["start"] == 1


def test_models_with_equal_jobs_take_turns_in_one_group(phone: FakePhone, opened: Callable[..., Bundle]) -> None:
    a, b, c = opened("a"), opened("b", layers=2), opened("c", size=8)
    work = [(a, job(a)), (b, job(b)), (c, job(c, threads=4))]
    results = Phone(phone).run_interleaved(work, session="s")
    assert named(results) == ["a", "b", "c"]
    assert {result.session for result in results} == {"s"}
    groups = phone.sessions[0].groups
    assert [[one.bundle for one in group.jobs] for group in groups] == [[a.digest, b.digest], [c.digest]]
    assert results[0].process == results[1].process != results[2].process


def test_a_sustained_job_has_a_group_of_its_own(phone: FakePhone, opened: Callable[..., Bundle]) -> None:
    a, b = opened("a"), opened("b", layers=2)
    changes = {"mode": "sustained", "iterations": None, "duration_s": 1.0, "rounds": 1}
    results = Phone(phone).run_interleaved([(one, job(one, **changes)) for one in (a, b)])
    assert [len(result.frames) for result in results] == [100, 100]
    assert [len(group.jobs) for group in phone.sessions[0].groups] == [1, 1]


def test_bundles_stay_on_the_device_and_are_not_sent_again(phone: FakePhone, opened: Callable[..., Bundle]) -> None:
    bundle, other = opened("a"), opened("b", layers=2)
    device = Phone(phone)
    device.run(bundle, job(bundle))
    phone.sent.clear()
    device.run(bundle, job(bundle))
    assert phone.sent == ["session.json"]
    device.run(other, job(other))
    # Phones are small: what is not asked any more goes.
    assert {path.split("/")[1] for path in phone.content} == {other.digest}


def test_progress_tells_every_frame_once(phone: FakePhone, opened: Callable[..., Bundle]) -> None:
    a, b = opened("a"), opened("b", layers=2)
    phone.says = [
        json.dumps({"record": "beat", "at_ns": 1, "detail": "a \x1b[31m", "done": done}) for done in (1, 3, 2, 9999999)
    ]
    ticks: list[tuple[int, str]] = []
    Phone(phone).run_interleaved([(a, job(a)), (b, job(b))], tick=lambda count, detail: ticks.append((count, detail)))
    assert ticks == [(1, "a [31m"), (2, "a [31m"), (1, "a [31m"), (4, "b onnx-fp32")]


def test_results_are_kept_as_they_come(phone: FakePhone, opened: Callable[..., Bundle]) -> None:
    a, b = opened("a"), opened("b", layers=2)
    kept: list[str] = []
    phone.dies_at = ["b"]
    Phone(phone).run_groups([[(a, job(a))], [(b, job(b))]], keep=lambda result: kept.append(result.bundle_name))
    assert kept == ["a", "b"]


def test_a_simulated_device_marks_its_results(phone: FakePhone, opened: Callable[..., Bundle]) -> None:
    def simulate(record: Record) -> None:
        record["device"]["simulated"] = True

    phone.lie = simulate
    bundle = opened("a")
    assert Phone(phone).run(bundle, job(bundle)).device == INFO.model_copy(update={"simulated": True})


def test_the_cool_down_is_the_devices_and_its_proof_is_asked_for(
    phone: FakePhone, opened: Callable[..., Bundle]
) -> None:
    bundle = opened("a")
    asked = job(bundle, cool_down=CoolDown(timeout_s=5))
    result = Phone(phone).run(bundle, asked)
    assert result.cool_down is not None
    assert result.cool_down.cool


@pytest.mark.parametrize(
    ("lie", "says"),
    [
        (lambda record: record["frames"].pop(), "it gave 3 frames, 4 were asked for"),
        (lambda record: record["frames"][1].update(inference_ns=0), "frame 1 took 0 ns, which nothing can"),
        (lambda record: record.update(parity=None), "not compared with the golden output before its first frame"),
        (lambda record: record["parity"].update(psnr_db=9.0), "wrong output before its first frame: 9.0 dB"),
        (lambda record: record["frames"][0].update(inference_ns=11 * MS), "frame 1 begins before the one before it"),
        (lambda record: record["frames"][3].update(start_ns=1 << 62), "its clock jumped"),
        (lambda record: record.update(frames="many"), "what the device gave is no result: frames: "),
    ],
)
def test_what_does_not_hold_is_an_error_of_that_result_alone(
    phone: FakePhone, opened: Callable[..., Bundle], lie: Callable[[Record], None], says: str
) -> None:
    def about_b(record: Record) -> None:
        if record["bundle_name"] == "b":
            lie(record)

    phone.lie = about_b
    a, b = opened("a"), opened("b", layers=2)
    honest, lying = Phone(phone).run_groups([[(a, job(a))], [(b, job(b))]])
    assert (len(honest.frames), honest.errors) == (4, [])
    assert lying.frames == []
    assert any(says in error for error in lying.errors)


def test_stamps_beyond_what_went_by_on_the_host_are_found(phone: FakePhone, opened: Callable[..., Bundle]) -> None:
    phone.frame_ns = 60_000 * MS
    bundle = opened("a")
    result = Phone(phone).run(bundle, job(bundle))
    assert result.frames == []
    assert re.search(r"its stamps span 240\.0 s, [0-9.]+ s went by on the host", result.errors[0])


def test_words_of_the_device_reach_no_terminal_as_they_are(phone: FakePhone, opened: Callable[..., Bundle]) -> None:
    phone.lie = lambda record: record.update(errors=["no\x1b[2Jluck\n" + "x" * 10_000])
    bundle = opened("a")
    [error] = Phone(phone).run(bundle, job(bundle)).errors
    assert error.startswith("no [2Jluck xxx")
    assert len(error) == 500


def test_a_lost_line_is_said_where_its_result_is_missing(phone: FakePhone, opened: Callable[..., Bundle]) -> None:
    def another(record: Record) -> None:
        if record["bundle_name"] == "b":
            record["job"]["iterations"] = 2

    phone.lie = another
    a, b = opened("a"), opened("b", layers=2)
    first, second = Phone(phone).run_groups([[(a, job(a))], [(b, job(b))]])
    assert first.errors == []
    assert second.errors == ["device phone:1 gave no result of it; line 3 is of a Job that was not asked"]


def test_a_cable_that_is_out_for_a_while_costs_nothing(
    phone: FakePhone, opened: Callable[..., Bundle], capsys: pytest.CaptureFixture[str]
) -> None:
    # Before the folder is looked at, in the middle of a push, at the start, and twice while it measures.
    phone.cuts = {("there", 1): 3, ("file", 3): 2, ("start", 1): 4, ("read", 3): 20, ("alive", 9): 5}
    a, b = opened("a"), opened("b", layers=2)
    results = Phone(phone).run_groups([[(a, job(a))], [(b, job(b))]])
    assert [result.errors for result in results] == [[], []]
    assert measured(phone) == ["a", "b"]
    assert phone.cuts == {}
    assert "phone:1 is offline: plug it in again; waiting for it, 90 s at most" in capsys.readouterr().err


def test_a_cable_that_stays_out_ends_it_in_one_line(phone: FakePhone, opened: Callable[..., Bundle]) -> None:
    bundle = opened("a")
    with unplugged(phone), pytest.raises(DeviceError) as problem:
        Phone(phone, reach_timeout_s=20).run(bundle, job(bundle))
    assert str(problem.value) == ("device phone:1 did not come back in 20 s: phone:1 is offline: plug it in again")


def test_a_refusal_is_not_asked_again(phone: FakePhone, opened: Callable[..., Bundle]) -> None:
    phone.full = True
    bundle = opened("a")
    with pytest.raises(DeviceError, match="phone:1 is full"):
        Phone(phone).run(bundle, job(bundle))
    assert phone.calls["send"] == 1


def test_a_device_that_gives_up_says_why(phone: FakePhone, opened: Callable[..., Bundle]) -> None:
    phone.ends_with = "the camera's permission was refused; allow it in the phone's settings"
    bundle = opened("a")
    with pytest.raises(DeviceError, match=r"device phone:1 gave up: the camera's permission was refused; allow it"):
        Phone(phone).run(bundle, job(bundle))


def test_a_model_that_kills_the_app_fails_alone(phone: FakePhone, opened: Callable[..., Bundle]) -> None:
    phone.dies_at = ["b"]
    a, b, c = opened("a"), opened("b", layers=2), opened("c", size=8)
    results = Phone(phone).run_groups([[(a, job(a)), (b, job(b))], [(c, job(c))]])
    assert [len(result.frames) for result in results] == [4, 0, 4]
    assert results[1].errors == ["device phone:1 ended without a word while it measured this"]
    assert sorted(measured(phone)) == ["a", "c"]


def test_a_model_that_never_ends_fails_alone(phone: FakePhone, opened: Callable[..., Bundle]) -> None:
    phone.hangs_at = ["a"]
    a, b = opened("a"), opened("b", layers=2)
    results = Phone(phone, stall_timeout_s=30).run_groups([[(a, job(a))], [(b, job(b))]])
    assert results[0].errors == ["device phone:1 hung: nothing from it for 30 s while it measured this"]
    assert len(results[1].frames) == 4
    assert phone.stopped == 1


def test_an_app_that_dies_whatever_it_is_asked_is_not_asked_for_ever(
    phone: FakePhone, opened: Callable[..., Bundle]
) -> None:
    bundles = [opened(f"m{number}", size=4 + number) for number in range(8)]
    phone.dies_at = [f"m{number}" for number in range(8)]
    with pytest.raises(DeviceError, match="5 times in a row, before it measured anything"):
        Phone(phone).run_interleaved([(bundle, job(bundle)) for bundle in bundles])
    assert phone.calls["start"] == 5


def test_a_stopped_user_stops_the_device_and_keeps_what_came(phone: FakePhone, opened: Callable[..., Bundle]) -> None:
    a, b = opened("a"), opened("b", layers=2)
    kept: list[str] = []

    def stop(count: int, detail: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Phone(phone).run_groups(
            [[(a, job(a))], [(b, job(b))]], tick=stop, keep=lambda result: kept.append(result.bundle_name)
        )
    assert kept == ["a"]
    assert phone.stopped == 1
    assert not phone.alive()


def test_what_came_at_once_is_kept_even_if_the_user_stops_at_the_first_of_it(
    phone: FakePhone, opened: Callable[..., Bundle]
) -> None:
    groups = [[(one, job(one))] for one in (opened(name, size=4 + size) for size, name in enumerate("abc"))]
    kept: list[str] = []

    def stop(count: int, detail: str) -> None:
        if not kept[1:]:
            raise KeyboardInterrupt

    reach = phone.read

    def late(offset: int) -> bytes:
        while phone.alive():
            pass
        return reach(offset)

    phone.read = late  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        Phone(phone).run_groups(groups, tick=stop, keep=lambda result: kept.append(result.bundle_name))
    assert kept == ["a", "b", "c"]


def test_what_a_cut_session_left_is_taken_over(phone: FakePhone, opened: Callable[..., Bundle]) -> None:
    groups = [[(one, job(one))] for one in (opened(name, size=4 + size) for size, name in enumerate("abcde"))]
    phone.cuts = {("read", 3): 1 << 20}
    with pytest.raises(DeviceError, match="did not come back"):
        Phone(phone).run_groups(groups, session="s")
    phone._lost_for = 0
    for _ in range(2):  # it measures on while nobody looks
        phone.go_on()
    results = Phone(phone).run_groups(groups, session="s")
    assert phone.stopped == 1  # it was still measuring when it was found again
    assert named(results) == ["a", "b", "c", "d", "e"]
    assert all(result.frames and not result.errors for result in results)
    assert measured(phone) == ["a", "b", "c", "d", "e"]
    assert [len(session.groups) for session in phone.sessions] == [5, 1]


def test_nothing_of_another_session_is_taken_over(phone: FakePhone, opened: Callable[..., Bundle]) -> None:
    bundle = opened("a")
    phone.cuts = {("clean_up", 1): 1 << 20}
    Phone(phone).run_groups([[(bundle, job(bundle))]], session="yesterday")
    phone._lost_for = 0
    assert Phone(phone).session_left([job(bundle)]) == "yesterday"
    assert Phone(phone).session_left([job(bundle, threads=4)]) is None
    [result] = Phone(phone).run_groups([[(bundle, job(bundle))]], session="today")
    assert result.session == "today"
    assert measured(phone) == ["a", "a"]


def test_check_tells_what_is_wrong_with_each_entry(phone: FakePhone, opened: Callable[..., Bundle]) -> None:
    def wrong(record: Record) -> None:
        if record["bundle_name"] == "b":
            record.update(frames=[], errors=["wrong output: 7.0 dB"])

    phone.lie = wrong
    a, b = opened("a"), opened("b", layers=2)
    assert Phone(phone).check([(a, "onnx-fp32", None), (b, "onnx-fp32", None)]) == [[], ["wrong output: 7.0 dB"]]
    asked = phone.sessions[0].groups[0].jobs[0]
    assert (asked.iterations, asked.cold_repeats, asked.warmup) == (1, 0, Warmup(iterations=0, timeout_s=0))


@pytest.mark.parametrize("name", ["android:R5CT10", "android:../../x y", "android:192.168.0.7:5555", "ä" * 300])
def test_a_device_of_any_name_is_locked(phone: FakePhone, name: str) -> None:
    with (
        locked(Phone(phone, name)),
        pytest.raises(DeviceBusyError, match=r"is measuring for .* \(process"),
        locked(Phone(phone, name)),
    ):
        pass
    with locked(Phone(phone, name)), locked(Phone(phone, name + "2")):
        pass


def test_a_bench_is_one_session_of_all_its_runs(phone: FakePhone, make_bundle: MakeBundle, tmp_path: Path) -> None:
    bundles = [make_bundle("a"), make_bundle("b", layers=2)]
    options = JobOptions(iterations=6, rounds=3, runs=3)
    results = measure(bundles, Phone(phone), options, tmp_path / "r.jsonl")
    assert phone.calls["start"] == 1
    assert [[job.run for job in group.jobs] for group in phone.sessions[0].groups] == [[0, 0], [1, 1], [2, 2]]
    assert {job.via for group in phone.sessions[0].groups for job in group.jobs} == {"app"}
    assert [len(result.frames) for result in results] == [6, 6]
    assert len(read_results([tmp_path / "r.jsonl"]).results) == 6


def test_a_cut_bench_of_twenty_bundles_goes_on_with_nothing_measured_twice(
    phone: FakePhone, make_bundle: MakeBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundles = [make_bundle(f"m{number}", size=4 + number) for number in range(20)]
    out = tmp_path / "r.jsonl"
    options = JobOptions(iterations=4, rounds=2, runs=2)
    phone.cuts = {("read", 30): 1 << 20}
    with pytest.raises(DeviceError, match="phone:1 did not come back"):
        measure(bundles, Phone(phone), options, out)
    assert f"{out} holds the runs that were complete; --resume goes on from there" in capsys.readouterr().err
    came = len(read_results([out]).results)
    assert 20 < came < 40
    phone._lost_for = 0
    results = measure(bundles, Phone(phone), options, out, resume=True)
    assert len(phone.measured) == len(set(phone.measured)) == 40
    assert [len(result.frames) for result in results] == [4] * 20
    assert all(result.errors == [] for result in results)
    assert len({result.session for result in read_results([out]).results}) == 1


def test_a_bench_that_was_cut_before_its_first_result_takes_what_the_device_went_on_to_measure(
    phone: FakePhone, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle, out = make_bundle("a"), tmp_path / "r.jsonl"
    phone.cuts = {("read", 3): 1 << 20}
    with pytest.raises(DeviceError):
        measure([bundle], Phone(phone), QUICK, out)
    phone._lost_for = 0
    while phone.alive():
        pass
    [result] = measure([bundle], Phone(phone), QUICK, out, resume=True)
    assert len(result.frames) == 4
    assert measured(phone) == ["a"]
