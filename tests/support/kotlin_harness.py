"""The Kotlin core on this machine's JVM: built anew when its sources are newer, and asked what it thinks of files.

Nothing is downloaded here: `make harness` does that. Where JDK or Maven are missing, `left_out` says so, and the
judgements agree with whatever Python says.
"""

from __future__ import annotations

import atexit
import base64
import fcntl
import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pocketgan.bench.schema.generate import MODELS
from pocketgan.bundle.check import check
from pocketgan.bundle.damage import DamageError
from pocketgan.bundle.manifest_file import read_manifest
from pocketgan.bundle.reader import open_bundle
from pocketgan.errors import BundleError

ROOT = Path(__file__).resolve().parents[2] / "android_harness"
BUILT = ROOT / "target" / "built"
OLDEST_JAVA = 17
# What the libraries of the two languages say in their own words, and what of it is the same.
_OWN_WORDS = re.compile(
    r"(is damaged|cannot be read|manifest\.json is not JSON|manifest\.json is not UTF-8|"
    r"manifest\.json is not valid: Invalid JSON|signature\.json is damaged): (?!it )"
)


def left_out() -> str | None:
    """Why the harness is not run here; None where it is. Builds it where that is due.

    Raises:
        AssertionError: it does not compile, or its own tests fail.
    """
    reason, failure = _state()
    assert failure is None, failure
    return reason


@cache
def _state() -> tuple[str | None, str | None]:
    """Why it is left out, and what Maven says where it does not build."""
    missing = [command for command in ("java", "mvn") if shutil.which(command) is None]
    if missing:
        return f"{' and '.join(missing)} not installed; needed: a JDK {OLDEST_JAVA} and Maven", None
    version = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    major = re.search(r'version "(\d+)', version)
    if not major or int(major[1]) < OLDEST_JAVA:
        return f"java is older than {OLDEST_JAVA}", None
    BUILT.parent.mkdir(exist_ok=True)
    with (BUILT.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _build() if _is_due() else (None, None)


def _is_due() -> bool:
    folders = [ROOT / "core", ROOT / "onnxruntime", ROOT / "jvm", ROOT.parent / "bench" / "schema"]
    files = [path for folder in folders for kind in ("*.kt", "*.xml", "*.json") for path in folder.rglob(kind)]
    sources = [ROOT / "pom.xml", *(path for path in files if "target" not in path.relative_to(ROOT.parent).parts)]
    return not BUILT.exists() or max(path.stat().st_mtime for path in sources) > BUILT.stat().st_mtime


def _build() -> tuple[str | None, str | None]:
    command = ["mvn", "--batch-mode", "--quiet", "--offline", "--file", str(ROOT / "pom.xml"), "package"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    if done.returncode and "offline mode" in output:
        return "its Maven packages are not here yet; get them with: make harness", None
    if done.returncode:
        return None, output
    BUILT.touch()
    return None, None


def java(*arguments: str) -> list[str]:
    """The command that runs the harness on a JVM."""
    target = ROOT / "jvm" / "target"
    return ["java", "-XX:+UseSerialGC", "-cp", f"{target / 'classes'}:{target / 'lib'}/*", *arguments]


@cache
def _judge() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        java("pocketgan.jvm.MainKt", "judge"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(process.kill)
    return process


def ask(what: str, **question: str) -> dict[str, Any]:
    """Kotlin's judgement (`problems`, `refused`) of one file or text; see Judge.kt for what may be asked."""
    process = _judge()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps({"what": what, **question}) + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    assert answer, "the Kotlin judge died; its error is above"
    judgement: dict[str, Any] = json.loads(answer)
    return judgement


def must_agree_about_bundle(path: Path) -> None:
    """Kotlin and Python find the same wrong with the bundle, in the same words, and open it or not alike."""
    if left_out():
        return
    try:
        problems, refused = check(path), False
    except BundleError as error:
        problems, refused = [_reason(error, path)], True
    judgement = ask("bundle", path=str(path))
    assert [_shared(text) for text in judgement["problems"]] == [_shared(text) for text in problems]
    assert judgement["refused"] is refused
    try:
        open_bundle(path).close()
        reasons = []
    except BundleError as error:
        reasons = [_reason(error, path)]
    opened = ask("open", path=str(path))["problems"]
    assert [_shared(text) for text in opened] == [_shared(text) for text in reasons]


def must_agree_about_document(kind: str, text: str) -> None:
    """Kotlin and Python find the same wrong with a manifest, job, result or session."""
    if left_out():
        return
    expected = _manifest_problems(text) if kind == "manifest" else _model_problems(kind, text)
    found = ask(kind, text=text)["problems"]
    assert [_shared(text) for text in found] == [_shared(text) for text in expected]


def must_agree_about_signature(key: bytes, message: bytes, signature: bytes, valid: bool) -> None:
    """Kotlin verifies what Python does."""
    if left_out():
        return
    key64, message64, signature64 = (base64.b64encode(data).decode() for data in (key, message, signature))
    problems = ask("signature", key=key64, message=message64, signature=signature64)["problems"]
    assert (problems == []) is valid


def _manifest_problems(text: str) -> list[str]:
    try:
        read_manifest(text.encode())
    except DamageError as damage:
        return [str(damage)]
    return []


def _model_problems(kind: str, text: str) -> list[str]:
    try:
        MODELS[kind].model_validate_json(text, strict=True)
    except ValidationError as error:
        found = [(".".join(map(str, problem["loc"])), problem["msg"]) for problem in error.errors()]
        return [f"{place}: {message}" if place else message for place, message in found]
    return []


def _reason(error: BundleError, path: Path) -> str:
    """Without whose it is, and without the command that packs a model file, which only a host has."""
    return str(error).removeprefix(f"{path}: ").partition("; make one of it: ")[0]


def _shared(text: str) -> str:
    own = _OWN_WORDS.match(text)
    return text if own is None else own[1]
