"""Pack the library for apps, with core and the engines inside, into one file: python3 bundle/pack_aar.py.

`make aar` runs it, after Maven compiled the modules. An AAR is a ZIP: classes.jar, libs/ for more of them, a manifest,
and the rules that an app's R8 takes from it. The runtimes themselves (ONNX Runtime, ExecuTorch) are the app's.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

HARNESS = Path(__file__).resolve().parents[1]
POM = "{http://maven.apache.org/POM/4.0.0}"
MODULES = {"core": "core", "onnxruntime": "onnxruntime", "executorch": "executorch"}
MANIFEST = """<?xml version="1.0" encoding="utf-8"?>
<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="org.pocketgan.effects">
    <uses-sdk android:minSdkVersion="{minimum}" />
</manifest>
"""
# No file has a time of its own, so that equal sources make equal files.
EPOCH = (1981, 1, 1, 0, 0, 0)


def main() -> None:
    try:
        path = pack()
    except FileNotFoundError as error:
        sys.exit(f"pack_aar: {error.filename} is not there; compile it first: make aar")
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


def pack() -> Path:
    """Make the AAR; where it lies.

    Raises:
        FileNotFoundError: a module is not compiled.
    """
    pom = ET.parse(HARNESS / "pom.xml").getroot()
    version = pom.findtext(f"{POM}version")
    minimum = pom.findtext(f"{POM}properties/{POM}android.minSdk")
    contents = {
        "AndroidManifest.xml": MANIFEST.format(minimum=minimum).encode(),
        "classes.jar": jar("bundle", "effects", version),
        "R.txt": b"",
        "proguard.txt": (HARNESS / "bundle" / "consumer-rules.pro").read_bytes(),
        "LICENSE": (HARNESS.parent / "LICENSE").read_bytes(),
    }
    for folder, name in MODULES.items():
        contents[f"libs/pocketgan-{name}.jar"] = jar(folder, name, version)
    path = HARNESS / "target" / f"pocketgan-effects-{version}.aar"
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as aar:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            aar.writestr(entry, content)
    return path


def jar(folder: str, name: str, version: str | None) -> bytes:
    """A module's classes as Maven packed them."""
    return (HARNESS / folder / "target" / f"{name}-{version}.jar").read_bytes()


if __name__ == "__main__":
    main()
