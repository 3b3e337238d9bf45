"""The server of one session: its connections, each with limits, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from pocketgan import console
from pocketgan.bench.devices.web.answer import Answer
from pocketgan.bench.devices.web.request import LONGEST_HEAD, RefusedError, Request, read_request
from pocketgan.bench.devices.web.routes import Door, Routes, refusal
from pocketgan.bench.devices.web.visitors import Bell
from pocketgan.errors import DeviceError

_MOST_CONNECTIONS, _MOST_REQUESTS = 128, 10_000
# Of one address, so that nobody takes them all; phones behind `adb reverse` share this computer's own.
_MOST_OF_ONE = 64
# Bytes of bodies that are read at a time, of all pages together: several long ones would not fit into memory.
_MOST_COMING = 32 << 20
# Between two requests; within a head; within a body or an answer, for each piece of it.
_IDLE_S, _PIECE_S, _HANDSHAKE_S = 60.0, 15.0, 10.0
_PIECE = 1 << 17
_LINGER, _LINGER_S = 8 << 20, 2.0

Taking = Callable[[int], contextlib.AbstractContextManager[None]]


@dataclass(frozen=True)
class Listener:
    """An address to listen at. `tls`: None for plain HTTP."""

    address: str
    door: Door
    tls: ssl.SSLContext | None


class WebServer:
    """Listens while it is entered.

    Raises:
        DeviceError: a port is taken, or an address is none of this computer's.
    """

    def __init__(self, routes: Routes, bell: Bell, listeners: Sequence[Listener]) -> None:
        self._routes, self._bell, self._listeners = routes, bell, listeners
        self._connections: Counter[str] = Counter()
        self._coming = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="pocketgan web", daemon=True)
        self._ready: Future[None] = Future()
        self._end: asyncio.Event | None = None

    def __enter__(self) -> WebServer:
        self._thread.start()
        self._ready.result()
        return self

    def __exit__(self, *raised: object) -> None:
        if self._end is not None:
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _serve(self) -> None:
        self._loop.set_exception_handler(_quietly)
        try:
            self._loop.run_until_complete(self._listen())
        except OSError as problem:
            self._ready.set_exception(DeviceError(f"the page cannot be served: {_words(problem)}"))
        finally:
            with contextlib.suppress(Exception):
                for task in asyncio.all_tasks(self._loop):
                    task.cancel()
                self._loop.run_until_complete(asyncio.sleep(0))
                self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _listen(self) -> None:
        self._end = asyncio.Event()
        self._bell.belongs_to(self._loop)
        async with contextlib.AsyncExitStack() as stack:
            for listener in self._listeners:
                server = await asyncio.start_server(
                    self._connected(listener.door),
                    listener.address,
                    listener.door.port,
                    limit=LONGEST_HEAD,
                    ssl=listener.tls,
                    ssl_handshake_timeout=None if listener.tls is None else _HANDSHAKE_S,
                    ssl_shutdown_timeout=None if listener.tls is None else 1.0,
                )
                stack.callback(server.close)
            self._ready.set_result(None)
            await self._end.wait()

    def _connected(self, door: Door) -> Any:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = str((writer.get_extra_info("peername") or ("",))[0])
            self._connections[peer] += 1
            try:
                if self._connections[peer] <= _MOST_OF_ONE and self._connections.total() <= _MOST_CONNECTIONS:
                    await self._talk(reader, writer, door, peer)
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                pass  # whoever it was is gone, or keeps silent
            finally:
                self._connections[peer] -= 1
                self._connections += Counter()  # without those that have none any more
                writer.close()

        return talk

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, door: Door, peer: str) -> None:
        for number in range(_MOST_REQUESTS):
            connection = _Connection(reader, writer, self._taking)
            try:
                async with asyncio.timeout(_IDLE_S if number else _PIECE_S):
                    request = await read_request(reader, peer)
                if request is None:
                    return
                connection.request = request
                answer = await self._routes.answer(request, door, connection.body)
            except RefusedError as problem:
                await connection.send(refusal(problem), close=True)
                await connection.linger()
                return
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                raise
            except Exception as fault:  # ours: told, and no reason to leave the phones alone
                console.note(f"a fault of the page's server, please report it: {fault!r}")
                await connection.send(refusal(RefusedError(500, "a fault of pocketgan's")), close=True)
                return
            close = connection.unread > 0 or request.headers.get("connection", "").lower() == "close"
            await connection.send(answer, close=close)
            if close:
                return

    @contextlib.contextmanager
    def _taking(self, length: int) -> Iterator[None]:
        if self._coming + length > _MOST_COMING:
            raise RefusedError(429, "too much is sent at once: wait a little")
        self._coming += length
        try:
            yield
        finally:
            self._coming -= length


class _Connection:
    """One request on a connection, and its answer.

    Args:
        taking: holds room for so many bytes of a body while it is entered; raises RefusedError where there is none.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, taking: Taking) -> None:
        self._reader, self._writer, self._taking = reader, writer, taking
        self.request: Request | None = None
        self._read = 0

    @property
    def unread(self) -> int:
        """Bytes of the body that nobody took."""
        return 0 if self.request is None else self.request.length - self._read

    async def body(self, most: int) -> bytes:
        """The body.

        Raises:
            RefusedError: it is longer, or others send much now.
        """
        assert self.request is not None
        if self.request.length > most:
            raise RefusedError(413, f"{most:,} bytes are taken at most")
        with self._taking(self.request.length):
            data = bytearray()
            while len(data) < self.request.length:
                async with asyncio.timeout(_PIECE_S):
                    piece = await self._reader.read(min(_PIECE, self.request.length - len(data)))
                if not piece:
                    raise asyncio.IncompleteReadError(bytes(data[:0]), self.request.length)
                data += piece
                self._read = len(data)
            return bytes(data)

    async def linger(self) -> None:
        """Take some of what nobody reads, so that whoever still sends it hears the answer."""
        left = min(self.unread, _LINGER)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                while left > 0 and (piece := await self._reader.read(min(_PIECE, left))):
                    left -= len(piece)

    async def send(self, answer: Answer, *, close: bool) -> None:
        """Head, then body or file, as fast as they are taken."""
        if answer.file is None:
            self._writer.write(answer.head(len(answer.body), close) + answer.body)
            await self._drain()
            return
        with answer.file.open("rb") as file:
            self._writer.write(answer.head(answer.file.stat().st_size, close))
            while piece := file.read(_PIECE):
                self._writer.write(piece)
                await self._drain()

    async def _drain(self) -> None:
        async with asyncio.timeout(_PIECE_S):
            await self._writer.drain()


def _words(problem: OSError) -> str:
    if problem.errno == errno.EADDRINUSE:
        return "its port is taken by another program: name another with --port"
    return problem.strerror or str(problem)


def _quietly(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What strangers do to a connection is no news."""
