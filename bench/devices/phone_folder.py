"""A folder on a phone: files that go there whole or not at all, and are not sent twice."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from pocketgan.bench.devices.phone import Phone, quoted
from pocketgan.bench.devices.transport import SessionFile
from pocketgan.errors import DeviceError
from pocketgan.scratch import scratch_folder

# What arrives lies here, each file under its hash, until all of it is whole.
_INCOMING = ".incoming"
_HASHED = re.compile(r"([0-9a-f]{64})  (?:\./)?(.*)")
# A phone without instructions for SHA-256 hashes some 30 MB a second, a large bundle has 1 GB.
_HASHING_S = 60.0
_HASHED_BYTES_PER_S = 2e7
# adb's own protocol counts the bytes of a command in four hexadecimal digits; older phones take less.
_LONGEST_SCRIPT = 3000
_MOST_TRIES = 2


class PhoneFolder:
    """Every method raises OutOfReachError where the phone does not answer, and DeviceError where it refuses.

    Args:
        path: on the phone, absolute; it need not exist.
    """

    def __init__(self, phone: Phone, path: str) -> None:
        self.path = path
        self._phone = phone

    def there(self) -> Mapping[str, str]:
        """SHA-256 of every file in it, by path; empty where there is none."""
        return self._hashes(self.path)

    def send(self, files: Sequence[SessionFile]) -> None:
        """Put files into it, in this order, replacing those of the same path; none before all have come whole.

        What an earlier, cut attempt brought over whole is not sent again.
        """
        incoming = f"{self.path}/{_INCOMING}"
        tries = 0
        while lacking := self._lacking(files, incoming):
            if tries == _MOST_TRIES:
                raise DeviceError(
                    f"phone {self._phone.serial}: {lacking[0].path} arrived damaged {tries} times; try another cable, "
                    "and look whether its storage is full"
                )
            self._push(lacking, incoming)
            tries += 1
        for script in _batches(_placing(files, incoming, self.path)):
            self._phone.run(script, "placing files")

    def clean_up(self, keep: Collection[str]) -> None:
        """Remove everything in it but the files of these paths."""
        going = [path for path in self._listed() if path not in keep]
        if not going:
            return
        removing = [f"rm -f {quoted(f'{self.path}/{path}')}" for path in going]
        # Deepest first; those that still hold something stay, as rmdir will have it.
        folders = f"find {quoted(self.path)} -depth -type d -exec rmdir {{}} \\; 2> /dev/null || true"
        for script in _batches([*removing, folders]):
            self._phone.run(script, "cleaning up")

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
            self._phone.push_content(outgoing, incoming, bytes_in_all=sum(file.bytes for file in files))

    def _hashes(self, folder: str, extra_bytes: int = 0) -> dict[str, str]:
        """SHA-256 by path; a name that no line can hold is left out, so that it counts as absent."""
        # Not through xargs or a glob: there may be none, or thousands.
        script = f"cd {quoted(folder)} 2> /dev/null || exit 0\nfind . -type f -exec sha256sum {{}} +"
        answer = self._phone.script(script, timeout_s=_HASHING_S + extra_bytes / _HASHED_BYTES_PER_S)
        if answer.code:
            raise self._phone.refusal(answer, f"hashing {folder}")
        lines = (_HASHED.fullmatch(line) for line in answer.text.split("\n"))
        return {line[2]: line[1] for line in lines if line}

    def _listed(self) -> list[str]:
        script = f"cd {quoted(self.path)} 2> /dev/null || exit 0\nfind . -type f -print0"
        answer = self._phone.script(script)
        return [os.fsdecode(path).removeprefix("./") for path in answer.out.split(b"\0") if path]


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
