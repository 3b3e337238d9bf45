"""A session folder on a phone, through the real adb: what is sent, what runs, what comes back, and every cut."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from adb_device import SimulatedPhone
from adb_server import until

from pocketgan.bench.devices.adb import Adb
from pocketgan.bench.devices.android import SHELL_FOLDER, AdbTransport
from pocketgan.bench.devices.app_session import FOLDER, AppSession
from pocketgan.bench.devices.phone import Phone
from pocketgan.bench.devices.shell_process import ShellProcess
from pocketgan.bench.devices.transport import OutOfReachError, SessionFile
from pocketgan.errors import DeviceError

ODD = "bundles/a b'c\"$d/é;-x.bin"


@pytest.fixture
def folder(simulated: SimulatedPhone) -> Path:
    """The session folder, on this computer."""
    return simulated.at(SHELL_FOLDER)


@pytest.fixture
def over(adb: Adb, simulated: SimulatedPhone) -> Callable[..., AdbTransport]:
    """A transport whose session is carried out by a script in the phone's shell, run in the session folder."""

    def make(script: str = "exit 9") -> AdbTransport:
        return AdbTransport(Phone(adb, simulated.serial), ShellProcess(lambda _: ["sh", "-c", script]))

    return make


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str, bytes], SessionFile]:
    """A file of a session."""

    def make(path: str, content: bytes) -> SessionFile:
        source = tmp_path / "source" / hashlib.sha256(path.encode()).hexdigest()
        source.parent.mkdir(exist_ok=True)
        source.write_bytes(content)
        return SessionFile(path, source, len(content), hashlib.sha256(content).hexdigest())

    return make


def reconnect(simulated: SimulatedPhone, adb: Adb) -> None:
    """adb looks for a phone on TCP again after a second; this one is connected to at once."""
    adb.ask("disconnect", simulated.serial)
    adb.connect(simulated.serial)
    until(lambda: adb.ask("-s", simulated.serial, "shell", "true").code == 0)


def test_files_arrive_whole_under_their_names(over, file, folder: Path) -> None:
    transport = over()
    assert transport.there() == {}
    files = [file(ODD, b"weights\r\n" * 9000), file("bundles/x/same", b"{}"), file("session.json", b"{}")]
    transport.send(files)
    assert transport.there() == {sent.path: sent.sha256 for sent in files}
    assert (folder / ODD).read_bytes() == b"weights\r\n" * 9000
    replaced = [file("session.json", b'{"name": "next"}')]
    transport.send(replaced)
    assert (folder / "session.json").read_bytes() == b'{"name": "next"}'
    assert transport.there()[ODD] == files[0].sha256


def test_hundreds_of_files_arrive_in_few_commands(over, file, simulated: SimulatedPhone) -> None:
    transport = over()
    files = [file(f"bundles/{number:064}/models/onnx-fp32/part {number}", b"%d" % number) for number in range(150)]
    transport.send(files)
    assert transport.there() == {sent.path: sent.sha256 for sent in files}


def test_what_is_not_kept_is_gone_with_its_folders(over, file, folder: Path) -> None:
    transport = over()
    kept = file("bundles/kept/model", b"1")
    transport.send([kept, file("bundles/gone/deep/model", b"2"), file("session.json", b"3")])
    (folder / "results.jsonl").write_bytes(b"{}\n")
    transport.clean_up({kept.path})
    assert [str(path.relative_to(folder)) for path in folder.rglob("*")] == ["bundles", "bundles/kept", kept.path]
    transport.clean_up(())
    assert transport.there() == {}
    transport.clean_up(())


def test_what_came_before_the_cable_came_out_is_not_sent_again(
    over, file, adb: Adb, simulated: SimulatedPhone, folder: Path
) -> None:
    transport = over()
    large = file("bundles/x/large", bytes(500_000))
    small = [file(f"bundles/x/{number}", b"%d" % number) for number in range(8)]
    simulated.faults.unplug = ("push", 200_000)
    with pytest.raises(OutOfReachError):
        transport.send([*small, large])
    assert not (folder / "bundles").exists()  # each whole or not at all
    simulated.plug_in()
    reconnect(simulated, adb)
    whole = {Path(name).name for name in simulated.received}  # adb takes a folder in the order of the file system
    simulated.received.clear()
    transport.send([*small, large])
    assert transport.there() == {sent.path: sent.sha256 for sent in (*small, large)}
    second = {Path(name).name for name in simulated.received}
    assert whole | second == {sent.sha256 for sent in (*small, large)}
    assert not whole & second


