"""An Android phone behind adb as a Transport: a session folder on it, and what measures there."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

from pocketgan.bench.devices.phone import Phone, quoted
from pocketgan.bench.devices.session_folder import RESULTS
from pocketgan.bench.devices.transport import SessionFile
from pocketgan.errors import DeviceError
from pocketgan.scratch import scratch_folder

# One folder for all sessions, so that a bundle that was sent once is there for the next.
SHELL_FOLDER = "/data/local/tmp/pocketgan/session"
# What arrives lies here, each file under its hash, until all of it is whole.
_INCOMING = ".incoming"
_HASHED = re.compile(r"([0-9a-f]{64})  (?:\./)?(.*)")
# A phone without instructions for SHA-256 hashes some 30 MB a second, a large bundle has 1 GB.
_HASHING_S = 60.0
_HASHED_BYTES_PER_S = 2e7
# adb's own protocol counts the bytes of a command in four hexadecimal digits; older phones take less.
_LONGEST_SCRIPT = 3000
_MOST_TRIES = 2


def app_folder(package: str) -> str:
    """The session folder that an app reads without any permission."""
    return f"/storage/emulated/0/Android/data/{package}/files/session"


class Measurer(Protocol):
    """What carries out the session in a folder of the phone: the scripts that begin it, ask for it and end it.

    Each runs in the phone's shell and returns at once, `stop` when it has ended.
    """

    def start(self, folder: str) -> str:
        """Fails, with a line on standard error that says why, where nothing was begun."""
        ...

    def alive(self, folder: str) -> str:
        """Ends with 0 while it runs, else with 1."""
        ...

    def stop(self, folder: str) -> str:
        """Does nothing where nothing runs."""
        ...


class AdbTransport:
    """See Transport.

    Args:
        folder: the session folder on the phone, absolute.
    """

    def __init__(self, phone: Phone, measurer: Measurer, folder: str = SHELL_FOLDER) -> None:
        self.phone = phone
        self._measurer = measurer
        self._folder = folder

    def there(self) -> Mapping[str, str]:
        """See Transport."""
        return self._hashes(self._folder)

    def send(self, files: Sequence[SessionFile]) -> None:
        """See Transport. What an earlier, cut attempt brought over whole is not sent again."""
        incoming = f"{self._folder}/{_INCOMING}"
        tries = 0
        while lacking := self._lacking(files, incoming):
            if tries == _MOST_TRIES:
                raise DeviceError(
                    f"phone {self.phone.serial}: {lacking[0].path} arrived damaged {tries} times; try another cable, "
                    "and look whether its storage is full"
                )
            self._push(lacking, incoming)
            tries += 1
        for script in _batches(_placing(files, incoming, self._folder)):
            self._run(script, "placing files")

    def start(self) -> None:
        """See Transport."""
        self._run(self._measurer.start(self._folder), "starting the session")

    def read(self, offset: int) -> bytes:
        """See Transport."""
        return self.phone.read(f"{self._folder}/{RESULTS}", offset)

    def alive(self) -> bool:
        """See Transport."""
        return self.phone.script(self._measurer.alive(self._folder)).code == 0

    def stop(self) -> None:
        """See Transport."""
        self._run(self._measurer.stop(self._folder), "stopping the session")

    def clean_up(self, keep: Collection[str]) -> None:
        """See Transport."""
        going = [path for path in self._listed() if path not in keep]
        for script in _batches(f"rm -f {quoted(f'{self._folder}/{path}')}" for path in going):
            self._run(script, "cleaning up")
        # Deepest first; those that still hold something stay, as rmdir will have it.
        self.phone.script(f"find {quoted(self._folder)} -depth -type d -exec rmdir {{}} \\; 2> /dev/null")

    def _lacking(self, files: Sequence[SessionFile], incoming: str) -> list[SessionFile]:
        """Those that have not arrived whole, of equal ones one."""
        arrived = self._hashes(incoming, sum(file.bytes for file in files))
        one_each = {file.sha256: file for file in files}
        return [file for sha256, file in one_each.items() if arrived.get(sha256) != sha256]

    def _push(self, files: Sequence[SessionFile], incoming: str) -> None:
        with scratch_folder() as folder:
            outgoing = folder / "outgoing"
            outgoing.mkdir()
            for file in files:
                _link(file.source, outgoing / file.sha256)
            self.phone.push_content(outgoing, incoming, bytes_in_all=sum(file.bytes for file in files))

    def _hashes(self, folder: str, extra_bytes: int = 0) -> dict[str, str]:
        """SHA-256 by path; a name that no line can hold is left out, so that it counts as absent."""
        # Not through xargs or a glob: there may be none, or thousands.
        script = f"cd {quoted(folder)} 2> /dev/null || exit 0\nfind . -type f -exec sha256sum {{}} +"
        answer = self.phone.script(script, timeout_s=_HASHING_S + extra_bytes / _HASHED_BYTES_PER_S)
        if answer.code:
            raise self.phone.refusal(answer, f"hashing {folder}")
        lines = (_HASHED.fullmatch(line) for line in answer.text.split("\n"))
        return {line[2]: line[1] for line in lines if line}

    def _listed(self) -> list[str]:
        script = f"cd {quoted(self._folder)} 2> /dev/null || exit 0\nfind . -type f -print0"
        answer = self.phone.script(script)
        return [os.fsdecode(path).removeprefix("./") for path in answer.out.split(b"\0") if path]

    def _run(self, script: str, doing: str) -> None:
        answer = self.phone.script(script)
        if answer.code:
            raise self.phone.refusal(answer, doing)


def _link(source: Path, target: Path) -> None:
    """The file under another name: adb would send a symbolic link as a link."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _placing(files: Sequence[SessionFile], incoming: str, folder: str) -> Iterator[str]:
    """A command for each file, in their order; each replaces what has its name in one step."""
    left = Counter(file.sha256 for file in files)
    made: set[str] = set()
    for file in files:
        arrived, target = f"{incoming}/{file.sha256}", f"{folder}/{file.path}"
        parent = str(PurePosixPath(target).parent)
        commands = [] if parent in made else [f"mkdir -p {quoted(parent)}"]
        made.add(parent)
        left[file.sha256] -= 1
        if left[file.sha256]:  # another file has the same content
            commands.append(f"cp {quoted(arrived)} {quoted(f'{arrived}.copy')}")
            arrived += ".copy"
        yield " && ".join([*commands, f"mv -f {quoted(arrived)} {quoted(target)}"])


def _batches(commands: Iterable[str]) -> Iterator[str]:
    """Scripts that stop at the first command that fails, none too long for adb unless one command is."""
    batch: list[str] = []
    for command in commands:
        if batch and sum(map(len, batch)) + len(command) > _LONGEST_SCRIPT:
            yield "set -e\n" + "\n".join(batch)
            batch = []
        batch.append(command)
    if batch:
        yield "set -e\n" + "\n".join(batch)
