"""The library for apps as `make apk` left it: its tests under Robolectric, and its AAR. Nothing is built here."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import android_app

BUNDLE = android_app.ROOT / "bundle"
TARGET = BUNDLE / "target"
AAR = android_app.ROOT / "target" / "pocketgan-effects-0.1.0.aar"
# Of an app with the README's example, and of the command line of the tests, so that what is left can be run on a JVM.
APP_RULES = """
-keep class pocketgan.effects.example.PosterActivity { *; }
-keep class pocketgan.jvm.MainKt { public static void main(java.lang.String[]); }
"""


def run_tests(name: str, **properties: Path) -> subprocess.CompletedProcess[str]:
    """Run a test class of the library, which is given paths as properties."""
    own: list[Path] = [TARGET / "test-classes", TARGET / "classes", TARGET / "aar" / "monitor" / "classes.jar"]
    class_path = ":".join([*map(str, own), _class_path()])
    paths = {**properties, "robolectric.dependency.dir": TARGET / "robolectric"}
    options = ["-Drobolectric.offline=true", *(f"-D{key}={value}" for key, value in paths.items())]
    # ONNX Runtime reads the command line by recursion: a long class path there would need a deep stack.
    java = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    return subprocess.run(
        [*java, *options, "org.junit.runner.JUnitCore", f"pocketgan.effects.{name}"],
        env={**os.environ, "CLASSPATH": class_path},
        capture_output=True,
        text=True,
        check=False,
    )


def shrunk(folder: Path) -> Path:
    """What R8 makes of an app with the AAR, by the AAR's own rules, as classes for a JVM.

    Raises:
        AssertionError: R8 does not take it.
    """
    with zipfile.ZipFile(AAR) as aar:
        aar.extractall(folder / "aar")
    (folder / "app.pro").write_text(APP_RULES)
    app = folder / "app.jar"
    with zipfile.ZipFile(app, "w") as jar:
        for root, part in ((TARGET / "test-classes", "pocketgan/effects/example"), (_of("jvm"), "pocketgan/jvm")):
            for path in sorted((root / part).glob("*.class")):
                jar.write(path, str(path.relative_to(root)))
    needed = ("annotations-", "kotlin-stdlib-", "kotlinx-serialization-", "onnxruntime-1")
    libraries = [path for path in map(Path, _class_path().split(":")) if path.name.startswith(needed)]
    libraries = [path for path in libraries if "robolectric" not in path.parts]
    (android,) = (path for path in _class_path().split(":") if Path(path).name.startswith("android-all-"))
    (tool,) = (android_app.TARGET / "tools").glob("r8-*.jar")
    java = shutil.which("java")
    assert java is not None
    made = folder / "shrunk.jar"
    command = [
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        str(tool),
        "com.android.tools.r8.R8",
        "--classfile",
        "--release",
    ]
    command += ["--lib", android, "--lib", str(Path(java).resolve().parents[1]), "--output", str(made)]
    command += ["--pg-conf", str(folder / "aar" / "proguard.txt"), "--pg-conf", str(folder / "app.pro"), str(app)]
    command += [str(path) for path in [*sorted((folder / "aar").rglob("*.jar")), *libraries]]
    done = subprocess.run([java, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return made


def _of(module: str) -> Path:
    return android_app.ROOT / module / "target" / "classes"


def _class_path() -> str:
    return (TARGET / "test-classpath.txt").read_text().strip()
