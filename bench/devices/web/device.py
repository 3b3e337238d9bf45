"""A phone that opened the page, as a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pocketgan.bench.devices.remote import RemoteDevice
from pocketgan.bench.devices.web.transport import WebTransport
from pocketgan.bench.devices.web.visitor import Visitor
from pocketgan.bench.schema.job import Via
from pocketgan.bench.schema.result import DeviceInfo
from pocketgan.bundle.manifest import Entry
from pocketgan.targets import runs_on_host

RUNTIMES = ("onnxruntime",)
# Somebody has to take the phone out of a pocket again, and to unlock it.
REACH_TIMEOUT_S = 180.0


def page_runs(entry: Entry) -> bool:
    """Whether onnxruntime-web can be asked to run the entry."""
    return entry.runtime in RUNTIMES and runs_on_host(entry.target, entry.runtime)


class WebPhone(RemoteDevice):
    """A phone, tablet or laptop in whose browser the page measures.

    Args:
        options: of RemoteDevice.
    """

    via: Via = "page"
    # The server is in this process: a look disturbs nobody.
    poll_s = 0.2

    def __init__(self, visitor: Visitor, transport: WebTransport, **options: Any) -> None:
        super().__init__(visitor.about.name, transport, **{"reach_timeout_s": REACH_TIMEOUT_S, **options})
        self.visitor = visitor
        self._info = visitor.about.device()

    def describe(self) -> DeviceInfo:
        """See Device."""
        return self._info

    @property
    def runtimes(self) -> Sequence[str]:
        """See Device."""
        return RUNTIMES

    def runs(self, entry: Entry) -> bool:
        """See Device."""
        return page_runs(entry)
