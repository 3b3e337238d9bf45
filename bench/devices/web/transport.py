"""A page in a phone's browser as a Transport: what is handed over waits on the server for it to fetch, and what it sent
lies there."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence

from pocketgan.bench.devices.session_folder import RESULTS, SESSION
from pocketgan.bench.devices.transport import OutOfReachError, SessionFile
from pocketgan.bench.devices.web.served import ServedFiles
from pocketgan.bench.devices.web.visitor import Visitor
from pocketgan.bench.schema.session import Session
from pocketgan.errors import DeviceError

# A page sends a sign of life every second or two, in the background about once a minute at worst.
QUIET_S = 20.0
_STOP_S, _STOP_POLL_S = 5.0, 0.1
# The last line ends within so many.
_END_BYTES = 200


class SessionOverError(DeviceError):
    """The session ends for all phones: stopped, or out of time."""


class WebTransport:
    """See Transport.

    Args:
        over: why the session ends, None while it goes on.
    """

    def __init__(
        self,
        visitor: Visitor,
        served: ServedFiles,
        over: Callable[[], str | None],
        quiet_s: float = QUIET_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._visitor, self._served, self._over = visitor, served, over
        self._quiet_s, self._sleep = quiet_s, sleep

    def there(self) -> Mapping[str, str]:
        """See Transport. What any phone of this session was given is there for all."""
        sent = {RESULTS: ""} if self._visitor.has_sent else {}
        return {**self._served.by_path(), **sent}

    def send(self, files: Sequence[SessionFile]) -> None:
        """See Transport."""
        self._must_go_on()
        for file in files:
            if file.path != SESSION:
                self._served.add(file)
        content = next(file for file in files if file.path == SESSION).source.read_bytes()
        session = Session.model_validate_json(content)
        self._visitor.hand_over(
            session, self._served.of_bundles({job.bundle for group in session.groups for job in group.jobs})
        )

    def start(self) -> None:
        """See Transport."""
        self._must_go_on()
        self._visitor.begin()

    def read(self, offset: int) -> bytes:
        """See Transport."""
        return self._visitor.read(offset)

    def alive(self) -> bool:
        """See Transport.

        Raises:
            SessionOverError: the session ends for all.
            DeviceError: it sent more than was asked for.
            OutOfReachError: nothing was heard of it lately.
        """
        self._must_go_on()
        if self._visitor.silent_s > self._quiet_s:
            raise OutOfReachError(
                f"{self._visitor.about.name} ({self._visitor.about.words}) is silent: its page was closed, it sleeps, "
                "or its network is gone"
            )
        return self._visitor.order == "measure" and self._visitor.died is None

    def stop(self) -> None:
        """See Transport."""
        self._visitor.stop()
        waited = 0.0
        while waited < _STOP_S and self._visitor.order == "stop" and not _ended(self._visitor.last(_END_BYTES)):
            if self._visitor.refused or self._visitor.silent_s > self._quiet_s:
                return
            self._sleep(_STOP_POLL_S)
            waited += _STOP_POLL_S

    def last_words(self) -> str:
        """See Transport."""
        return self._visitor.died or ""

    def clean_up(self, keep: Collection[str]) -> None:
        """See Transport. Files of bundles stay for the other phones, until the session ends."""
        if RESULTS not in keep:
            self._visitor.clear()

    def _must_go_on(self) -> None:
        if (why := self._over()) is not None:
            raise SessionOverError(why)
        if (refused := self._visitor.refused) is not None:
            raise DeviceError(f"{self._visitor.about.name} is not heard any more: {refused}")


def _ended(data: bytes) -> bool:
    return b'"record":"end"' in data
