"""Waiting for a device that is busy."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pocketgan.bench.devices import waiting
from pocketgan.bench.devices.local import LocalDevice
from pocketgan.errors import DeviceBusyError


class _Queued(LocalDevice):
    """A device that belongs to these owners, one try after the other, before it is free."""

    def __init__(self, *owners: str) -> None:
        super().__init__()
        self.owners = list(owners)

    @contextmanager
    def lock(self) -> Iterator[None]:
        if self.owners:
            raise DeviceBusyError("local", self.owners.pop(0))
        yield


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "POLL_S", 0)


def test_it_waits_and_names_each_owner_once(capsys: pytest.CaptureFixture[str]) -> None:
    with waiting.locked(_Queued("process 7", "process 7", "process 8"), wait_s=600):
        pass
    assert capsys.readouterr().err.splitlines() == [
        "device local is measuring for process 7; waiting, 600 s at most",
        "device local is measuring for process 8; waiting, 600 s at most",
    ]


def test_without_waiting_a_busy_device_is_an_error_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(DeviceBusyError, match=r"measuring for process 7; .*--wait 10m"),
        waiting.locked(_Queued("process 7")),
    ):
        pass
    assert capsys.readouterr().err == ""


def test_the_wait_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    with (
        LocalDevice().lock(),
        pytest.raises(DeviceBusyError, match=rf"\(process {os.getpid()}\)"),
        waiting.locked(LocalDevice(), wait_s=0.2),
    ):
        pass
    assert 0.2 <= time.monotonic() - began < 5


def test_an_error_of_the_work_is_not_taken_for_a_busy_device() -> None:
    with pytest.raises(DeviceBusyError, match="inner"), waiting.locked(_Queued(), wait_s=600):
        raise DeviceBusyError("local", "inner")
