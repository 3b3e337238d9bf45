"""The app for phones, as it lies on this computer, and on a phone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pocketgan.bench import app as packaged
from pocketgan.bench.devices.apk import Apk, read_apk
from pocketgan.bench.devices.phone import Phone, quoted
from pocketgan.bundle.manifest import Entry
from pocketgan.errors import DeviceError
from pocketgan.files import sha256_file
from pocketgan.targets import ANDROID, place_of, runs_on_host

PACKAGE = "org.pocketgan.harness"
FILE_NAME = "pocketgan-harness.apk"
# The phone's owner. adb's shell is theirs, and sees no storage of others; people with a work profile are two users.
USER = 0
HOW_TO_GET_IT = (
    "measuring in a phone's app needs the app, which this installation has not: make apk in a clone of pocketgan, or "
    "name one with --apk FILE (docs/android.md)"
)
# A script that tells the SHA-256 of what is installed: `pm path` names the very file, which everybody may read.
LOOK = (
    f"{quoted('pm', 'path', '--user', str(USER), PACKAGE)} 2> /dev/null | "
    "sed -n 's/^package://p' | while read -r path; do sha256sum \"$path\"; done"
)
_INSTALLED = re.compile(r"^([0-9a-f]{64}) ", re.MULTILINE)
# Libraries by which an app has a runtime, and the delegate that Qualcomm's chips need.
_RUNTIMES = {"onnxruntime": "libonnxruntime.so", "executorch": "libexecutorch"}
_QUALCOMM = ("executorch-qualcomm", "libqnn_executorch_backend.so")


class PhoneApp:
    """An APK of the app.

    Args:
        apk: of the package PACKAGE.
    """

    def __init__(self, apk: Apk) -> None:
        self.path, self.version = apk.path, apk.version
        self.abis = tuple(apk.libraries)
        self._libraries = frozenset[str]().union(*apk.libraries.values())

    @property
    def runtimes(self) -> Sequence[str]:
        """Those whose libraries are in it."""
        return tuple(
            runtime for runtime, start in _RUNTIMES.items() if any(name.startswith(start) for name in self._libraries)
        )

    def runs(self, entry: Entry) -> bool:
        """Whether a phone with this app can be asked to run the entry: one of its runtimes, with what its target calls.
        Whether the phone has what a delegate needs, such as Vulkan, its own answer says."""
        target, library = _QUALCOMM
        if entry.runtime not in self.runtimes or (entry.target == target and library not in self._libraries):
            return False
        return place_of(entry.target) == ANDROID or runs_on_host(entry.target, entry.runtime)

    def install(self, phone: Phone, abis: Sequence[str], looked: str) -> None:
        """Put it on the phone, where not the very same lies there: a build of the same version is another one.

        Args:
            abis: the phone's instruction sets. looked: what LOOK told there, among other lines.
        Raises:
            DeviceError: it holds no libraries for the phone, an app of another key is there, or the phone refuses.
        """
        if _INSTALLED.findall(looked) == [sha256_file(self.path)]:
            return
        if self.abis and not set(self.abis) & set(abis):
            raise DeviceError(
                f"phone {phone.serial} runs {', '.join(abis) or 'an unknown instruction set'}, and {self.path} was "
                f"built for {', '.join(self.abis)}: build it for the phone, or name another with --apk FILE"
            )
        phone.install(self.path, PACKAGE, user=USER)


def find_app(named: Path | None = None) -> PhoneApp:
    """The APK of that name, else the one that was built in this clone, else the one that came with the wheel.

    Raises:
        DeviceError: there is none, or it is no APK of this app.
    """
    if named is not None and not named.is_file():
        raise DeviceError(f"there is no file {named} (--apk)")
    for path in [named] if named is not None else _places():
        if path.is_file():
            apk = read_apk(path)
            if apk.package != PACKAGE:
                raise DeviceError(f"{path} is the app {apk.package}, not {PACKAGE}, which measures: make apk builds it")
            return PhoneApp(apk)
    raise DeviceError(HOW_TO_GET_IT)


def _places() -> list[Path]:
    # Resolved: an installation of a clone links its modules one by one.
    folder = Path(packaged.__file__).resolve().parent
    return [folder.parents[1] / "android_harness" / "app" / "target" / FILE_NAME, folder / FILE_NAME]
