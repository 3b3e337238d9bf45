"""What an APK says of itself, read without Google's tools; that real ones are read is tested where one is built."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulated_app import make_apk

from pocketgan.bench.devices.apk import read_apk
from pocketgan.errors import DeviceError


@pytest.mark.parametrize("utf8", [False, True])
@pytest.mark.parametrize("package", ["org.pocketgan.harness", "org.é." + "long" * 60])
def test_package_version_and_libraries_are_read(tmp_path: Path, utf8: bool, package: str) -> None:
    names = ["lib/arm64-v8a/libone.so", "lib/arm64-v8a/libtwo.so", "lib/x86_64/libone.so", "assets/lib/no/library.so"]
    found = read_apk(make_apk(tmp_path / "a.apk", package, names, utf8=utf8))
    assert (found.package, found.version) == (package, "0.1.0")
    assert found.libraries == {"arm64-v8a": {"libone.so", "libtwo.so"}, "x86_64": {"libone.so"}}


def test_what_is_no_apk_is_said_to_be_none(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "plain.zip", "w") as archive:
        archive.writestr("a.txt", "")
    with zipfile.ZipFile(tmp_path / "source.apk", "w") as archive:
        archive.writestr("AndroidManifest.xml", "<manifest package='a'/>")
    (tmp_path / "text.apk").write_text("no ZIP")
    for name in ("plain.zip", "source.apk", "text.apk"):
        with pytest.raises(DeviceError, match=f"{name} is no APK"):
            read_apk(tmp_path / name)
    with pytest.raises(DeviceError, match="cannot be read: Is a directory"):
        read_apk(tmp_path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_one_is_read_or_refused_in_one_line(tmp_path: Path, data: st.DataObject) -> None:
    whole = make_apk(tmp_path / "a.apk").read_bytes()
    content = bytearray(whole[: data.draw(st.integers(0, len(whole)))] if data.draw(st.booleans()) else whole)
    for _ in range(data.draw(st.integers(0, 4))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "damaged.apk").write_bytes(content)
    said = ""
    try:
        read_apk(tmp_path / "damaged.apk")
    except DeviceError as problem:
        said = str(problem)
    assert "\n" not in said
