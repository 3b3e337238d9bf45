"""Fetch the engines' libraries for phones: python3 android_harness/app/engines.py. `make apk` runs it.

Maven Central has none of them.
Needs npm. Versions and hashes are those of android_harness/pom.xml; of each package, what the app needs is kept.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HARNESS = Path(__file__).resolve().parents[1]
FETCHED = HARNESS / "target" / "engines"
ABI = "arm64-v8a"


class PackError(Exception):
    """One line that says what is missing or wrong."""


@dataclass(frozen=True)
class Engine:
    """An npm package with an engine. `files` of it are kept, under the same paths."""

    name: str
    files: tuple[str, ...]


ONNX_RUNTIME = Engine("onnxruntime", ("Plugins/Android/onnxruntime.aar", "LICENSE", "ThirdPartyNotices.txt"))
EXECUTORCH = Engine(
    "executorch",
    ("android/libs/classes.jar", f"third-party/android/libs/executorch/{ABI}/libexecutorch.so"),
)


def main() -> None:
    try:
        if shutil.which("npm") is None:
            raise PackError("needed and not on the PATH: npm (Node.js with npm)")
        for engine in (ONNX_RUNTIME, EXECUTORCH):
            fetch(engine, versions())
    except PackError as error:
        sys.exit(f"engines: {error}")


def versions() -> Mapping[str, str]:
    """The properties of android_harness/pom.xml."""
    namespace = "{http://maven.apache.org/POM/4.0.0}"
    properties = ET.parse(HARNESS / "pom.xml").getroot().find(f"{namespace}properties")
    assert properties is not None
    return {one.tag.removeprefix(namespace): (one.text or "").strip() for one in properties}


def folder(engine: Engine, wanted: Mapping[str, str]) -> Path:
    """Where its files lie; it is there once the package's hash was right."""
    return FETCHED / wanted[f"{engine.name}.npm"]


def fetch(engine: Engine, wanted: Mapping[str, str]) -> None:
    """Raises PackError where npm does not serve the package that is wanted."""
    name, kept = wanted[f"{engine.name}.npm"], folder(engine, wanted)
    if all((kept / file).is_file() for file in engine.files):
        return
    shutil.rmtree(kept, ignore_errors=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as fetched:
        run("npm", "pack", "--silent", "--prefer-offline", "--pack-destination", fetched, name)
        (package,) = Path(fetched).iterdir()
        if digest(package) != wanted[f"{engine.name}.npm.sha512"]:
            raise PackError(f"npm's {name} is not the package that android_harness/pom.xml names by its hash")
        unpacked = Path(fetched) / "unpacked"
        with tarfile.open(package) as archive:
            for path in engine.files:
                content = archive.extractfile(f"package/{path}")
                assert content is not None
                (unpacked / path).parent.mkdir(parents=True, exist_ok=True)
                (unpacked / path).write_bytes(content.read())
        unpacked.rename(kept)


def digest(path: Path) -> str:
    """SHA-512 in base64, as npm writes it."""
    return base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


def run(*command: str) -> None:
    """Run a tool that has nothing to say unless it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise PackError(f"{command[0]} failed: {said[-1] if said else f'exit code {done.returncode}'}")


if __name__ == "__main__":
    main()
