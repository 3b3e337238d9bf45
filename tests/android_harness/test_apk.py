"""The APK that `make apk` packs, statically: what is for arm64 and Android cannot be run here."""

from __future__ import annotations

import runpy
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import android_app
import pytest


@pytest.fixture(autouse=True)
def apk() -> Path:
    reason = android_app.left_out("aapt2", "apksigner")
    if reason:
        pytest.skip(f"left out: the APK ({reason})")
    return android_app.APK


@pytest.fixture(scope="module")
def check() -> SimpleNamespace:
    """The script that `make apk` runs; run here so that it leaves no bytecode among the sources."""
    return SimpleNamespace(**runpy.run_path(str(android_app.APP / "check_apk.py")))


@pytest.fixture
def changed(apk: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the APK whose libraries are changed and kept as they are told; its signature is void."""

    def change(edit: Callable[[bytes], bytes], compression: int = zipfile.ZIP_STORED) -> Path:
        made = tmp_path / "changed.apk"
        with zipfile.ZipFile(apk) as original, zipfile.ZipFile(made, "w") as copy:
            for entry in original.infolist():
                content = original.read(entry)
                if entry.filename.endswith("jni.so"):
                    copy.writestr(entry.filename, edit(content), compression)
                elif not entry.filename.endswith(".so"):
                    copy.writestr(entry, content)
        return made

    return change


def test_it_is_signed_small_without_network_and_fit_for_large_pages(apk: Path, check: SimpleNamespace) -> None:
    assert check.problems(apk) == []


def test_it_holds_both_libraries_of_the_engine_for_arm64(apk: Path) -> None:
    with zipfile.ZipFile(apk) as packed:
        libraries = {name for name in packed.namelist() if name.startswith("lib/")}
    assert libraries == {"lib/arm64-v8a/libonnxruntime.so", "lib/arm64-v8a/libonnxruntime4j_jni.so"}


def test_it_is_for_android_8_and_newer_and_no_debug_build(apk: Path) -> None:
    told = subprocess.run(["aapt2", "dump", "badging", str(apk)], capture_output=True, text=True, check=True).stdout
    assert "sdkVersion:'26'" in told
    assert "targetSdkVersion:'34'" in told
    assert "application-debuggable" not in told


def test_it_has_an_instrumentation_of_itself_for_device_farms(apk: Path) -> None:
    command = ["aapt2", "dump", "xmltree", "--file", "AndroidManifest.xml", str(apk)]
    tree = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    _, _, instrumentation = tree.partition("E: instrumentation")
    assert ':name(0x01010003)="pocketgan.app.SessionInstrumentation"' in instrumentation
    assert ':targetPackage(0x01010021)="org.pocketgan.harness"' in instrumentation


def test_a_library_across_pages_is_found(changed: Callable[..., Path], check: SimpleNamespace) -> None:
    found = check.problems(changed(lambda content: content))
    assert any("lies across pages of 16384 bytes" in problem for problem in found)


def test_a_library_for_small_pages_or_another_machine_is_found(check: SimpleNamespace, apk: Path) -> None:
    with zipfile.ZipFile(apk) as packed:
        library = bytearray(packed.read("lib/arm64-v8a/libonnxruntime4j_jni.so"))
    assert check.library_problems(bytes(library)) == []
    x86 = library[:18] + (62).to_bytes(2, "little") + library[20:]
    assert check.library_problems(bytes(x86)) == ["is for machine 62, not for arm64"]
    # ELF-64: the table of segments at 64, 56 bytes each, alignment in the last eight.
    for at in range(64 + 48, 64 + 56 * library[56], 56):
        library[at : at + 8] = (4096).to_bytes(8, "little")
    assert check.library_problems(bytes(library)) == ["is aligned to 4096 bytes, not to 16384"]


def test_a_changed_apk_is_not_signed(changed: Callable[..., Path], check: SimpleNamespace) -> None:
    found = check.problems(changed(lambda content: content + b"\0", zipfile.ZIP_DEFLATED))
    assert any(problem.startswith("is not signed") for problem in found)
