"""Pack the app that Maven compiled into a signed APK: python3 android_harness/app/pack.py. `make apk` runs it.

Needs a JDK, zipalign and apksigner, and what engines.py fetched. Versions are those of android_harness/pom.xml.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from check_libraries import LEFT_OUT
from engines import ABI, EXECUTORCH, ONNX_RUNTIME, PackError, folder, run, versions

APP = Path(__file__).resolve().parent
TARGET = APP / "target"
APK = TARGET / "pocketgan-harness.apk"
# Texts that no package brings along.
OWN_LICENCES = APP / "licences"
TOOLS = {
    "java": "a JDK 17",
    "keytool": "a JDK 17",
    "zipalign": "Debian's zipalign, or the SDK's build-tools",
    "apksigner": "Debian's apksigner, or the SDK's build-tools",
}
AAR, *NOTICES = ONNX_RUNTIME.files
LIBRARIES = ("libonnxruntime.so", "libonnxruntime4j_jni.so")
CLASSES, EXECUTORCH_LIBRARY = EXECUTORCH.files
# What ExecuTorch's library is linked with.
FBJNI_LIBRARIES = ("libfbjni.so", "libc++_shared.so")
# The same key and password as those of Android's own tools: whoever has an app that they signed can install over it.
PASSWORD, ALIAS = "android", "androiddebugkey"
# No file has a time of its own, so that equal sources make equal entries.
EPOCH = (1981, 1, 1, 0, 0, 0)


def main() -> None:
    try:
        missing = [f"{tool} ({where})" for tool, where in TOOLS.items() if shutil.which(tool) is None]
        if missing:
            raise PackError(f"needed and not on the PATH: {', '.join(missing)}")
        pack(versions())
    except PackError as error:
        sys.exit(f"pack: {error}")
    print(f"{APK}: {APK.stat().st_size / 1e6:.1f} MB")


def pack(wanted: Mapping[str, str]) -> None:
    """Make the APK, or leave the one that is there."""
    if not (TARGET / "resources.apk").exists():
        raise PackError("the app is not compiled: mvn -Papp -f android_harness/pom.xml package")
    onnxruntime, executorch = folder(ONNX_RUNTIME, wanted), folder(EXECUTORCH, wanted)
    if not (onnxruntime.exists() and executorch.exists()):
        raise PackError("the engines are not there: python3 android_harness/app/engines.py")
    aar = zipfile.ZipFile(onnxruntime / AAR)
    check_version(aar, wanted)
    fbjni = zipfile.ZipFile(TARGET / "aar" / f"fbjni-{wanted['fbjni.version']}.aar")
    contents = licences(onnxruntime, aar)
    contents |= {f"lib/{ABI}/{name}": aar.read(f"jni/{ABI}/{name}") for name in LIBRARIES}
    contents |= {f"lib/{ABI}/{name}": fbjni.read(f"jni/{ABI}/{name}") for name in FBJNI_LIBRARIES}
    library = executorch / EXECUTORCH_LIBRARY
    contents[f"lib/{ABI}/{library.name}"] = library.read_bytes()
    with tempfile.TemporaryDirectory(dir=TARGET) as made:
        work = Path(made)
        classes = [
            classes_of(aar.read("classes.jar"), work / "onnxruntime.jar"),
            classes_of((executorch / CLASSES).read_bytes(), work / "executorch.jar"),
            classes_of(fbjni.read("classes.jar"), work / "fbjni.jar"),
        ]
        contents["classes.dex"] = bytecode(work, classes, wanted).read_bytes()
        unaligned, aligned = work / "unaligned.apk", work / "aligned.apk"
        assemble(unaligned, contents)
        run("zipalign", "-p", "4", str(unaligned), str(aligned))
        sign(aligned)
        aligned.replace(APK)


def licences(onnxruntime: Path, aar: zipfile.ZipFile) -> dict[str, bytes]:
    """What the makers of all that is inside ask to be handed on, by path in the APK."""
    classes = zipfile.ZipFile(io.BytesIO(aar.read("classes.jar")))
    texts = {"LICENSE": (APP.parents[1] / "LICENSE").read_bytes()}
    texts |= {f"onnxruntime/{name}": (onnxruntime / name).read_bytes() for name in NOTICES}
    texts["onnxruntime/LICENSE-1DS"] = classes.read("META-INF/LICENSE-1DS")
    texts |= {path.relative_to(OWN_LICENCES).as_posix(): path.read_bytes() for path in OWN_LICENCES.rglob("*.txt")}
    return {f"assets/licences/{name}": text for name, text in texts.items()}


def check_version(aar: zipfile.ZipFile, wanted: Mapping[str, str]) -> None:
    """The library's own version, as its exported symbols carry it."""
    version = wanted["onnxruntime.version"]
    if f"VERS_{version}\0".encode() not in aar.read(f"jni/{ABI}/{LIBRARIES[0]}"):
        name = wanted["onnxruntime.npm"]
        raise PackError(f"{name} holds another ONNX Runtime than {version}, which the app was compiled and tested with")


