"""How the host reaches a device that is elsewhere: what each kind of device brings, and all that it brings.

The session folder and what comes back are described in `bench.schema.session`; paths are relative to that folder.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pocketgan.errors import DeviceError

# Exit code of a script on a device for what it refuses now and will do later (EX_TEMPFAIL of sysexits.h).
NOT_NOW = 75


class OutOfReachError(DeviceError):
    """The device does not answer now (unplugged, offline, rebooting, locked, its server gone); it may come back."""


@dataclass(frozen=True)
class SessionFile:
    """One file of the session folder.

    Attributes:
        path: where it belongs in the folder, with forward slashes, such as `bundles/<digest>/manifest.json`.
        source: where it lies on the host. sha256: of its content, in hex.
    """

    path: str
    source: Path
    bytes: int
    sha256: str


class Transport(Protocol):
    """One device, reached.

    Every method raises OutOfReachError where the device does not answer and may come back, and DeviceError where it
    refuses for good (full, not authorised, the app is missing); its line says what to do. No method waits for longer
    than a question to the device takes, `send` apart.
    """

    def there(self) -> Mapping[str, str]:
        """The SHA-256 of every file that lies in the session folder already, by path; empty where there is none."""
        ...

    def send(self, files: Sequence[SessionFile]) -> None:
        """Put files into the folder, in this order, each whole or not at all; those of the same path are replaced."""
        ...

    def start(self) -> None:
        """Begin the session of `session.json`, or go on with it after the Jobs that `results.jsonl` has already."""
        ...

    def read(self, offset: int) -> bytes:
        """What `results.jsonl` holds from that byte on; nothing where there is no such file or nothing more yet."""
        ...

    def alive(self) -> bool:
        """Whether what measures still runs."""
        ...

    def stop(self) -> None:
        """End what measures, and return once it has; nothing happens where nothing runs."""
        ...

    def last_words(self) -> str:
        """What measured said, in one line, where it ended without an `end`; empty where it said nothing."""
        ...

    def clean_up(self, keep: Collection[str]) -> None:
        """Remove everything in the folder but the files of these paths."""
        ...
