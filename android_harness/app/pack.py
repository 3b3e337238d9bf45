"""Pack the app that Maven compiled into a signed APK: python3 android_harness/app/pack.py. `make apk` runs it.

Needs a JDK, npm, zipalign and apksigner. Versions are those of android_harness/pom.xml.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Mapping
from pathlib import Path

APP = Path(__file__).resolve().parent
TARGET = APP / "target"
APK = TARGET / "pocketgan-harness.apk"
ABI = "arm64-v8a"
TOOLS = {
    "java": "a JDK 17",
    "keytool": "a JDK 17",
    "npm": "Node.js with npm",
    "zipalign": "Debian's zipalign, or the SDK's build-tools",
    "apksigner": "Debian's apksigner, or the SDK's build-tools",
}
AAR, LICENCES = "Plugins/Android/onnxruntime.aar", ("LICENSE", "ThirdPartyNotices.txt")
LIBRARIES = ("libonnxruntime.so", "libonnxruntime4j_jni.so")
# The same key and password as those of Android's own tools: whoever has an app that they signed can install over it.
PASSWORD, ALIAS = "android", "androiddebugkey"
# No file has a time of its own, so that equal sources make equal entries.
EPOCH = (1981, 1, 1, 0, 0, 0)


class PackError(Exception):
    """One line that says what is missing or wrong."""


def main() -> None:
    try:
        missing = [f"{tool} ({where})" for tool, where in TOOLS.items() if shutil.which(tool) is None]
        if missing:
            raise PackError(f"needed and not on the PATH: {', '.join(missing)}")
        pack(versions())
    except PackError as error:
        sys.exit(f"pack: {error}")
    print(f"{APK}: {APK.stat().st_size / 1e6:.1f} MB")


def versions() -> Mapping[str, str]:
    """The properties of android_harness/pom.xml."""
    namespace = "{http://maven.apache.org/POM/4.0.0}"
    properties = ET.parse(APP.parent / "pom.xml").getroot().find(f"{namespace}properties")
    assert properties is not None
    return {one.tag.removeprefix(namespace): (one.text or "").strip() for one in properties}


def pack(wanted: Mapping[str, str]) -> None:
    """Make the APK, or leave the one that is there."""
    if not (TARGET / "resources.apk").exists():
        raise PackError("the app is not compiled: mvn -Papp -f android_harness/pom.xml package")
    package = engine(wanted)
    aar = zipfile.ZipFile(package / AAR)
    check_version(aar, wanted)
    licences = {f"onnxruntime/{name}": (package / name).read_bytes() for name in LICENCES}
    licences["LICENSE"] = (APP.parents[1] / "LICENSE").read_bytes()
    contents = {f"assets/licences/{name}": text for name, text in licences.items()}
    contents |= {f"lib/{ABI}/{name}": aar.read(f"jni/{ABI}/{name}") for name in LIBRARIES}
    with tempfile.TemporaryDirectory(dir=TARGET) as made:
        folder = Path(made)
        classes = folder / "onnxruntime.jar"
        classes.write_bytes(aar.read("classes.jar"))
        contents["classes.dex"] = bytecode(folder, classes, wanted).read_bytes()
        unaligned, aligned = folder / "unaligned.apk", folder / "aligned.apk"
        assemble(unaligned, contents)
        run("zipalign", "-p", "4", str(unaligned), str(aligned))
        sign(aligned)
        aligned.replace(APK)


def engine(wanted: Mapping[str, str]) -> Path:
    """The folder with what is needed of ONNX Runtime's npm package; it is there once its hash was right."""
    name = wanted["onnxruntime.npm"]
    kept = TARGET / "engines" / name
    if kept.exists():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as fetched:
        run("npm", "pack", "--silent", "--prefer-offline", "--pack-destination", fetched, name)
        (package,) = Path(fetched).iterdir()
        if digest(package) != wanted["onnxruntime.npm.sha512"]:
            raise PackError(f"npm's {name} is not the package that android_harness/pom.xml names by its hash")
        unpacked = Path(fetched) / "unpacked"
        with tarfile.open(package) as archive:
            for path in (AAR, *LICENCES):
                content = archive.extractfile(f"package/{path}")
                assert content is not None
                (unpacked / path).parent.mkdir(parents=True, exist_ok=True)
                (unpacked / path).write_bytes(content.read())
        unpacked.rename(kept)
    return kept


def check_version(aar: zipfile.ZipFile, wanted: Mapping[str, str]) -> None:
    """The library's own version, as its exported symbols carry it."""
    version = wanted["onnxruntime.version"]
    if f"VERS_{version}\0".encode() not in aar.read(f"jni/{ABI}/{LIBRARIES[0]}"):
        name = wanted["onnxruntime.npm"]
        raise PackError(f"{name} holds another ONNX Runtime than {version}, which the app was compiled and tested with")


def digest(path: Path) -> str:
    """SHA-512 in base64, as npm writes it."""
    return base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


def bytecode(folder: Path, engine_classes: Path, wanted: Mapping[str, str]) -> Path:
    """Android's bytecode of the app and its libraries; ONNX Runtime's is of its aar, not of the JVM's jar."""
    of_jvm = f"onnxruntime-{wanted['onnxruntime.version']}.jar"
    libraries = [path for path in (TARGET / "lib").glob("*.jar") if path.name != of_jvm]
    app = TARGET / f"app-{project_version()}.jar"
    android = (TARGET / "android-jar.txt").read_text().strip()
    tool = TARGET / "tools" / f"r8-{wanted['r8.version']}.jar"
    d8 = ["java", "-cp", str(tool), "com.android.tools.r8.D8", "--release", "--min-api", wanted["android.minSdk"]]
    run(*d8, "--lib", android, "--output", str(folder), *map(str, [app, engine_classes, *sorted(libraries)]))
    return folder / "classes.dex"


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


def run(*command: str) -> None:
    """Run a tool that has nothing to say unless it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise PackError(f"{command[0]} failed: {said[-1] if said else f'exit code {done.returncode}'}")


if __name__ == "__main__":
    main()
