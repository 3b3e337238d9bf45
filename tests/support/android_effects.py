"""The library for apps as `make apk` left it: its tests under Robolectric. Nothing is built here."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import android_app

BUNDLE = android_app.ROOT / "bundle"
TARGET = BUNDLE / "target"


def run_tests(name: str, **properties: Path) -> subprocess.CompletedProcess[str]:
    """Run a test class of the library, which is given paths as properties."""
    own: list[Path] = [TARGET / "test-classes", TARGET / "classes", TARGET / "aar" / "monitor" / "classes.jar"]
    class_path = ":".join([*map(str, own), (TARGET / "test-classpath.txt").read_text().strip()])
    paths = {**properties, "robolectric.dependency.dir": TARGET / "robolectric"}
    options = ["-Drobolectric.offline=true", *(f"-D{key}={value}" for key, value in paths.items())]
    # ONNX Runtime reads the command line by recursion: a long class path there would need a deep stack.
    return subprocess.run(
        ["java", "-XX:+UseSerialGC", *options, "org.junit.runner.JUnitCore", f"pocketgan.effects.{name}"],
        env={**os.environ, "CLASSPATH": class_path},
        capture_output=True,
        text=True,
        check=False,
    )
