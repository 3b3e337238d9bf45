"""A simulated phone whose app and native runner play Results from a script: for tests of the host's side, from the
command line through the real adb and back. No model runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from adb_device import SimulatedPhone
from android_phones import ANDROID_13
from simulated_app import SimulatedApp, make_apk

from pocketgan.bench.devices.phone_runner import LIBRARY, PROGRAM

# -S: no packages, so that Python starts in 15 ms.
PROGRAM_WORDS = (sys.executable, "-S", str(Path(__file__).parent / "replaying_runner.py"))


@dataclass
class Script:
    """What the runner does.

    Attributes:
        frames_ns: what frames take, one after the other through all sessions, from the start again after the last.
        slower: factors on them, by the name of a bundle.
        pause_s: before each Result.
        faults: what goes wrong, by the name of a bundle: "dies", "dies once", "half a line once", "hangs", "corrupt",
            "too fast", "clock jump", "wrong output".
        ends_with: the error of the end.
    """

    frames_ns: Sequence[int] = (10_000_000,)
    slower: Mapping[str, float] = field(default_factory=dict)
    pause_s: float = 0.0
    faults: Mapping[str, str] = field(default_factory=dict)
    ends_with: str | None = None


def replaying_phone(root: Path, script: Script | None = None, told: Mapping[str, str] = ANDROID_13) -> SimulatedPhone:
    """The phone; `told` is what it says of itself. It is plugged in where its context is entered."""
    phone = SimulatedPhone(root, dict(told), emulator=PROGRAM_WORDS)
    phone.told["script.json"] = json.dumps(asdict(script or Script()))
    return phone


def change_script(phone: SimulatedPhone, script: Script) -> None:
    """From the next session on."""
    (phone.root / "state" / "script.json").write_text(json.dumps(asdict(script)))
    (phone.root / "state" / "played").unlink(missing_ok=True)


def allow(phone: SimulatedPhone, count: int) -> None:
    """It measures so many Jobs in all, and waits then until more are allowed."""
    path = phone.root / "state" / "allowed"
    path.with_suffix(".new").write_text(str(count))
    path.with_suffix(".new").replace(path)


def measured(phone: SimulatedPhone) -> list[str]:
    """Names of the bundles whose Jobs were measured, in order."""
    return [line.split()[0] for line in jobs_measured(phone)]


def jobs_measured(phone: SimulatedPhone) -> list[str]:
    """Every Job that was measured, in order, as "BUNDLE ENTRY COMPONENT RUN"; no component is "-"."""
    log = phone.root / "state" / "measured"
    return log.read_text().splitlines() if log.exists() else []


def runner_folder(folder: Path) -> Path:
    """What POCKETGAN_RUNNER names: heads of a native runner and of its library, for arm64."""
    folder.mkdir()
    for name in (PROGRAM, LIBRARY):
        (folder / name).write_bytes(b"\x7fELF" + bytes(14) + (183).to_bytes(2, "little") + name.encode())
    return folder


def app_file(path: Path, content: bytes = b"") -> Path:
    """What --apk names, for arm64."""
    return make_apk(path, libraries=["lib/arm64-v8a/libonnxruntime.so"], content=content)


def replaying_app(phone: SimulatedPhone) -> SimulatedApp:
    """The app on such a phone, which is plugged in."""
    return SimulatedApp(phone, program=PROGRAM_WORDS)
