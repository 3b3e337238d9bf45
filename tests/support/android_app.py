"""The Android app as `make apk` left it: its tests under Robolectric, and its APK. Nothing is built here."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2] / "android_harness"
APP = ROOT / "app"
TARGET = APP / "target"
APK = TARGET / "pocketgan-harness.apk"


def left_out(*tools: str) -> str | None:
    """Why neither app nor APK is tested here; None where they are.

    Args:
        tools: commands that the test needs.
    """
    missing = [tool for tool in ("java", *tools) if shutil.which(tool) is None]
    if missing:
        return f"{' and '.join(missing)} not installed"
    modules = ("core", "onnxruntime", "executorch", "bundle", "app")
    files = [path for name in modules for path in (ROOT / name).rglob("*") if path.is_file()]
    made = {"target", "build", "__pycache__"}  # by Maven, by Gradle, by Python
    sources = [ROOT / "pom.xml", *(path for path in files if made.isdisjoint(path.relative_to(ROOT).parts))]
    if not APK.exists() or max(path.stat().st_mtime for path in sources) > APK.stat().st_mtime:
        return "not built, or older than its sources; build it with: make apk"
    return None


def tests_of(*names: str, **given: Path) -> list[str]:
    """The command that runs test classes of the app, which find what is given to them in system properties."""
    properties = {
        **given,
        "robolectric.offline": "true",
        "robolectric.dependency.dir": TARGET / "robolectric",
    }
    own: list[Path] = [TARGET / "test-classes", TARGET / "classes", TARGET / "aar" / "monitor" / "classes.jar"]
    class_path = ":".join([*map(str, own), (TARGET / "test-classpath.txt").read_text().strip()])
    options = [f"-D{key}={value}" for key, value in properties.items()]
    return [
        "java",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        *options,
        "-cp",
        class_path,
        "org.junit.runner.JUnitCore",
        *(f"pocketgan.app.{name}" for name in names),
    ]
