"""The system's Chromium, driven by Playwright, which brings no browser of its own here."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM = os.environ.get("POCKETGAN_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
HOW_TO_GET_IT = "needs Chromium (Debian: apt install chromium)"
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason=HOW_TO_GET_IT)
PATIENCE_S = 120.0


@contextmanager
def chromium(*flags: str) -> Iterator[Any]:
    """A headless browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=["--no-sandbox", *flags])
        try:
            yield browser
        finally:
            browser.close()


def until(page: Any, holds: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
    """What `holds` gives once it is something; the page goes on meanwhile. Its policy forbids Playwright's own waiting,
    which evaluates text."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := holds():
            return found
        page.wait_for_timeout(50)
    raise AssertionError(f"not in {seconds:g} s: {page.inner_text('body')}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def local_url(process: subprocess.Popen[str]) -> str:
    """The address that a command prints for this computer."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"http://127\.0\.0\.1:\S+", line):
            return found[0]
    raise AssertionError("the command ended without an address")
