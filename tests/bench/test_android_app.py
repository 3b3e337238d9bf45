"""The whole way through the app: `pocketgan bench --device android`, the real adb, the Kotlin core, and back.

The phone is simulated: its `am` starts the core on this computer's JVM, on the real ONNX Runtime of Maven Central.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import kotlin_harness
import pytest
from adb_device import SimulatedPhone
from adb_server import until
from android_phones import ANDROID_8, ANDROID_13
from simulated_app import AS_THE_APP_SAYS, PACKAGE, SimulatedApp, make_apk

from pocketgan import api
from pocketgan.bench.devices import find_device, phone_app
from pocketgan.bench.devices.adb import Adb
from pocketgan.bench.devices.android_device import AndroidDevice, find_android
from pocketgan.bench.devices.app_session import FOLDER, AppSession, make_ready
from pocketgan.bench.devices.phone import Phone
from pocketgan.bench.devices.phone_app import find_app
from pocketgan.bench.jobs import JobOptions, plan_job
from pocketgan.bench.journal import read_results
from pocketgan.bench.schema.job import Warmup
from pocketgan.bench.schema.result import Result
from pocketgan.bundle.reader import open_bundle
from pocketgan.errors import DeviceError
from pocketgan.pipeline import bench
from pocketgan.pipeline.processes import join_processes
from pocketgan.pipeline.roles import bundle_name, roles
from pocketgan.pipeline.stage import Context

Command = Callable[..., subprocess.CompletedProcess[str]]
QUICK = ("--iterations", 6, "--rounds", 3, "--runs", 1, "--warmup", 1, "--warmup-timeout", 0)
# What this computer is as a phone; android_phones are of ARM.
HERE = {**ANDROID_13, "getprop": ANDROID_13["getprop"].replace("arm64-v8a", "x86_64")}
QUICKLY = Warmup(iterations=1, timeout_s=0)
LIBRARY = "lib/x86_64/libonnxruntime.so"


@pytest.fixture(scope="module", autouse=True)
def _harness() -> None:
    if reason := kotlin_harness.left_out():
        pytest.skip(f"left out: android_harness/ ({reason})")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that this project exported, as tensors and as pixels."""
    torch = pytest.importorskip("torch")
    path = tmp_path_factory.mktemp("exported") / "small.pgb"
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 3, 3, padding=1), torch.nn.Tanh()
    )
    api.export(network, "onnx", path, input=(3, 32, 32), name="small", io=["tensor", "image"], workers=1)
    return path


@pytest.fixture
def apk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The app of this installation."""
    path = make_apk(tmp_path / "app.apk", libraries=[LIBRARY])
    monkeypatch.setattr(phone_app, "_places", lambda: [path])
    return path


@pytest.fixture
def app(newest_adb: Adb, apk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedApp]:
    """A phone that is plugged in, and what there is to the app on it."""
    monkeypatch.setattr("pocketgan.bench.devices.android_device.find_adb", lambda: newest_adb)
    monkeypatch.setattr(AndroidDevice, "poll_s", 0.05)
    with SimulatedPhone(tmp_path / "phone", HERE) as phone:
        newest_adb.connect(phone.serial)
        yield SimulatedApp(phone)
        newest_adb.ask("disconnect", phone.serial)


def installed(app: SimulatedApp) -> Path:
    return app.phone.at("/state/installed.apk")


def installs(app: SimulatedApp) -> int:
    return sum(call.startswith("package install") for call in app.phone.calls("cmd"))


def results(path: Path) -> list[Result]:
    return list(read_results([path]).results)


def line_of(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that says what to do, of a command that ends so."""
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("pocketgan: ")]
    return line


