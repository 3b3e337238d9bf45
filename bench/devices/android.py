"""An Android phone behind adb as a Transport: a session folder on it, and what measures there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from pocketgan.bench.devices.adb_problems import first_line
from pocketgan.bench.devices.phone import Phone
from pocketgan.bench.devices.phone_folder import PhoneFolder
from pocketgan.bench.devices.session_folder import RESULTS
from pocketgan.bench.devices.transport import NOT_NOW, OutOfReachError, SessionFile
from pocketgan.errors import DeviceError

# One folder for all sessions, so that a bundle that was sent once is there for the next.
SHELL_FOLDER = "/data/local/tmp/pocketgan/session"
# An app is drawn on the screen before it measures.
_START_S = 60.0


class Measurer(Protocol):
    """What carries out the session in a folder of the phone: the scripts that begin it, ask for it and end it.

    Each runs in the phone's shell and returns at once, `stop` when it has ended.
    """

    def start(self, folder: str) -> str:
        """Fails, with a line on standard error that says why, where nothing was begun; with NOT_NOW where it may be
        later."""
        ...

    def alive(self, folder: str) -> str:
        """Ends with 0 while it runs, else with 1."""
        ...

    def stop(self, folder: str) -> str:
        """Does nothing where nothing runs."""
        ...

    def last_words(self, phone: Phone, folder: str) -> str:
        """What it said, in one line, where it ended too early; empty where it said nothing. No script."""
        ...


class AdbTransport:
    """See Transport.

    Args:
        folder: the session folder on the phone, absolute.
    """

    def __init__(self, phone: Phone, measurer: Measurer, folder: str = SHELL_FOLDER) -> None:
        self._phone = phone
        self._measurer = measurer
        self._folder = PhoneFolder(phone, folder)

    def there(self) -> Mapping[str, str]:
        """See Transport."""
        return self._folder.there()

    def send(self, files: Sequence[SessionFile]) -> None:
        """See Transport."""
        self._folder.send(files)

    def start(self) -> None:
        """See Transport."""
        answer = self._phone.script(self._measurer.start(self._folder.path), _START_S)
        if answer.code == NOT_NOW:
            raise OutOfReachError(f"phone {self._phone.serial}: {first_line(answer.error)}")
        if answer.code:
            words = self.last_words()
            more = f" ({words})" if words and words not in answer.error else ""
            raise DeviceError(f"{self._phone.refusal(answer, 'starting the session')}{more}")

    def read(self, offset: int) -> bytes:
        """See Transport."""
        return self._phone.read(f"{self._folder.path}/{RESULTS}", offset)

    def alive(self) -> bool:
        """See Transport."""
        return self._phone.script(self._measurer.alive(self._folder.path)).code == 0

    def stop(self) -> None:
        """See Transport."""
        self._phone.run(self._measurer.stop(self._folder.path), "stopping the session")

    def last_words(self) -> str:
        """See Transport."""
        return self._measurer.last_words(self._phone, self._folder.path)

    def clean_up(self, keep: Collection[str]) -> None:
        """See Transport."""
        self._folder.clean_up(keep)
