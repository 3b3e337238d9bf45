"""A session goes to a device farm as a folder, and its results come back as a file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_phone import INFO, MS, FakePhone, Record, Time

from pocketgan.bench.devices.farm import FarmDevice
from pocketgan.bench.jobs import JobOptions
from pocketgan.bench.journal import read_results
from pocketgan.bench.schema.result import Result
from pocketgan.bench.session import measure
from pocketgan.bundle.manifest import Entry
from pocketgan.errors import DeviceError

MakeBundle = Callable[..., Path]
QUICK = JobOptions(iterations=4, rounds=2, runs=2)


class EveryApp:
    """Runs what the bundles of tests hold."""

    runtimes = ("onnxruntime",)

    def runs(self, entry: Entry) -> bool:
        return entry.runtime in self.runtimes


class Farm:
    """A folder, and what a farm does with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "farm"
        self.out = folder / "results.jsonl"

    def bench(self, *bundles: Path, options: JobOptions = QUICK, **changes: Any) -> list[Result]:
        return measure(bundles, FarmDevice(self.folder, EveryApp()), options, self.out, **changes)

    def carry_out(self, frames: int | None = None, **lies: Any) -> None:
        """A phone that is handed the folder measures; whole, or so many lines of it."""
        phone = FakePhone(Time(), **lies)
        files = (path for path in self.folder.rglob("*") if path.is_file() and path.suffix != ".jsonl")
        phone.content = {str(path.relative_to(self.folder)): path.read_bytes() for path in files}
        phone.start()
        while phone.alive():
            pass
        lines = phone.content["results.jsonl"].splitlines(keepends=True)
        (self.folder / "results.jsonl").write_bytes(b"".join(lines[:frames]))


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    return Farm(tmp_path)


def must_hand_over(farm: Farm, *bundles: Path) -> None:
    with pytest.raises(DeviceError, match=r"the session is written to .*farm: have it measured"):
        farm.bench(*bundles)


def test_what_is_written_comes_back_as_results(farm: Farm, make_bundle: MakeBundle) -> None:
    a, b = make_bundle("a"), make_bundle("b", layers=2)
    must_hand_over(farm, a, b)
    farm.carry_out()
    results = farm.bench(a, b)
    assert [result.bundle_name for result in results] == ["a", "b"]
    assert [frame.inference_ns for frame in results[0].frames] == [10 * MS] * 4
    assert all(result.errors == [] for result in results)
    assert results[0].device == INFO.model_copy(update={"name": "farm"})
    kept = read_results([farm.out]).results
    assert [(result.bundle_name, result.job.run, result.job.via) for result in kept] == [
        ("a", 0, "app"),
        ("b", 0, "app"),
        ("a", 1, "app"),
        ("b", 1, "app"),
    ]
    assert len({result.session for result in kept}) == 1


def test_until_results_are_there_the_command_says_what_to_do(farm: Farm, make_bundle: MakeBundle) -> None:
    bundle = make_bundle("a")
    must_hand_over(farm, bundle)
    before = (farm.folder / "session.json").read_bytes()
    with pytest.raises(DeviceError, match=r"farm holds the session, and no results\.jsonl yet: have it measured"):
        farm.bench(bundle)
    assert (farm.folder / "session.json").read_bytes() == before


def test_results_that_do_not_hold_are_no_numbers(farm: Farm, make_bundle: MakeBundle) -> None:
    def lie(record: Record) -> None:
        record["parity"] = {"psnr_db": 12.0, "max_abs_error": 0.4}

    bundle = make_bundle("a")
    must_hand_over(farm, bundle)
    farm.carry_out(lie=lie)
    (result,) = farm.bench(bundle)
    assert result.frames == []
    assert any("wrong output before its first frame: 12.0 dB" in error for error in result.errors)


def test_results_without_an_end_are_asked_for_again(farm: Farm, make_bundle: MakeBundle) -> None:
    bundle = make_bundle("a")
    must_hand_over(farm, bundle)
    farm.carry_out(frames=1)
    with pytest.raises(DeviceError, match=r"results\.jsonl is not whole: it answers [01] of 2 runs and has no end"):
        farm.bench(bundle)
    farm.carry_out()
    assert len(farm.bench(bundle)[0].frames) == 4


