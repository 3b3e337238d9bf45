"""The Kotlin harness, or why it is left out."""

from __future__ import annotations

import kotlin_harness
import pytest


@pytest.fixture(autouse=True)
def harness() -> None:
    reason = kotlin_harness.left_out()
    if reason:
        pytest.skip(f"left out: android_harness/ ({reason})")
