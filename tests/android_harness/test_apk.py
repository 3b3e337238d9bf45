"""The APK that `make apk` packs, statically: what is for arm64 and Android cannot be run here."""

from __future__ import annotations

import importlib
import runpy
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import android_app
import pytest

from pocketgan.bench.devices.phone_app import PACKAGE, find_app


@pytest.fixture(autouse=True)
def apk() -> Path:
    reason = android_app.left_out("aapt2", "apksigner")
    if reason:
        pytest.skip(f"left out: the APK ({reason})")
    return android_app.APK


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The script that `make apk` runs; run here so that it leaves no bytecode among the sources."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(android_app.APP)
    return SimpleNamespace(**runpy.run_path(str(android_app.APP / "check_apk.py")))


@pytest.fixture
def libraries(apk: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(apk) as packed:
        return {name: packed.read(name) for name in packed.namelist() if name.endswith(".so")}


@pytest.fixture
def bytecode(apk: Path) -> bytes:
    with zipfile.ZipFile(apk) as packed:
        return packed.read("classes.dex")


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


def test_it_holds_both_engines_for_arm64_with_their_licences(apk: Path) -> None:
    with zipfile.ZipFile(apk) as packed:
        names = packed.namelist()
        notices = packed.read("assets/licences/executorch/ThirdPartyNotices.txt").decode()
    assert {name.removeprefix("lib/arm64-v8a/") for name in names if name.startswith("lib/")} == {
        "libonnxruntime.so",
        "libonnxruntime4j_jni.so",
        "libexecutorch.so",
        "libfbjni.so",
        "libc++_shared.so",
    }
    texts = {"LICENSE", "onnxruntime/LICENSE", "onnxruntime/ThirdPartyNotices.txt", "executorch/LICENSE.txt"}
    assert {f"assets/licences/{text}" for text in texts} <= set(names)
    for part in ("XNNPACK", "fbjni", "NativeLoader", "libc++_shared.so"):
        assert part in notices


def test_it_holds_nothing_that_would_send_telemetry(bytecode: bytes, check: SimpleNamespace) -> None:
    dex = importlib.import_module("dex").Dex(bytecode)
    classes = dex.classes()
    assert "ai/onnxruntime/OrtSession" in classes
    assert "org/pytorch/executorch/Module" in classes
    assert [name for name in classes if "telemetry" in name.lower()] == []


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


def test_a_library_for_small_pages_or_another_machine_is_found(libraries: dict[str, bytes], check) -> None:
    name = "lib/arm64-v8a/libfbjni.so"
    library = libraries[name]
    x86 = library[:18] + (62).to_bytes(2, "little") + library[20:]
    assert f"{name} is for machine 62, not for arm64" in check.problems_of_libraries({name: x86}, None)
    small = bytearray(library)
    # ELF-64: the table of segments at 64, 56 bytes each, alignment in the last eight.
    for at in range(64 + 48, 64 + 56 * library[56], 56):
        small[at : at + 8] = (4096).to_bytes(8, "little")
    assert f"{name} is aligned to 4096 bytes, not to 16384" in check.problems_of_libraries({name: bytes(small)}, None)
    assert check.problems_of_libraries({name: b"text"}, None) == [f"{name} is no 64-bit library"]


def test_a_library_that_the_linker_would_miss_is_found(libraries: dict[str, bytes], check) -> None:
    del libraries["lib/arm64-v8a/libfbjni.so"]
    found = check.problems_of_libraries(libraries, None)
    assert "lib/arm64-v8a/libexecutorch.so needs libfbjni.so, which is not there" in found
    assert any("wants the symbol _ZN8facebook3jni10initializeE" in problem for problem in found)


def test_a_native_method_without_code_is_found(libraries: dict[str, bytes], bytecode: bytes, check) -> None:
    assert check.problems_of_libraries(libraries, bytecode) == []
    name = "lib/arm64-v8a/libonnxruntime4j_jni.so"
    method = b"Java_ai_onnxruntime_OrtSession_closeSession"
    assert method in libraries[name]
    without = {**libraries, name: libraries[name].replace(method, method[:-1] + b"x")}
    found = check.problems_of_libraries(without, bytecode)
    assert found == ["has the native method ai/onnxruntime/OrtSession.closeSession, which no library has"]


def test_a_class_that_a_library_looks_for_is_missed(libraries: dict[str, bytes], bytecode: bytes, check) -> None:
    name = "lib/arm64-v8a/libexecutorch.so"
    other = libraries[name].replace(b"org/pytorch/executorch/EValue", b"org/pytorch/executorch/EValux")
    found = check.problems_of_libraries({**libraries, name: other}, bytecode)
    assert found == [f"{name} looks for the class org/pytorch/executorch/EValux, which is not there"]


def test_a_changed_apk_is_not_signed(changed: Callable[..., Path], check: SimpleNamespace) -> None:
    found = check.problems(changed(lambda content: content + b"\0", zipfile.ZIP_DEFLATED))
    assert any(problem.startswith("is not signed") for problem in found)


def test_the_host_reads_it_as_googles_tool_does(apk: Path) -> None:
    told = subprocess.run(["aapt2", "dump", "badging", str(apk)], capture_output=True, text=True, check=True).stdout
    found = find_app(apk)
    assert f"package: name='{PACKAGE}'" in told
    assert f"versionName='{found.version}'" in told
    assert "onnxruntime" in found.runtimes
    assert f"native-code: '{found.abis[0]}'" in told
