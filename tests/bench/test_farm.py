"""A session goes to a device farm as a folder, and its results come back as a file."""

from __future__ import annotations

import json
import re
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kotlin_harness
import pytest
import yaml
from fake_phone import INFO, MS, FakePhone, Record, Time
from simulated_app import AS_THE_APP_SAYS, make_apk

from pocketgan.bench.devices import find_device
from pocketgan.bench.devices.app_session import SESSIONS
from pocketgan.bench.devices.farm import FarmDevice
from pocketgan.bench.jobs import JobOptions
from pocketgan.bench.journal import read_results
from pocketgan.bench.schema.result import Result
from pocketgan.bench.session import measure
from pocketgan.bundle.manifest import Entry
from pocketgan.errors import DeviceError

MakeBundle = Callable[..., Path]
Command = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parents[2]
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


def test_results_of_a_computer_are_no_phones(farm: Farm, make_bundle: MakeBundle) -> None:
    def lie(record: Record) -> None:
        record["device"]["kind"] = "local"

    bundle = make_bundle("a")
    must_hand_over(farm, bundle)
    farm.carry_out(lie=lie)
    (result,) = farm.bench(bundle)
    assert (result.device.kind, result.frames) == ("android", [])
    assert result.errors == ["it is of a device of kind local, not android"]


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


def test_the_whole_way_by_the_command_line_and_the_kotlin_core(
    pocketgan: Command, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    if reason := kotlin_harness.left_out():
        pytest.skip(f"left out: android_harness/ ({reason})")
    apk = make_apk(tmp_path / "app.apk", libraries=["lib/arm64-v8a/libonnxruntime.so"])
    command = ["bench", make_bundle("a"), "--device", "farm:session", "--apk", apk, "--out", "r.jsonl"]
    command += ["--iterations", 6, "--rounds", 3, "--runs", 1, "--warmup", 1, "--warmup-timeout", 0]
    first = pocketgan(*command)
    assert first.returncode == 2
    assert first.stderr.splitlines() == [
        "pocketgan: the session is written to session: have it measured (docs/android.md, Device farms), put the "
        "results.jsonl that comes back there, and repeat this command"
    ]
    device = tmp_path / "device.json"
    device.write_text(AS_THE_APP_SAYS.model_dump_json())
    app = kotlin_harness.java("pocketgan.jvm.MainKt", "session", str(tmp_path / "session"), str(device))
    subprocess.run(app, check=True)
    second = pocketgan(*command)
    assert second.returncode == 0, second.stderr
    assert f"measured on farm ({AS_THE_APP_SAYS.model}" in second.stdout
    assert ": simulated, no phone" in second.stdout
    report = pocketgan("report", "r.jsonl", "--markdown", "report.md")
    assert report.returncode == 0, report.stderr
    assert "simulated" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--device", "farm:"), r"name a folder for the session that the farm is given: --device farm:DIR"),
        (("--device", "farm:x", "--via", "shell"), r"a farm's phone measures in its app: leave out --via shell"),
    ],
)
def test_a_farm_without_a_folder_or_with_a_shell_is_refused(
    pocketgan: Command, make_bundle: MakeBundle, arguments: tuple[str, ...], line: str
) -> None:
    done = pocketgan("bench", make_bundle("a"), *arguments)
    assert done.returncode == 2
    assert re.search(line, done.stderr)


def test_a_comparison_is_not_made_by_letters(make_bundle: MakeBundle, tmp_path: Path, pocketgan: Command) -> None:
    apk = make_apk(tmp_path / "app.apk", libraries=["lib/arm64-v8a/libonnxruntime.so"])
    assert find_device(f"farm:{tmp_path / 'x'}", apk=apk).runtimes == ("onnxruntime",)
    done = pocketgan("compare", make_bundle("a"), make_bundle("b", layers=2), "--device", "farm:x", "--apk", apk)
    assert done.returncode == 2
    assert "pocketgan bench BASE CANDIDATE --device farm:x measures both in turns" in done.stderr


def test_the_test_spec_for_device_farm_names_what_the_app_has() -> None:
    spec = yaml.safe_load((ROOT / "docs" / "examples" / "aws-device-farm.yml").read_text())
    assert spec["version"] == 0.1
    (push, instrument, pull) = spec["phases"]["test"]["commands"]
    manifest = ET.parse(ROOT / "android_harness" / "app" / "src" / "main" / "AndroidManifest.xml").getroot()
    (declared,) = manifest.findall("instrumentation")
    name = declared.get("{http://schemas.android.com/apk/res/android}name")
    assert f"{manifest.get('package')}/{name}" in instrument
    assert (
        re.search(r"am instrument -r -w -e session farm -e from (\S+)", instrument)[1] == push.split()[-1] + "session"
    )
    assert f"{SESSIONS}/farm/results.jsonl" in pull
