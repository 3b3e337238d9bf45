"""Phones that this computer never reaches, such as those of a device farm: a session is written into a folder, somebody
has it measured, and what comes back is taken in with every check that other devices meet."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from pocketgan.bench.devices.device import Tick
from pocketgan.bench.devices.following import Following, Keep, Work
from pocketgan.bench.devices.incoming import senders
from pocketgan.bench.devices.remote import RemoteDevice
from pocketgan.bench.devices.session_folder import RESULTS, SESSION
from pocketgan.bench.devices.transport import SessionFile
from pocketgan.bench.schema.job import Job, Via
from pocketgan.bench.schema.result import DeviceInfo, Result
from pocketgan.bench.schema.session import Session
from pocketgan.bundle.manifest import Entry
from pocketgan.errors import DeviceError, storage_errors
from pocketgan.files import atomic_file, sha256_file

# Of it nothing is known before its results are there.
_SOME_PHONE = DeviceInfo(
    name="farm", model="a phone elsewhere", kind="android", os="", os_build="", cpu="", cores=1, memory_bytes=0
)
_MARK = 8


class App(Protocol):
    """What measures on such a phone."""

    @property
    def runtimes(self) -> Sequence[str]: ...

    def runs(self, entry: Entry) -> bool: ...


class FarmDevice(RemoteDevice):
    """A phone that is known by a folder alone. The first time that a session is asked of it, it writes it there; the
    next time, with the `results.jsonl` that came back beside it, these are the results.

    Nobody watched the phone: its model is what it says of itself, and no clock but its own says how long it took.

    Args:
        folder: for one session.
        app: the one that the farm is given.
    """

    via: Via = "app"

    def __init__(self, folder: Path, app: App, lock_folder: Path | None = None) -> None:
        super().__init__(f"farm:{folder}", FolderTransport(folder), lock_folder=lock_folder)
        self._folder, self._app = folder, app

    def describe(self) -> DeviceInfo:
        """See Device. What its results say, once they are there.

        Raises:
            DeviceError: they are of several phones.
        """
        return self._sender[0]

    @property
    def runtimes(self) -> Sequence[str]:
        """See Device."""
        return self._app.runtimes

    def runs(self, entry: Entry) -> bool:
        """See Device."""
        return self._app.runs(entry)

    def session_left(self, jobs: Sequence[Job]) -> str | None:
        """See RemoteDevice. The session of the folder is its own, whatever the results file holds."""
        return None

    def run_interleaved(self, work: Sequence[Work], *, session: str = "", tick: Tick | None = None) -> list[Result]:
        """See Device.

        Raises:
            DeviceError: always. Who asks so looks at what came, and asks for more.
        """
        raise DeviceError(
            "compare measures on until it is sure, for which a farm's phone is too far away: pocketgan bench BASE "
            f"CANDIDATE --device {self.name} measures both in turns, for the report"
        )

    def run_groups(
        self,
        groups: Sequence[Sequence[Work]],
        *,
        session: str = "",
        tick: Tick | None = None,
        keep: Keep | None = None,
    ) -> list[Result]:
        """See RemoteDevice.

        Raises:
            DeviceError: the session was written and is to be measured; or its results are not whole, of several phones,
                or of another session.
        """
        _must_need_nobody([job for group in groups for _, job in group])
        written = self._written
        if written is None:
            return super().run_groups(groups, session=session, tick=tick, keep=keep)
        following = Following(groups, written.name, self.describe(), tick, self._kept_as_its_own(keep), tuple)
        if following.session().groups != written.groups:
            raise DeviceError(
                f"{self._folder} holds the session of another command, {written.name}: name another folder, or repeat "
                "that command"
            )
        if self._answers is None:
            raise DeviceError(f"{self._folder} holds the session, and no {RESULTS} yet: {_how_to_go_on()}")
        following.feed(self._answers, None)
        if not following.incoming.ended and len(following.incoming.results) < len(following.work):
            raise DeviceError(
                f"{self._folder / RESULTS} is not whole: it answers {len(following.incoming.results)} of "
                f"{len(following.work)} runs and has no end. Hand the folder over once more with it, and the app goes "
                "on where it ends"
            )
        following.end(self.name)
        return following.in_order()

    @cached_property
    def _written(self) -> Session | None:
        """The session that the folder holds."""
        path = self._folder / SESSION
        try:
            return Session.model_validate_json(path.read_bytes(), strict=True)
        except FileNotFoundError:
            if self._folder.is_dir() and any(self._folder.iterdir()):
                raise DeviceError(f"{self._folder} holds other things than a session: name a folder for it") from None
            return None
        except OSError as problem:
            raise DeviceError(f"{path} cannot be read: {problem.strerror or problem}") from None
        except ValidationError:
            raise DeviceError(f"{path} is no session: name another folder") from None

    @cached_property
    def _answers(self) -> bytes | None:
        """What came back."""
        try:
            return (self._folder / RESULTS).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise DeviceError(f"{self._folder / RESULTS} cannot be read: {problem.strerror or problem}") from None

    @cached_property
    def _sender(self) -> tuple[DeviceInfo, str]:
        """The phone, as it calls itself, and what no other phone's results of this session have in common with its."""
        found = senders(self._answers or b"", "" if self._written is None else self._written.name)
        phones = list(dict.fromkeys(info.model_dump_json() for info, _ in found))
        if len(phones) > 1:
            models = ", ".join(sorted({info.model for info, _ in found}))
            raise DeviceError(
                f"{self._folder / RESULTS} holds results of {len(phones)} phones ({models}): copy the folder for each, "
                "with the results of one"
            )
        if not found:
            return _SOME_PHONE, ""
        info, process = found[0]
        mark = sha256(f"{phones[0]} {process}".encode()).hexdigest()[:_MARK]
        # Of which kind it is, is not its to say: numbers of a computer are no phone's.
        return info.model_copy(update={"name": "farm", "kind": _SOME_PHONE.kind}), mark

    def _kept_as_its_own(self, keep: Keep | None) -> Keep | None:
        """A session that several phones carried out is one of each of them: two of a kind differ in nothing else."""
        if keep is None:
            return None
        return lambda result: keep(result.model_copy(update={"session": f"{result.session}-{self._sender[1]}"}))


