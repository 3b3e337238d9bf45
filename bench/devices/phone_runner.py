"""The native runner for phones, as it lies on this computer, and on a phone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pocketgan.bench.devices.phone import Phone
from pocketgan.bench.devices.phone_folder import PhoneFolder
from pocketgan.bench.devices.transport import SessionFile
from pocketgan.bench.schema.result import DeviceInfo
from pocketgan.errors import DeviceError
from pocketgan.files import sha256_file

VARIABLE = "POCKETGAN_RUNNER"
FOLDER = "/data/local/tmp/pocketgan/runner"
PROGRAM, LIBRARY = "pocketgan-runner", "libonnxruntime.so"
HOW_TO_GET_IT = (
    "measuring in a phone's shell needs the native runner, built for the phone (docs/android.md): name the folder that "
    f"holds {PROGRAM} and {LIBRARY} in {VARIABLE}"
)
# e_machine of the ELF header, as Android calls the instruction set.
_MACHINES = {183: "arm64-v8a", 40: "armeabi-v7a", 62: "x86_64", 3: "x86"}


@dataclass(frozen=True)
class PhoneRunner:
    """Program and runtime, built for one instruction set.

    Attributes:
        abi: as Android calls it, such as arm64-v8a.
    """

    program: Path
    library: Path
    abi: str

    def install(self, phone: Phone, abis: Sequence[str]) -> None:
        """Put it on the phone, where it is not there already.

        Raises:
            DeviceError: it was built for another processor than the phone's, or the phone refuses.
        """
        if self.abi not in abis:
            raise DeviceError(
                f"phone {phone.serial} runs {', '.join(abis) or 'an unknown instruction set'}, and {self.program} was "
                f"built for {self.abi}: build it for the phone"
            )
        wanted = [
            SessionFile(name, path.resolve(), path.stat().st_size, sha256_file(path))
            for name, path in ((PROGRAM, self.program), (LIBRARY, self.library))
        ]
        place = PhoneFolder(phone, FOLDER)
        there = place.there()
        lacking = [file for file in wanted if there.get(file.path) != file.sha256]
        if lacking:
            place.send(lacking)
        # Every time: the cable may have come out just before, the last time.
        phone.check("chmod", "755", f"{FOLDER}/{PROGRAM}")

    def command(self, folder: str, info: DeviceInfo) -> list[str]:
        """The words that measure the session in that folder of the phone, which is called so in its results."""
        return [f"{FOLDER}/{PROGRAM}", folder, "--device", info.name, *(["--simulated"] if info.simulated else [])]


def find_runner() -> PhoneRunner:
    """The one in the folder that POCKETGAN_RUNNER names.

    Raises:
        DeviceError: there is none.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        raise DeviceError(HOW_TO_GET_IT)
    folder = Path(named)
    program, library = folder / PROGRAM, folder / LIBRARY
    for path in (program, library):
        if not path.is_file():
            raise DeviceError(f"{VARIABLE} names {folder}, which has no {path.name}; {HOW_TO_GET_IT}")
    abi, other = _abi(program), _abi(library)
    if abi != other:
        raise DeviceError(f"{program} was built for {abi}, and {library} for {other}: both have to be the phone's")
    return PhoneRunner(program, library, abi)


def _abi(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(20)
    machine = int.from_bytes(head[18:20], "little") if head[:4] == b"\x7fELF" else None
    if machine not in _MACHINES:
        raise DeviceError(f"{path} is no program or library for Android phones")
    return _MACHINES[machine]
