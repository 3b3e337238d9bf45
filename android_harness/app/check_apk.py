"""What an APK of the harness must hold: python3 android_harness/app/check_apk.py FILE. `make apk` runs it.

Needs aapt2 and apksigner.
"""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

from check_libraries import PAGE, problems_of_libraries

MOST_BYTES = 25_000_000
FORBIDDEN = ("android.permission.INTERNET", "android.permission.ACCESS_NETWORK_STATE")


def main() -> None:
    found = problems(Path(sys.argv[1]))
    for problem in found:
        print(f"{sys.argv[1]}: {problem}", file=sys.stderr)
    sys.exit(1 if found else 0)


def problems(apk: Path) -> list[str]:
    """What is wrong with it, a line each."""
    found = [*signature_problems(apk), *permission_problems(apk)]
    if apk.stat().st_size >= MOST_BYTES:
        found.append(f"is {apk.stat().st_size / 1e6:.1f} MB; less than {MOST_BYTES / 1e6:.0f} is asked")
    with zipfile.ZipFile(apk) as packed:
        libraries = [entry for entry in packed.infolist() if entry.filename.endswith(".so")]
        if not libraries:
            found.append("has no library of an engine")
        for entry in libraries:
            # What is compressed is unpacked by the installer; what is not is mapped where it lies.
            if entry.compress_type == zipfile.ZIP_STORED and data_offset(packed, entry) % PAGE:
                found.append(f"{entry.filename} lies across pages of {PAGE} bytes")
        contents = {entry.filename: packed.read(entry) for entry in libraries}
        bytecode = packed.read("classes.dex") if "classes.dex" in packed.namelist() else None
        found += problems_of_libraries(contents, bytecode)
    return found


def signature_problems(apk: Path) -> list[str]:
    """By apksigner: v2 for Android 7 and newer, v3 for 9 and newer."""
    done = subprocess.run(["apksigner", "verify", "--verbose", str(apk)], capture_output=True, text=True, check=False)
    if done.returncode:
        return [f"is not signed: {(done.stderr or done.stdout).strip().splitlines()[0]}"]
    return [
        f"has no signature of scheme v{scheme}"
        for scheme in (2, 3)
        if not re.search(rf"^Verified using v{scheme} scheme .*: true$", done.stdout, re.MULTILINE)
    ]


def permission_problems(apk: Path) -> list[str]:
    """What is measured leaves the phone through adb alone."""
    command = ["aapt2", "dump", "permissions", str(apk)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [f"asks for {permission}" for permission in FORBIDDEN if f"'{permission}'" in told]


def data_offset(packed: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """Where an entry's content begins in the file: its own header may be longer than the directory says."""
    assert packed.fp is not None
    packed.fp.seek(entry.header_offset)
    name, extra = struct.unpack("<26xHH", packed.fp.read(30))
    return int(entry.header_offset + 30 + name + extra)


if __name__ == "__main__":
    main()
