"""adb's protocol as a device speaks it: messages of 24 bytes and a payload, and streams over one connection.

From AOSP, packages/modules/adb: protocol.txt, and for AUTH adb_auth.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
from collections.abc import Callable

VERSION = 0x01000001  # from this one on, checksums are not looked at
MAX_PAYLOAD = 256 * 1024
CNXN, OPEN, OKAY, WRTE, CLSE, AUTH = (int.from_bytes(name, "little") for name in
                                      (b"CNXN", b"OPEN", b"OKAY", b"WRTE", b"CLSE", b"AUTH"))  # fmt: skip
_AUTH_TOKEN = 1


class StreamClosedError(Exception):
    """The other side closed the stream, or the cable is out."""


class Stream:
    """One service that the host opened: bytes in, bytes out, each portion acknowledged before the next."""

    def __init__(self, wire: Wire, local: int, remote: int) -> None:
        self._wire, self._local, self._remote = wire, local, remote
        self._incoming: queue.Queue[bytes | None] = queue.Queue()
        self._acknowledged = threading.Semaphore(0)
        self._left = b""
        self.closed = threading.Event()

    def send(self, data: bytes) -> None:
        """Hand over all of it."""
        for start in range(0, len(data), MAX_PAYLOAD):
            if self.closed.is_set():
                raise StreamClosedError
            self._wire.send(WRTE, self._local, self._remote, data[start : start + MAX_PAYLOAD])
            self._acknowledged.acquire()

    def receive(self) -> bytes:
        """The next portion, of any size; empty at the end."""
        if self._left:
            left, self._left = self._left, b""
            return left
        return self._incoming.get() or b""

    def exactly(self, count: int) -> bytes:
        """That many bytes."""
        parts = []
        while count:
            part = self.receive()
            if not part:
                raise StreamClosedError
            parts.append(part[:count])
            self._left = part[count:]
            count -= len(parts[-1])
        return b"".join(parts)

    def close(self) -> None:
        """Nothing more comes from the device."""
        if not self.closed.is_set():
            self.end()
            with contextlib.suppress(OSError):
                self._wire.send(CLSE, self._local, self._remote)

    def took(self, data: bytes) -> None:
        """The host sent it."""
        self._incoming.put(data)

    def acknowledge(self) -> None:
        """The host has the last portion."""
        self._acknowledged.release()

    def end(self) -> None:
        """The host closed it, or is gone: whoever waits goes on."""
        self.closed.set()
        self._incoming.put(None)
        self._acknowledged.release()


Service = Callable[[str, Stream], None]


class Wire:
    """One connection of an adb server to the device.

    Args:
        banner: what the device says of itself, as `device::ro.product.model=Pixel 7;features=shell_v2`.
        service: called in a thread of its own for each stream that the host opens, with the service's name.
        authorised: else the host's key is never accepted.
    """

    def __init__(self, connection: socket.socket, banner: str, service: Service, authorised: bool) -> None:
        self._connection, self._banner, self._service = connection, banner, service
        self._authorised = authorised
        self._lock = threading.Lock()
        self._streams: dict[int, Stream] = {}

    def send(self, command: int, first: int, second: int, data: bytes = b"") -> None:
        """One message."""
        check = sum(data) if command in (CNXN, AUTH) else 0
        header = struct.pack("<6I", command, first, second, len(data), check, command ^ 0xFFFFFFFF)
        with self._lock:
            self._connection.sendall(header + data)

    def serve(self) -> None:
        """Answer the host until one of the two hangs up."""
        try:
            while True:
                command, first, second, length, _, _ = struct.unpack("<6I", self._exactly(24))
                self._take(command, first, second, self._exactly(length))
        except (OSError, EOFError):
            pass
        finally:
            for stream in list(self._streams.values()):
                stream.end()
            self.cut()

    def cut(self) -> None:
        """Pull the cable."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def _exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            part = self._connection.recv(count - len(data))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    def _take(self, command: int, first: int, second: int, data: bytes) -> None:
        if command in (CNXN, AUTH):
            if self._authorised:
                self.send(CNXN, VERSION, MAX_PAYLOAD, self._banner.encode())
            else:
                self.send(AUTH, _AUTH_TOKEN, 0, bytes(20))
        elif command == OPEN:
            stream = self._streams[len(self._streams) + 1] = Stream(self, len(self._streams) + 1, first)
            self.send(OKAY, stream._local, first)
            name = data.rstrip(b"\0").decode(errors="surrogateescape")
            threading.Thread(target=self._run, args=(name, stream), daemon=True).start()
        elif (known := self._streams.get(second)) is not None:
            if command == WRTE:
                known.took(data)
                with contextlib.suppress(OSError):
                    self.send(OKAY, second, first)
            elif command == OKAY:
                known.acknowledge()
            elif command == CLSE:
                known.end()

    def _run(self, name: str, stream: Stream) -> None:
        with contextlib.suppress(StreamClosedError, OSError):
            self._service(name, stream)
        stream.close()