def classes_of(jar: bytes, target: Path) -> Path:
    """An engine's classes without those that would send what they saw of the app to its makers."""
    with zipfile.ZipFile(io.BytesIO(jar)) as given, zipfile.ZipFile(target, "w") as kept:
        for name in given.namelist():
            if name.endswith(".class") and not LEFT_OUT.fullmatch(name.removesuffix(".class")):
                kept.writestr(name, given.read(name))
    return target


def bytecode(work: Path, engines: Sequence[Path], wanted: Mapping[str, str]) -> Path:
    """Android's bytecode of the app and its libraries; ONNX Runtime's is of its aar, not of the JVM's jar."""
    of_jvm = f"onnxruntime-{wanted['onnxruntime.version']}.jar"
    libraries = [path for path in (TARGET / "lib").glob("*.jar") if path.name != of_jvm]
    app = TARGET / f"app-{project_version()}.jar"
    android = (TARGET / "android-jar.txt").read_text().strip()
    tool = TARGET / "tools" / f"r8-{wanted['r8.version']}.jar"
    d8 = ["java", "-cp", str(tool), "com.android.tools.r8.D8", "--release", "--min-api", wanted["android.minSdk"]]
    run(*d8, "--lib", android, "--output", str(work), *map(str, [app, *engines, *sorted(libraries)]))
    return work / "classes.dex"


def project_version() -> str:
    """The version of the harness."""
    version = ET.parse(APP.parent / "pom.xml").getroot().findtext("{http://maven.apache.org/POM/4.0.0}version")
    assert version is not None
    return version


def assemble(apk: Path, contents: Mapping[str, bytes]) -> None:
    """The resources as aapt2 left them, and what else is in it, by name."""
    with zipfile.ZipFile(TARGET / "resources.apk") as resources, zipfile.ZipFile(apk, "w") as packed:
        for resource in resources.infolist():
            packed.writestr(resource, resources.read(resource))
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, content, compresslevel=9)


def sign(apk: Path) -> None:
    """With this computer's debug key, which is made where there is none."""
    home = os.environ.get("ANDROID_USER_HOME")
    key = (Path(home) if home else Path.home() / ".android") / "debug.keystore"
    if not key.exists():
        key.parent.mkdir(parents=True, exist_ok=True)
        maker = ["keytool", "-genkeypair", "-keystore", str(key), "-storetype", "PKCS12", "-alias", ALIAS]
        maker += ["-storepass", PASSWORD, "-keypass", PASSWORD, "-keyalg", "RSA", "-keysize", "2048"]
        run(*maker, "-validity", "10000", "-dname", "CN=Android Debug,O=Android,C=US")
    run("apksigner", "sign", "--ks", str(key), "--ks-pass", f"pass:{PASSWORD}", "--ks-key-alias", ALIAS, str(apk))


if __name__ == "__main__":
    main()
