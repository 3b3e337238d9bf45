"""A phone for the real `adb`, without a phone: the device's side of the protocol over TCP, its files in a sandbox.

Its shell is this computer's, with shims before its tools; device paths that a phone has and a computer has not (see
MAPPED) lie in the sandbox. Faults on demand: see Faults, and `unplug`, `plug_in`, `reboot`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import socket
import stat
import struct
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from adb_wire import Stream, StreamClosedError, Wire

MAPPED = re.compile(
    rb"/(?=data/local/tmp|storage/emulated/0|sdcard|proc/(?:meminfo|uptime|cpuinfo)|sys/devices/system/cpu)"
)
NO_SPACE = b"No space left on device"
_CHUNK = 64 * 1024
_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)

# Each finds what it answers in the folder STATE; a file CALLS records what it was asked.
_SHIMS = {
    "getprop": 'if [ $# = 0 ]; then cat "$STATE/getprop"\n'
    'else sed -n "s/^\\[$1\\]: \\[\\(.*\\)\\]\\$/\\1/p" "$STATE/getprop"; fi',
    "dumpsys": 'name=$(IFS=.; echo "$*"); if [ -x "$STATE/dumpsys/$name" ]; then exec "$STATE/dumpsys/$name"\n'
    'elif [ -f "$STATE/dumpsys/$name" ]; then cat "$STATE/dumpsys/$name"\n'
    'elif [ "$1" = package ]; then echo "Unable to find package: $2"\n'
    'else echo "Can\'t find service: $1" >&2; exit 20; fi',
    "settings": 'cat "$STATE/settings/$2.$3" 2>/dev/null || echo null',
    "am": 'if [ -x "$STATE/am" ]; then exec "$STATE/am" "$@"; fi; echo "Error: no such component" >&2; exit 255',
    "pm": 'exec cmd package "$@"',
    # `-S` is followed by the size: the host keeps the stream open until it has the answer.
    "cmd": 'if [ "$1 $2" = "package install" ]; then while [ "$1" != -S ]; do shift; done\n'
    'head -c "$2" > "$STATE/sent.apk"; cat "$STATE/install"\n'
    'if grep -q ^Success "$STATE/install"; then mv "$STATE/sent.apk" "$STATE/installed.apk"; fi\n'
    'elif [ "$1 $2" = "package path" ]; then test -f "$STATE/installed.apk" && echo "package:$STATE/installed.apk"\n'
    'elif [ "$1 $2" = "package grant" ]; then test ! -f "$STATE/grant" || { cat "$STATE/grant" >&2; exit 255; }\n'
    # Android 11 and newer; AOSP's words where the power HAL lacks the mode.
    'elif [ "$1 $2" = "power set-fixed-performance-mode-enabled" ]; then\n'
    'if [ -f "$STATE/fixed-performance" ]; then echo "$3" > "$STATE/fixed-performance"\n'
    'else echo "Failed to set FIXED_PERFORMANCE mode" >&2\n'
    'echo "This is likely because Power HAL AIDL is not implemented on this device" >&2; exit 255; fi\n'
    'else echo "cmd: Can\'t find service: $1" >&2; exit 20; fi',
}


@dataclass
class Faults:
    """What goes wrong, until it is changed.

    Attributes:
        unplug: the kind of service ("push", "pull", "shell") and the bytes after which the cable comes out in it.
        free_bytes: of storage; what is pushed beyond fails as on a full phone.
        lost_bytes: of the end of every file that is pushed, which get lost without a word.
        delay_s: before the phone answers anything.
    """

    unplug: tuple[str, int] | None = None
    free_bytes: int | None = None
    lost_bytes: int = 0
    delay_s: float = 0.0


@dataclass
class SimulatedPhone:
    """A phone that is plugged in while the context is open.

    Args:
        root: the sandbox, an empty folder.
        told: what its tools say: "getprop" to a text of properties, "dumpsys/NAME", "settings/NAMESPACE.KEY",
            "install", "fixed-performance" where it has the mode, and files of the device by their absolute path.
        authorised: whether it accepts this computer's key.
        emulator: the words before a program that its shell starts on its own (`setsid`), where that is for another
            processor than this computer's.
    Attributes:
        received: paths of the files that were pushed and came whole, in order.
    """

    root: Path
    told: dict[str, str]
    model: str = "Pixel 7"
    authorised: bool = True
    features: str = "shell_v2,cmd"
    faults: Faults = field(default_factory=Faults)
    emulator: Sequence[str] = ()

    def __enter__(self) -> SimulatedPhone:
        if not re.fullmatch(r"[\w./-]+", str(self.root)):
            raise ValueError(f"{self.root} would have to be quoted in the commands that it is put into")
        for folder in ("data/local/tmp", "storage/emulated/0", "state/dumpsys", "state/settings", "shims"):
            (self.root / folder).mkdir(parents=True)
        (self.root / "sdcard").symlink_to("storage/emulated/0")
        # As it is called: setsid sh -c SCRIPT NAME PROGRAM...
        begin = 'script=$3 name=$4; shift 4; exec /usr/bin/setsid sh -c "$script" "$name"'
        for name, body in {**_SHIMS, "setsid": f'{begin} {shlex.join(self.emulator)} "$@"'}.items():
            shim = self.root / "shims" / name
            shim.write_text(f'#!/bin/sh\nSTATE={self.root}/state\necho "{name} $*" >> "$STATE/calls"\n{body}\n')
            shim.chmod(0o755)
        for name, text in {"install": "Success\n", **self.told}.items():
            path = self.at(name) if name.startswith("/") else self.root / "state" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.received: list[str] = []
        self._wires: list[Wire] = []
        self._port = 0
        self.plug_in()
        return self

    def __exit__(self, *_: object) -> None:
        self.unplug()
        self._end_processes()

    @property
    def serial(self) -> str:
        """The name that `adb connect` takes, and that the phone is listed by."""
        return f"127.0.0.1:{self._port}"

    def at(self, path: str) -> Path:
        """Where a file of the device lies on this computer."""
        return self.root / path.lstrip("/")

    def calls(self, tool: str) -> list[str]:
        """What a shim was asked, in order."""
        log = self.root / "state" / "calls"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line.removeprefix(f"{tool} ") for line in lines if line.startswith(f"{tool} ")]

    def plug_in(self) -> None:
        """Answer from now on, at the port that it had before."""
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self._port))
        self._listener.listen()
        self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def unplug(self) -> None:
        """The cable comes out; what runs on the phone goes on."""
        with contextlib.suppress(OSError):  # a thread that waits in accept() holds the port until it is woken
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        while self._wires:
            self._wires.pop().cut()

    def reboot(self, down_s: float = 0.2) -> None:
        """Everything that runs ends, and the phone is back after that many seconds."""
        self.unplug()
        self._end_processes()
        time.sleep(down_s)
        self.plug_in()

    def _accept(self, listener: socket.socket) -> None:
        banner = f"device::ro.product.name=sim;ro.product.model={self.model};ro.product.device=sim"
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                wire = Wire(connection, f"{banner};features={self.features}", self._serve, self.authorised)
                self._wires.append(wire)
                threading.Thread(target=wire.serve, daemon=True).start()

    def _serve(self, name: str, stream: Stream) -> None:
        time.sleep(self.faults.delay_s)
        kind, _, rest = name.partition(":")
        if kind == "sync":
            self._sync(stream)
        elif kind == "exec" or kind == "shell" or kind.startswith("shell,"):
            self._shell(rest.encode(errors="surrogateescape"), stream, framed="v2" in kind.split(","))

    def _trip(self, kind: str, done: int) -> None:
        """Pull the cable where the fault says so."""
        if self.faults.unplug is not None and self.faults.unplug[0] == kind and done >= self.faults.unplug[1]:
            self.faults.unplug = None
            self.unplug()
            raise StreamClosedError

    # Shell and exec

    def _shell(self, command: bytes, stream: Stream, framed: bool) -> None:
        """Run a command; `framed` keeps standard error and the exit code apart, as shell,v2 does."""
        here = os.fsencode(self.root) + b"/"
        environment = {"PATH": f"{self.root}/shims:/usr/bin:/bin", "HOME": "/", "ADB_DEVICE": str(self.root)}
        process = subprocess.Popen(
            [b"/bin/sh", b"-c", MAPPED.sub(lambda _: here, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if framed else subprocess.STDOUT,
            env=environment,
            cwd=self.root,
            start_new_session=True,
        )
        threading.Thread(target=_feed, args=(stream, process, framed), daemon=True).start()
        sent = 0

        def hand_over(pipe: int, data: bytes) -> None:
            nonlocal sent
            for start in range(0, len(data), _CHUNK):
                part = data[start : start + _CHUNK]
                sent += len(part)
                self._trip("shell", sent)
                stream.send(struct.pack("<BI", pipe, len(part)) + part if framed else part)

        self._trip("shell", 0)
        out, errors = _output(process)
        hand_over(_STDOUT, out.replace(here, b"/"))
        hand_over(_STDERR, errors.replace(here, b"/"))
        if framed:
            stream.send(struct.pack("<BIB", _EXIT, 1, process.returncode & 0xFF))

    def _end_processes(self) -> None:
        """Kill what was started in this phone's shell, however detached: its environment names the sandbox."""
        mark, found = f"ADB_DEVICE={self.root}".encode(), True
        while found:  # until they are gone: a killed process has no environment
            found = False
            for entry in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found = True
                        os.kill(int(entry.name), signal.SIGKILL)

    # Sync: the protocol of push and pull

    def _sync(self, stream: Stream) -> None:
        while True:
            request, length = struct.unpack("<4sI", stream.exactly(8))
            path = os.fsdecode(stream.exactly(length))
            if request == b"QUIT":
                return
            if request == b"STAT":
                stream.send(b"STAT" + _stat(self.at(path)))
            elif request == b"LIST":
                self._list(stream, self.at(path))
            elif request == b"SEND":
                self._take_file(stream, *path.rsplit(",", 1))
            elif request == b"RECV":
                self._give_file(stream, self.at(path))
            else:
                _refuse(stream, b"unknown command")
                return

    def _list(self, stream: Stream, folder: Path) -> None:
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            name = os.fsencode(path.name)
            stream.send(b"DENT" + _stat(path) + struct.pack("<I", len(name)) + name)
        stream.send(b"DONE" + bytes(16))

    def _take_file(self, stream: Stream, name: str, mode: str) -> None:
        path, content, problem = self.at(name), bytearray(), b""
        while True:
            request, length = struct.unpack("<4sI", stream.exactly(8))
            if request == b"DONE":
                break
            content += stream.exactly(length)
            self._trip("push", len(content))
        if self.faults.free_bytes is not None:
            if len(content) > self.faults.free_bytes:
                problem = b"write failed: " + NO_SPACE
            else:
                self.faults.free_bytes -= len(content)
        if not problem:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content[: max(0, len(content) - self.faults.lost_bytes)])
                path.chmod(int(mode) & 0o777)
            except OSError as error:
                problem = f"couldn't create file: {error.strerror}".encode()
        if problem:
            _refuse(stream, problem)
        else:
            self.received.append(name)
            stream.send(b"OKAY" + bytes(4))

    def _give_file(self, stream: Stream, path: Path) -> None:
        try:
            content = path.read_bytes()
        except OSError as error:
            _refuse(stream, f"open failed: {error.strerror}".encode())
            return
        for start in range(0, len(content), _CHUNK):
            part = content[start : start + _CHUNK]
            self._trip("pull", start + len(part))
            stream.send(b"DATA" + struct.pack("<I", len(part)) + part)
        stream.send(b"DONE" + bytes(4))


