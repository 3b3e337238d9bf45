"""Waiting for a device that another process measures on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pocketgan import console
from pocketgan.bench.devices.device import Device
from pocketgan.errors import DeviceBusyError

POLL_S = 0.5
# How often whoever waits is told again.
REMIND_S = 60.0


@contextmanager
def locked(device: Device, wait_s: float = 0) -> Iterator[None]:
    """Hold the device's lock; wait for it for `wait_s` seconds at most, and say meanwhile who has it.

    Raises:
        DeviceBusyError: another process still has it then; names that process.
    """
    began, told_at, told_owner = time.monotonic(), 0.0, ""
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(device.lock())
                break
            except DeviceBusyError as busy:
                waited = time.monotonic() - began
                if waited >= wait_s:
                    raise
                if busy.owner != told_owner or waited - told_at >= REMIND_S:
                    told_at, told_owner = waited, busy.owner
                    console.note(
                        f"device {device.name} is measuring for {busy.owner}; waiting, {wait_s - waited:.0f} s at most"
                    )
                time.sleep(min(POLL_S, max(0.0, wait_s - waited)))
        yield