def test_a_phone_that_gave_up_says_why(farm: Farm, make_bundle: MakeBundle) -> None:
    bundle = make_bundle("a")
    must_hand_over(farm, bundle)
    farm.carry_out(ends_with="no folder sessions/x")
    with pytest.raises(DeviceError, match="gave up: no folder sessions/x"):
        farm.bench(bundle)


def test_two_phones_of_a_kind_are_two_sessions_and_one_phone_twice_is_one(farm: Farm, make_bundle: MakeBundle) -> None:
    def another(record: Record) -> None:
        record["process"] = "another"

    bundle = make_bundle("a")
    must_hand_over(farm, bundle)
    phones: list[dict[str, Any]] = [{}, {}, {"lie": another}]
    for lies in phones:
        farm.carry_out(**lies)
        farm.bench(bundle)
    sessions = [result.session for result in read_results([farm.out]).results]
    assert len(sessions) == 6
    assert sessions[:2] == sessions[2:4]
    assert len(set(sessions)) == 2


def test_results_of_several_phones_in_one_file_are_refused(farm: Farm, make_bundle: MakeBundle) -> None:
    bundle = make_bundle("a")
    must_hand_over(farm, bundle)
    farm.carry_out()
    path = farm.folder / "results.jsonl"
    path.write_bytes(path.read_bytes() + path.read_bytes().replace(b"Phone 1", b"Phone 2"))
    with pytest.raises(DeviceError, match=r"holds results of 2 phones \(Phone 1, Phone 2\): copy the folder for each"):
        farm.bench(bundle)


def test_a_model_that_is_no_text_for_terminals_is_shown_as_text(farm: Farm, make_bundle: MakeBundle) -> None:
    def lie(record: Record) -> None:
        record["device"] = {**record["device"], "model": "Phone\x1b[2J\n1"}

    bundle = make_bundle("a")
    must_hand_over(farm, bundle)
    farm.carry_out(lie=lie)
    assert farm.bench(bundle)[0].device.model == "Phone [2J 1"


def test_results_of_another_session_are_none(farm: Farm, make_bundle: MakeBundle) -> None:
    bundle = make_bundle("a")
    must_hand_over(farm, bundle)
    farm.carry_out()
    path = farm.folder / "results.jsonl"
    path.write_text(re.sub(r'"session": ?"[^"]+"', '"session": "other"', path.read_text()))
    (result,) = farm.bench(bundle)
    assert result.frames == []
    assert any("is of another session" in error for error in result.errors)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (JobOptions(mode="sustained", energy=True), "--energy needs a phone that this computer sees"),
        (JobOptions(clock="pinned"), "--clock pinned needs a phone that this computer reaches"),
    ],
)
def test_what_needs_a_computer_beside_the_phone_is_refused(
    farm: Farm, make_bundle: MakeBundle, options: JobOptions, line: str
) -> None:
    with pytest.raises(DeviceError, match=line):
        farm.bench(make_bundle("a"), options=options)
    assert not farm.folder.exists()


def test_a_folder_of_other_things_and_the_session_of_another_command_are_left_alone(
    farm: Farm, make_bundle: MakeBundle
) -> None:
    farm.folder.mkdir()
    (farm.folder / "mine.txt").write_text("mine")
    with pytest.raises(DeviceError, match="holds other things than a session: name a folder for it"):
        farm.bench(make_bundle("a"))
    (farm.folder / "mine.txt").unlink()
    must_hand_over(farm, make_bundle("a"))
    with pytest.raises(DeviceError, match="holds the session of another command"):
        farm.bench(make_bundle("b", layers=2))
    (farm.folder / "session.json").write_text(json.dumps({"name": 5}))
    with pytest.raises(DeviceError, match=r"session\.json is no session: name another folder"):
        farm.bench(make_bundle("a"))
