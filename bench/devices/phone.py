"""One Android phone, through adb: its shell, files to and from it, packages on it."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from pocketgan.bench.devices.adb import QUESTION_S, Adb, Answer, is_address
from pocketgan.bench.devices.adb_problems import FULL, adb_error, first_line, full_error
from pocketgan.bench.devices.transport import OutOfReachError
from pocketgan.errors import DeviceError

# Slow USB 2 through a hub: what a push may take at least.
_SLOWEST_BYTES_PER_S = 1e6
_INSTALL_S = 300.0
_CONNECT_S = 5.0
# Behind everything that a command wrote: adb 29 ends with 0 when the phone is unplugged in the middle of its output.
_END = re.compile(rb"\n\[pocketgan (\d+)\]\n\Z")
_REFUSALS = {
    "INSTALL_FAILED_UPDATE_INCOMPATIBLE": "an app of that name is there that was signed with another key; it is not "
    "removed for you, since its data would go with it: adb uninstall {package}",
    "INSTALL_FAILED_VERSION_DOWNGRADE": "a newer version is there: adb uninstall {package}",
    "INSTALL_FAILED_USER_RESTRICTED": "the phone forbids it: allow installing via USB in its developer options",
    "INSTALL_FAILED_OLDER_SDK": "its Android is too old for this app",
    "INSTALL_FAILED_NO_MATCHING_ABIS": "the app holds no libraries for its processor",
    "INSTALL_FAILED_VERIFICATION_FAILURE": "Play Protect refused it: turn off verifying apps over USB in its developer "
    "options",
}


class Phone:
    """A phone that adb lists as `device`.

    Every method raises OutOfReachError where the phone does not answer and may come back, and DeviceError where it
    refuses.

    Args:
        serial: as adb lists it.
    """

    def __init__(self, adb: Adb, serial: str) -> None:
        self.adb = adb
        self.serial = serial

    def shell(self, *words: str, timeout_s: float = QUESTION_S) -> Answer:
        """Run one command; words may hold any character but NUL."""
        return self.script(quoted(*words), timeout_s)

    def script(self, text: str, timeout_s: float = QUESTION_S) -> Answer:
        """Run a script in the phone's shell; words of others in it have gone through `quoted`.

        Standard output is as the command wrote it, whole, and the exit code the command's own.
        """
        # -T: no terminal, so that the phone translates nothing and keeps standard error apart.
        command = f"(\n{text}\n)\nprintf '\\n[pocketgan %d]\\n' $?"
        answer = self._ask("shell", "-T", "-n", command, timeout_s=timeout_s)
        end = _END.search(answer.out)
        if end is None:
            raise self._trouble(answer.error, "a command")
        return Answer(int(end[1]), answer.out[: end.start()], answer.error)

    def check(self, *words: str, timeout_s: float = QUESTION_S) -> str:
        """What a command that must succeed wrote."""
        answer = self.shell(*words, timeout_s=timeout_s)
        if answer.code:
            raise self.refusal(answer, words[0])
        return answer.text

    def run(self, script: str, doing: str) -> None:
        """Run a script that must succeed."""
        answer = self.script(script)
        if answer.code:
            raise self.refusal(answer, doing)

    def refusal(self, answer: Answer, doing: str) -> DeviceError:
        """The error of a command that failed on the phone."""
        told = answer.error or answer.text
        if FULL.search(told):
            return full_error(self.serial, doing)
        return DeviceError(f"phone {self.serial}: {doing} failed: {first_line(told) or f'exit code {answer.code}'}")

    def push(self, sources: Sequence[Path], folder: str, *, bytes_in_all: int) -> None:
        """Copy files and folders into a folder of the phone, under their own names. No links: adb sends those as links.

        Args:
            bytes_in_all: what they hold together, for the time that it may take.
        """
        self.check("mkdir", "-p", folder)  # adb takes several sources to a folder that is there alone
        self._copy("push", *(str(source.absolute()) for source in sources), f"{folder}/", bytes_in_all=bytes_in_all)

    def push_content(self, source: Path, folder: str, *, bytes_in_all: int) -> None:
        """As `push`, of everything in the folder `source`."""
        self._copy("push", f"{source.absolute()}/.", f"{folder}/", bytes_in_all=bytes_in_all)

    def pull(self, path: str, target: Path, *, bytes_in_all: int) -> None:
        """Copy a file or folder of the phone to `target`."""
        self._copy("pull", path, str(target.absolute()), bytes_in_all=bytes_in_all)

    def read(self, path: str, offset: int = 0) -> bytes:
        """What a file holds from that byte on; nothing where there is no such file."""
        there = quoted(path)
        # Not exec-out: it has no exit code, so that half a file would look like the whole.
        answer = self.script(f"[ -f {there} ] || exit 0; tail -c +{offset + 1} {there}", timeout_s=60)
        if answer.code:
            raise self.refusal(answer, f"reading {path}")
        return answer.out

    def install(self, apk: Path, package: str, user: int = 0) -> None:
        """Install an app over an older version of itself, its data kept. Nothing is ever removed.

        Args:
            user: whose it becomes; the phone's owner is 0. Not everybody's: work profiles forbid it.
        """
        answer = self._ask("install", "-r", "--user", str(user), str(apk.resolve()), timeout_s=_INSTALL_S)
        told = f"{answer.error}\n{answer.text}"
        if answer.code == 0 and re.search(r"^Success", told, re.MULTILINE):
            return
        if FULL.search(told):
            raise full_error(self.serial, f"installing {apk.name}")
        refused = re.search(r"INSTALL_[A-Z_]+", told)
        if refused is None:
            raise adb_error(self.serial, told.replace("Performing Streamed Install", ""), f"installing {apk.name}")
        why = _REFUSALS.get(refused[0], refused[0]).format(package=package)
        raise DeviceError(f"phone {self.serial} does not take {apk.name}: {why}")

    def _copy(self, verb: str, *words: str, bytes_in_all: int) -> None:
        answer = self._ask(verb, *words, timeout_s=60 + bytes_in_all / _SLOWEST_BYTES_PER_S)
        if answer.code:
            # adb 29 tells of trouble on standard output, 36 on standard error.
            on_the_phone = words[-1 if verb == "push" else 0]
            raise self._trouble(f"{answer.error}\n{answer.text}", f"{verb} {on_the_phone}")

    def _trouble(self, told: str, doing: str) -> DeviceError:
        """The error that adb's words stand for. A phone on Wi-Fi is connected to again, for whoever asks it next: a
        server that was started anew does not know it, as it knows those on USB."""
        error = adb_error(self.serial, told, doing)
        if isinstance(error, OutOfReachError) and is_address(self.serial):
            with contextlib.suppress(DeviceError):
                self.adb.ask("connect", self.serial, timeout_s=_CONNECT_S)
        return error

    def _ask(self, *words: str, timeout_s: float) -> Answer:
        return self.adb.ask("-s", self.serial, *words, timeout_s=timeout_s)


def quoted(*words: str) -> str:
    """Words as the phone's shell reads them as they are: the one place where that is done.

    Raises:
        DeviceError: a word holds a NUL, which no command can.
    """
    if any("\0" in word for word in words):
        raise DeviceError(f"a name with a NUL cannot be told to a phone: {words!r}")
    return shlex.join(words)