def test_a_file_that_arrives_damaged_is_not_put_in_its_place(
    over, file, simulated: SimulatedPhone, folder: Path
) -> None:
    simulated.faults.lost_bytes = 3
    with pytest.raises(DeviceError, match=r"bundles/x/model arrived damaged 2 times; try another cable"):
        over().send([file("bundles/x/model", b"weights")])
    assert not (folder / "bundles").exists()


def test_a_full_phone_keeps_what_it_has(over, file, simulated: SimulatedPhone, folder: Path) -> None:
    transport = over()
    transport.send([file("session.json", b"first")])
    simulated.faults.free_bytes = 100
    with pytest.raises(DeviceError, match="it is full"):
        transport.send([file("bundles/x/model", bytes(101)), file("session.json", b"second")])
    assert (folder / "session.json").read_bytes() == b"first"


def test_a_session_runs_on_its_own_and_is_read_as_it_grows(over, file, adb: Adb, simulated: SimulatedPhone) -> None:
    transport = over("echo one > results.jsonl; while [ ! -f go ]; do sleep 0.02; done; echo two >> results.jsonl")
    transport.send([file("session.json", b"{}")])
    assert not transport.alive()
    assert transport.read(0) == b""
    transport.start()
    until(lambda: transport.read(0) == b"one\n")
    simulated.unplug()
    with pytest.raises(OutOfReachError):
        transport.alive()
    simulated.plug_in()
    reconnect(simulated, adb)
    assert transport.alive()
    simulated.at(f"{SHELL_FOLDER}/go").touch()
    until(lambda: not transport.alive())
    assert transport.read(4) == b"two\n"


def test_stopping_ends_what_the_session_started_too(over, file, folder: Path) -> None:
    transport = over("sleep 60 & echo $! > child; wait")
    transport.send([file("session.json", b"{}")])
    transport.start()
    until(lambda: (folder / "child").exists() and bool((folder / "child").read_text()))
    transport.stop()
    assert not transport.alive()
    child = Path(f"/proc/{int((folder / 'child').read_text())}/stat")
    assert not child.exists() or child.read_text().split(") ")[1][0] == "Z"
    transport.stop()


def test_a_restart_of_the_phone_ends_it_even_where_another_process_has_its_number(
    over, file, adb: Adb, simulated: SimulatedPhone, folder: Path
) -> None:
    transport = over("sleep 60")
    transport.send([file("session.json", b"{}")])
    transport.start()
    assert transport.alive()
    simulated.reboot(down_s=0)
    reconnect(simulated, adb)
    assert not transport.alive()
    # This process lives, and started at another time.
    _, at = (folder / ".measuring").read_text().split()
    (folder / ".measuring").write_text(f"{threading.get_native_id()} {int(at) + 1}\n")
    assert not transport.alive()
    transport.stop()


@pytest.mark.parametrize(("script", "said"), [("echo no engine >&2; exit 2", "no engine"), ("kill -9 $$", "exit code")])
def test_what_ends_at_once_says_why(over, file, script: str, said: str) -> None:
    transport = over(script)
    transport.send([file("session.json", b"{}")])
    with pytest.raises(DeviceError, match=f"starting the session failed: .*{said}"):
        transport.start()


def test_a_session_that_was_begun_when_the_cable_came_out_is_known(
    over, file, adb: Adb, simulated: SimulatedPhone, folder: Path
) -> None:
    transport = over("touch begun; sleep 60")
    transport.send([file("session.json", b"{}")])

    def cable() -> None:
        until((folder / "begun").exists)
        simulated.unplug()

    thread = threading.Thread(target=cable)
    thread.start()
    with pytest.raises(OutOfReachError):
        transport.start()
    thread.join()
    simulated.plug_in()
    reconnect(simulated, adb)
    assert transport.alive()
    transport.stop()


def test_a_session_that_is_done_at_once_is_no_fault(over, file) -> None:
    transport = over("echo end > results.jsonl")
    transport.send([file("session.json", b"{}")])
    transport.start()
    assert not transport.alive()
    assert transport.read(0) == b"end\n"


def test_the_session_of_the_app_lies_where_it_may_read(adb: Adb, simulated: SimulatedPhone, file) -> None:
    """`Context.getExternalFilesDir` of the owner, and `sessions/` in it (app/SessionWork.kt)."""
    transport = AdbTransport(Phone(adb, simulated.serial), AppSession(), FOLDER)
    sent = file("session.json", b"{}")
    transport.send([sent])
    own = "/sdcard/Android/data/org.pocketgan.harness/files/sessions/pocketgan"
    assert simulated.at(f"{own}/{sent.path}").read_bytes() == b"{}"