class FolderTransport:
    """See Transport. A folder on this computer, which somebody takes to a phone; nothing that lies there is removed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def there(self) -> Mapping[str, str]:
        """See Transport."""
        files = (path for path in self._folder.rglob("*") if path.is_file())
        return {path.relative_to(self._folder).as_posix(): sha256_file(path) for path in files}

    def send(self, files: Sequence[SessionFile]) -> None:
        """See Transport."""
        for file in files:
            target = self._folder / file.path
            with storage_errors(target), atomic_file(target) as temporary:
                shutil.copyfile(file.source, temporary)

    def start(self) -> None:
        """See Transport. Others start it.

        Raises:
            DeviceError: always; says what to do.
        """
        raise DeviceError(f"the session is written to {self._folder}: {_how_to_go_on()}")

    def read(self, offset: int) -> bytes:
        """See Transport."""
        return b""

    def alive(self) -> bool:
        """See Transport."""
        return False

    def stop(self) -> None:
        """See Transport."""

    def last_words(self) -> str:
        """See Transport."""
        return ""

    def clean_up(self, keep: Collection[str]) -> None:
        """See Transport."""


def _how_to_go_on() -> str:
    return (
        f"have it measured (docs/android.md, Device farms), put the {RESULTS} that comes back there, and repeat "
        "this command"
    )


def _must_need_nobody(jobs: Sequence[Job]) -> None:
    """Refuse what only a computer beside the phone can do or see."""
    if any(job.energy for job in jobs):
        raise DeviceError("--energy needs a phone that this computer sees: it looks whether a charger is on it")
    if any(job.clock != "free" for job in jobs):
        raise DeviceError("--clock pinned needs a phone that this computer reaches: adb holds its clock")