def test_bench_in_the_app_from_one_command(
    pocketgan: Command, exported: Path, app: SimulatedApp, apk: Path, tmp_path: Path
) -> None:
    done = pocketgan("bench", exported, "--device", "android", *QUICK, "--out", "r.jsonl")
    assert done.returncode == 0, done.stdout + done.stderr
    device = find_device("android").describe()
    assert device == AS_THE_APP_SAYS.model_copy(update={"name": f"android:{app.phone.serial}"})
    measured = results(tmp_path / "r.jsonl")
    assert [result.job.entry for result in measured] == ["onnx-fp32", "onnx-fp32-image"]
    for result in measured:
        assert (result.errors, len(result.frames), result.job.via) == ([], 6, "app")
        assert (result.device, result.device.simulated) == (device, True)
    assert installed(app).read_bytes() == apk.read_bytes()
    # Its screen is on while it measures, and gone afterwards.
    calls = [call.split()[0] for call in app.phone.calls("am")]
    assert calls.index("start") < calls.index("start-foreground-service")
    assert calls[-1] == "force-stop"

    # The same bundle, measured by Python on this computer, agrees with its golden output alike.
    assert pocketgan("bench", exported, *QUICK, "--out", "here.jsonl").returncode == 0
    for ours, theirs in zip(measured, results(tmp_path / "here.jsonl"), strict=True):
        # Two builds of one runtime: float32 rounds in its last digits, pixels by one level.
        tolerance = 1 if ours.job.entry.endswith("image") else 2e-6
        assert ours.parity.max_abs_error == pytest.approx(theirs.parity.max_abs_error, abs=tolerance)

    # App and bundle are there now: a session file alone is sent.
    app.phone.received.clear()
    assert pocketgan("bench", exported, "--device", "android", *QUICK, "--out", "again.jsonl").returncode == 0
    assert (len(app.phone.received), installs(app)) == (1, 1)
    page = pocketgan("report", "r.jsonl", "--out", "report.html", "--markdown", "r.md")
    assert page.returncode == 0
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", (tmp_path / "report.html").read_text()))
    assert "No frame rate : all results come from simulated devices" in words


def test_two_bundles_are_compared_in_one_process_of_the_app(
    pocketgan: Command, make_bundle, app: SimulatedApp, tmp_path: Path
) -> None:
    base, candidate = make_bundle("base", size=32, layers=3), make_bundle("candidate", size=32, layers=3)
    options = ("--device", "android", "--rounds", 8, "--most-rounds", 8, "--out", "c.jsonl", "--json")
    done = pocketgan("compare", base, candidate, *options)
    assert json.loads(done.stdout)["verdict"] == "INCOMPARABLE"  # a simulated phone has no numbers
    assert done.returncode == 3
    assert "simulated" in str(json.loads(done.stdout)["pairs"][0]["differences"])
    processes = {(result.session, result.job.run): result.process for result in results(tmp_path / "c.jsonl")}
    assert len(set(processes.values())) == len(processes) == app.begun