def _output(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """All that a process says; its input is fed elsewhere."""
    told = []
    # communicate() would close the input.
    other = threading.Thread(target=lambda: told.append(process.stderr.read()) if process.stderr else None)
    other.start()
    out = process.stdout.read()
    other.join()
    process.wait()
    return out, told[0] if told else b""


def _feed(stream: Stream, process: subprocess.Popen[bytes], framed: bool) -> None:
    """What the host sends goes into the process; when the host hangs up, the process ends, as adbd does it."""
    with contextlib.suppress(OSError, StreamClosedError, ValueError):
        while True:
            if framed:
                kind, length = struct.unpack("<BI", stream.exactly(5))
                data = stream.exactly(length)
                if kind == _STDIN:
                    process.stdin.write(data)
                    process.stdin.flush()
                elif kind == _CLOSE_STDIN:
                    process.stdin.close()
            elif data := stream.receive():
                process.stdin.write(data)
                process.stdin.flush()
            else:
                break
    with contextlib.suppress(OSError, ValueError):
        process.stdin.close()
    if stream.closed.is_set():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGHUP)


def _stat(path: Path) -> bytes:
    try:
        found = path.lstat()
    except OSError:
        return bytes(12)
    mode = found.st_mode if not stat.S_ISLNK(found.st_mode) else path.stat().st_mode
    return struct.pack("<III", mode, min(found.st_size, 0xFFFFFFFF), int(found.st_mtime))


def _refuse(stream: Stream, why: bytes) -> None:
    stream.send(b"FAIL" + struct.pack("<I", len(why)) + why)
