"""onnxruntime-web for tests: fetched once into the user's own cache, which other tests do not touch."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pocketgan.bench.devices.web.runtime import VERSION, WebRuntime, fetch_into
from pocketgan.errors import DeviceError

_OWN = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pocketgan" / "onnxruntime-web" / VERSION


def cached_ort_web() -> Path | None:
    """Its folder where it was fetched already."""
    return None if WebRuntime(_OWN).lacks else _OWN


def ort_web() -> Path:
    """Its folder; the test is skipped where it cannot be had."""
    if WebRuntime(_OWN).lacks:
        try:
            fetch_into(_OWN)
        except DeviceError as problem:
            pytest.skip(str(problem))
    return _OWN