def test_what_the_app_and_the_shell_measured_is_never_compared(
    pocketgan: Command, make_bundle, app: SimulatedApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in two files, nor in one that is gone on with."""
    bundle = make_bundle()
    assert pocketgan("bench", bundle, "--device", "android", *QUICK, "--out", "app.jsonl").returncode == 0
    text = (tmp_path / "app.jsonl").read_text().replace('"via":"app"', '"via":"shell"')
    (tmp_path / "shell.jsonl").write_text(text)
    done = pocketgan("compare", "app.jsonl", "shell.jsonl", "--json")
    assert done.returncode == 3
    (pair,) = json.loads(done.stdout)["pairs"]
    assert pair["verdict"] == "INCOMPARABLE"
    assert any("via" in difference for difference in pair["differences"])
    # What the shell measured is not what is asked for: it is measured in the app.
    again = pocketgan("bench", bundle, "--device", "android", *QUICK, "--out", "shell.jsonl", "--resume")
    assert again.returncode == 0
    assert [result.job.via for result in results(tmp_path / "shell.jsonl")] == ["shell", "app"]
    assert len({result.session for result in results(tmp_path / "shell.jsonl")}) == 2


def crash_during(app: SimulatedApp, *log: str) -> threading.Thread:
    """It crashes when the first of its results is there."""

    def watch() -> None:
        until(lambda: b'"record":"result"' in lines(app))
        app.crash(*log)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def lines(app: SimulatedApp) -> bytes:
    path = app.at("pocketgan/results.jsonl")
    return path.read_bytes() if path.exists() else b""


def test_a_crash_of_the_app_is_gone_on_with_and_nothing_is_measured_twice(
    pocketgan: Command, make_bundle, app: SimulatedApp, tmp_path: Path
) -> None:
    bundles = [make_bundle(f"b{number}", size=64, layers=2 + number) for number in range(3)]
    thread = crash_during(app)
    sustained = ("--mode", "sustained", "--seconds", 1, "--warmup", 1, "--warmup-timeout", 0)
    done = pocketgan("bench", *bundles, "--device", "android", *sustained, "--out", "r.jsonl")
    thread.join()
    assert done.returncode == 0, done.stdout + done.stderr
    measured = results(tmp_path / "r.jsonl")
    assert [result.bundle_name for result in measured] == ["b0", "b1", "b2"]
    assert [result.errors for result in measured] == [[]] * 3
    assert app.begun == 2


def test_a_job_that_kills_the_app_is_told_why(
    pocketgan: Command, make_bundle, app: SimulatedApp, tmp_path: Path
) -> None:
    fatal = "F/libc    : Fatal signal 11 (SIGSEGV), code 1 in tid 4713 (session), pid 4711 (cketgan.harness)"
    thread = threading.Thread(target=app.crash, args=(fatal,))
    thread.start()
    long = ("--mode", "sustained", "--seconds", 30, "--warmup-timeout", 0)
    done = pocketgan("bench", make_bundle(), "--device", "android", *long, "--out", "r.jsonl")
    thread.join()
    assert done.returncode == 1, done.stdout + done.stderr
    (result,) = results(tmp_path / "r.jsonl")
    assert "it crashed: Fatal signal 11 (SIGSEGV)" in result.errors[0]
    assert result.errors[0].endswith("while it measured this")


BEFORE, BEGAN, AFTER = ("2026-07-12 05:59:59.999", "2026-07-12 06:03:00.000", "2026-07-12 06:03:48.426")


def exit_info(when: str, reason: str) -> str:
    """`dumpsys activity exit-info` of Android 11 and newer, where a process that measures memory ended later."""
    head = f"ACTIVITY MANAGER PROCESS EXIT INFO (dumpsys activity exit-info)\n  package: {PACKAGE}\n"
    ends = [(f"{PACKAGE}:memory", "1 (EXIT_SELF)"), (PACKAGE, reason)]
    return head + "".join(
        f"        ApplicationExitInfo #{number}:\n          timestamp={when} pid=4711 realUid=10336 user=0\n"
        f"          process={process} reason={why} subreason=0 (UNKNOWN) status=0\n"
        for number, (process, why) in enumerate(ends)
    )


CRASH = [
    "E/AndroidRuntime: FATAL EXCEPTION: main",
    "E/AndroidRuntime: Process: com.other.app, PID: 4700",
    "E/AndroidRuntime: java.lang.IllegalStateException: of another app",
    "E/AndroidRuntime: FATAL EXCEPTION: session",
    f"E/AndroidRuntime: Process: {PACKAGE}, PID: 4711",
    "E/AndroidRuntime: java.lang.OutOfMemoryError: Failed to allocate 8 bytes",
    "E/AndroidRuntime: \tat pocketgan.measure.Measurement",
]


@pytest.mark.parametrize(
    ("log", "ended", "said"),
    [
        (CRASH, "", "it crashed: java.lang.OutOfMemoryError: Failed to allocate 8 bytes"),
        (CRASH[:3], exit_info(AFTER, "3 (LOW_MEMORY)"), "Android ended it: low memory"),
        ([], exit_info(BEFORE, "3 (LOW_MEMORY)"), ""),  # another time
        ([], exit_info(AFTER, "10 (USER REQUESTED)"), ""),  # am force-stop
        (["I/pocketgan: session pocketgan: no folder sessions/pocketgan"], "", "no folder sessions/pocketgan"),
    ],
)
def test_the_last_words_of_the_app_are_its_own(
    app: SimulatedApp, newest_adb: Adb, log: list[str], ended: str, said: str
) -> None:
    app.at("pocketgan").mkdir(parents=True)
    app.at("pocketgan/.began").write_text(f"{BEGAN}\n")
    app.tells(log, ended)
    phone = Phone(newest_adb, app.phone.serial)
    assert AppSession().last_words(phone, FOLDER) == said
    assert AppSession().last_words(phone, f"{FOLDER}-that-never-was") == ""


def test_an_app_of_the_same_version_but_other_content_is_installed_anew(
    app: SimulatedApp, apk: Path, newest_adb: Adb, tmp_path: Path
) -> None:
    phone = Phone(newest_adb, app.phone.serial)
    for _ in range(2):
        find_app().install(phone, ["x86_64"])
    assert installs(app) == 1
    make_apk(apk, libraries=[LIBRARY], content=b"built again")
    find_app().install(phone, ["x86_64"])
    assert installs(app) == 2
    other = make_apk(tmp_path / "mine.apk", libraries=[LIBRARY], content=b"mine")
    find_app(other).install(phone, ["x86_64"])
    assert installed(app).read_bytes() == other.read_bytes()


def test_an_app_of_another_key_is_named_and_stays(pocketgan: Command, make_bundle, app: SimulatedApp) -> None:
    installed(app).write_bytes(b"of another key")
    refused = f"INSTALL_FAILED_UPDATE_INCOMPATIBLE: Package {PACKAGE} signatures do not match newer version; ignoring!"
    app.phone.at("/state/install").write_text(f"Failure [{refused}]\n")
    line = line_of(pocketgan("bench", make_bundle(), "--device", "android", *QUICK))
    assert "signed with another key" in line
    assert f"adb uninstall {PACKAGE}" in line
    assert installed(app).read_bytes() == b"of another key"
    assert not any("uninstall" in call for call in app.phone.calls("cmd"))


def test_an_app_that_is_missing_or_another_is_one_line(
    pocketgan: Command, make_bundle, app: SimulatedApp, apk: Path, tmp_path: Path
) -> None:
    ask = ("bench", make_bundle(), "--device", "android", *QUICK)
    assert "there is no file" in line_of(pocketgan(*ask, "--apk", tmp_path / "none.apk"))
    (tmp_path / "text.apk").write_text("no ZIP")
    assert "text.apk is no APK" in line_of(pocketgan(*ask, "--apk", tmp_path / "text.apk"))
    other = make_apk(tmp_path / "other.apk", package="dev.other", libraries=[LIBRARY])
    assert f"is the app dev.other, not {PACKAGE}" in line_of(pocketgan(*ask, "--apk", other))
    arm = make_apk(tmp_path / "arm.apk", libraries=["lib/riscv64/libonnxruntime.so"])
    assert "was built for riscv64: build it for the phone" in line_of(pocketgan(*ask, "--apk", arm))
    apk.unlink()
    line = line_of(pocketgan(*ask))
    assert "make apk" in line
    assert "--apk FILE" in line


def test_who_asks_for_what_a_device_has_not_is_told(pocketgan: Command, make_bundle, app: SimulatedApp) -> None:
    bundle = make_bundle()
    assert "--via and --apk are for phones" in line_of(pocketgan("bench", bundle, "--via", "app"))
    line = line_of(pocketgan("compare", bundle, bundle, "--device", "android", "--via", "shell", "--apk", "a.apk"))
    assert "--via shell measures without it" in line
    assert "POCKETGAN_RUNNER" in line_of(pocketgan("bench", bundle, "--device", "android", "--via", "shell"))


def test_an_entry_that_the_app_cannot_run_says_what_it_would_need(
    pocketgan: Command, make_bundle, app: SimulatedApp
) -> None:
    bundle = make_bundle("apple", runtime="coreml", target="coreml")
    line = line_of(pocketgan("bench", bundle, "--device", "android", *QUICK))
    assert "can run none of the entries" in line
    assert "it runs: onnxruntime; an entry for it: pocketgan export --target onnx" in line


def test_a_phone_that_sleeps_is_woken(
    pocketgan: Command, make_bundle, app: SimulatedApp, newest_adb: Adb, tmp_path: Path
) -> None:
    app.phone.at("/state/dumpsys/power").write_text(ANDROID_8["dumpsys/power"])
    assert pocketgan("bench", make_bundle(), "--device", "android", *QUICK, "--out", "r.jsonl").returncode == 0
    assert app.phone.calls("input") == ["keyevent KEYCODE_WAKEUP"]


def test_a_phone_that_is_not_ready_is_one_line(pocketgan: Command, make_bundle, app: SimulatedApp) -> None:
    ask = ("bench", make_bundle(), "--device", "android", *QUICK)
    app.user(10)
    assert "user 10 is in front" in line_of(pocketgan(*ask))
    app.user(0)
    app.cannot_be_shown()
    line = line_of(pocketgan(*ask))
    assert f"opening the app failed: Error: Activity class {{{PACKAGE}/pocketgan.app.HarnessActivity}}" in line


def test_a_phone_that_was_not_unlocked_since_its_restart_is_waited_for(
    pocketgan: Command, make_bundle, app: SimulatedApp
) -> None:
    app.user(0, "RUNNING_LOCKED")
    thread = threading.Timer(1, lambda: app.user(0))
    thread.start()
    done = pocketgan("bench", make_bundle(), "--device", "android", *QUICK)
    thread.join()
    assert done.returncode == 0, done.stderr
    assert "it was restarted and not unlocked since: unlock it; waiting for it" in done.stderr


def test_a_session_that_does_not_begin_says_what_the_app_said(
    pocketgan: Command, make_bundle, app: SimulatedApp
) -> None:
    app.says("another one is not over yet")
    line = line_of(pocketgan("bench", make_bundle(), "--device", "android", *QUICK))
    assert "the app did not begin the session (another one is not over yet)" in line


def test_the_camera_is_asked_for_where_it_is_used_alone(
    pocketgan: Command, make_bundle, app: SimulatedApp, newest_adb: Adb
) -> None:
    phone = Phone(newest_adb, app.phone.serial)
    assert pocketgan("bench", make_bundle(), "--device", "android", *QUICK).returncode == 0
    assert app.phone.calls("pm") == [f"path --user 0 {PACKAGE}"]
    make_ready(phone, camera=True)
    assert app.phone.calls("pm")[-1] == f"grant --user 0 {PACKAGE} android.permission.CAMERA"
    app.phone.at("/state/grant").write_text("Exception occurred while executing 'grant':\n")
    with pytest.raises(DeviceError, match=r"the app may not use its camera.*: allow it in") as refused:
        make_ready(phone, camera=True)
    assert "\n" not in str(refused.value)


def test_a_session_is_ended_between_two_frames_when_the_user_stops(make_bundle, app: SimulatedApp) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    device = find_android(None)
    with open_bundle(make_bundle()) as bundle:
        sustained = JobOptions(mode="sustained", duration_s=30, warmup=QUICKLY, via="app")
        work = [[(bundle, plan_job(bundle, "onnx-fp32", sustained))]]
        with pytest.raises(KeyboardInterrupt):
            device.run_groups(work, tick=stop)
    assert any(f"{PACKAGE}.CANCEL" in call for call in app.phone.calls("am"))
    assert app.phone.calls("am")[-1] == f"force-stop {PACKAGE}"


RECIPE = """
name: tiny
resolution: 32
data: {source: builtin, effect: ink, train_crops: 4, val_crops: 2}
teacher: {ngf: 8, steps: 2, batch_size: 2}
export: {targets: [onnx]}
bundle: {}
bench: {device: android, iterations: 6, rounds: 3, runs: 1, warmup_iterations: 1}
"""


def test_a_recipe_measures_on_a_phone(make_bundle, app: SimulatedApp, tmp_path: Path) -> None:
    """The stage alone: its bundles are there, as if the stages before had made them."""
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    recipe = api.load_recipe(tmp_path / "recipe.yaml")
    run = tmp_path / "run"
    for role in roles(recipe):
        make_bundle(bundle_name(recipe, role)).rename(run_folder(run / "bundle") / f"{bundle_name(recipe, role)}.pgb")
    facts = bench.STAGE.run(Context(recipe, run, run_folder(run / "bench.partial"), join_processes()))
    assert facts == {"results": 2, "errors": []}
    measured = results(run / "bench.partial" / bench.RESULTS)
    assert {(result.job.via, result.device.name) for result in measured} == {("app", f"android:{app.phone.serial}")}
    assert bench.STAGE.outside(recipe, run)["name"] == f"android:{app.phone.serial}"


def run_folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def test_a_phone_that_is_absent_is_told_before_a_recipe_trains(
    pocketgan: Command, app: SimulatedApp, newest_adb: Adb, tmp_path: Path
) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("onnx", "coreml"))
    line = line_of(pocketgan("recipe", "check", "recipe.yaml"))
    assert f"bench.device android:{app.phone.serial} runs nothing of export.targets (coreml); it runs onnx" in line
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    assert pocketgan("recipe", "check", "recipe.yaml").returncode == 0
    newest_adb.ask("disconnect", app.phone.serial)
    line = line_of(pocketgan("run", "recipe.yaml", "--out", "run"))
    assert "no phone is connected: turn on USB debugging" in line
    assert not (tmp_path / "run" / "data").exists()
