"""onnxruntime-web: where it is found, and that nothing but the pinned package is taken."""

from __future__ import annotations

import gzip
import os
import tarfile
from pathlib import Path

import pytest
from fake_page import fake_runtime

from pocketgan.bench.devices.web import runtime
from pocketgan.bench.devices.web.runtime import LICENCES, WebRuntime, all_files, find_runtime, licences, unpack
from pocketgan.errors import DeviceError


def test_a_named_folder_is_the_package_or_its_dist(tmp_path: Path) -> None:
    fake_runtime(tmp_path / "package" / "dist")
    assert find_runtime(tmp_path / "package").folder == tmp_path / "package" / "dist"
    assert find_runtime(tmp_path / "package" / "dist").folder == tmp_path / "package" / "dist"


def test_a_packed_file_is_sent_packed(tmp_path: Path) -> None:
    folder = fake_runtime(tmp_path)
    name = all_files()[0]
    assert WebRuntime(folder).find(name) == (folder / name, False)
    (folder / f"{name}.gz").write_bytes(gzip.compress(b"//"))
    assert WebRuntime(folder).find(name) == (folder / f"{name}.gz", True)
    assert WebRuntime(folder).find("LICENSE") is None


def test_another_package_is_not_taken(tmp_path: Path) -> None:
    package = tmp_path / "onnxruntime-web-1.30.0.tgz"
    with tarfile.open(package, "w:gz") as tar:
        for name in all_files():
            (tmp_path / name).write_text("// mine")
            tar.add(tmp_path / name, f"package/dist/{name}")
    with pytest.raises(DeviceError, match="is not the package that pocketgan was tested with"):
        unpack(package, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_without_npm_it_is_said_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(runtime, "folder", lambda: tmp_path / "page")
    with pytest.raises(DeviceError, match=r"install npm, or fetch npm's onnxruntime-web .* --ort-web DIR"):
        find_runtime()


def test_an_npm_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error network no such host' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(runtime, "folder", lambda: tmp_path / "page")
    with pytest.raises(DeviceError, match=r"npm error network no such host.*--ort-web DIR"):
        find_runtime()


def test_licences_ride_along() -> None:
    """npm's package has none; the Python package of the same project has both."""
    found = licences()
    assert sorted(found) == sorted(LICENCES)
    assert b"MIT License" in found["LICENSE"]
    assert len(found["ThirdPartyNotices.txt"]) > 100_000
