"""A session that phones come to: the server is opened, its address shown, and each phone that comes is a device."""

from __future__ import annotations

import queue
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from pocketgan import console
from pocketgan.bench.devices.device import Tick
from pocketgan.bench.devices.web.addresses import LOOPBACK, lan_address, qr_code
from pocketgan.bench.devices.web.certificate import certificate_for, fingerprint, tls_context
from pocketgan.bench.devices.web.device import RUNTIMES, WebPhone, page_runs
from pocketgan.bench.devices.web.options import WebOptions
from pocketgan.bench.devices.web.routes import Door, Routes
from pocketgan.bench.devices.web.runtime import find_runtime
from pocketgan.bench.devices.web.secret import Secret
from pocketgan.bench.devices.web.served import ServedFiles
from pocketgan.bench.devices.web.server import Listener, WebServer
from pocketgan.bench.devices.web.transport import QUIET_S, WebTransport
from pocketgan.bench.devices.web.visitor import Visitor
from pocketgan.bench.devices.web.visitors import Visitors
from pocketgan.bench.schema.job import Job, Via
from pocketgan.bench.schema.result import DeviceInfo, Result
from pocketgan.bundle.manifest import Entry
from pocketgan.bundle.reader import Bundle
from pocketgan.errors import DeviceError
from pocketgan.files import cache_folder
from pocketgan.scratch import scratch_folder

_GOODBYE_S, _LOOK_S = 1.2, 0.02
_ALONE = (
    "--device web waits for somebody with a phone, which bench alone does: pocketgan bench BASE CANDIDATE --device web "
    "measures both in turns, and pocketgan compare takes results files"
)


class WebDevices:
    """`--device web`: no device yet, but whoever comes is one.

    Args:
        options: how the session is held.
    Attributes:
        urls: what opens the page while it is served, the network's address first, this computer's own last.
    """

    name = "web"
    simulated = False
    via: Via = "page"
    runtimes: Sequence[str] = RUNTIMES

    def __init__(self, options: WebOptions) -> None:
        self.options = options
        self.urls: list[str] = []

    def runs(self, entry: Entry) -> bool:
        """Whether a page can be asked to run the entry."""
        return page_runs(entry)

    def describe(self) -> DeviceInfo:
        """See Device. Of those that will come nothing is known."""
        return DeviceInfo(
            name="web", model="a browser", kind="web", os="", os_build="", cpu="", cores=1, memory_bytes=0
        )

    def lock(self) -> AbstractContextManager[None]:
        """See Device. Each phone has a lock of its own."""
        return nullcontext()

    def run(self, bundle: Bundle, job: Job) -> Result:
        """See Device. Raises DeviceError: nobody may come."""
        raise DeviceError(_ALONE)

    def run_interleaved(
        self, work: Sequence[tuple[Bundle, Job]], *, session: str = "", tick: Tick | None = None
    ) -> list[Result]:
        """See Device. Raises DeviceError: nobody may come."""
        raise DeviceError(_ALONE)

    def check(self, work: Sequence[tuple[Bundle, str, str | None]]) -> list[list[str]]:
        """See Device. Raises DeviceError: nobody may come."""
        raise DeviceError(_ALONE)

    @contextmanager
    def open(self) -> Iterator[Gathering]:
        """Serve the page, and say where, until the block ends.

        Raises:
            DeviceError: there is no runtime, or no address to listen at; says what to do.
        """
        runtime = find_runtime(self.options.ort_web)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(scratch_folder()))
            (folder / "served").mkdir()
            (folder / "phones").mkdir()
            gathering = Gathering(folder, self.options.phones)
            secret = Secret()
            routes = Routes(secret, gathering.visitors, gathering.served, runtime)
            doors = _doors(self.options)
            stack.enter_context(WebServer(routes, gathering.visitors.bell, doors.listeners))
            self.urls = [f"{one.door.scheme}://{one.address}:{one.door.port}/#{secret.text}" for one in doors.listeners]
            _show(doors, self.urls, self.options.port)
            stack.callback(gathering.end, "the session is over")
            yield gathering


class Gathering:
    """The phones of an open session.

    Args:
        folder: for it alone. phones: how many are measured.
    """

    def __init__(self, folder: Path, phones: int) -> None:
        self.served = ServedFiles(folder / "served")
        self.visitors = Visitors(folder / "phones", lambda: phones)
        self._why: str | None = None

    def next_phone(self, timeout_s: float) -> WebPhone | None:
        """The next one that came; None where none did in that time."""
        try:
            visitor = self.visitors.arrivals.get(timeout=timeout_s)
        except queue.Empty:
            return None
        return WebPhone(visitor, WebTransport(visitor, self.served, lambda: self._why))

    def end(self, why: str) -> None:
        """Measure no more, on none of them, and tell them so."""
        self._why = why
        everyone = self.visitors.everyone()
        for visitor in everyone:
            if visitor.order != "over":
                visitor.say("over", why)
        end = time.monotonic() + _GOODBYE_S
        while time.monotonic() < end and not all(map(_is_told, everyone)):
            time.sleep(_LOOK_S)


def _is_told(visitor: Visitor) -> bool:
    """Whether it knows, or is nobody who listens."""
    return visitor.knows or visitor.refused is not None or visitor.silent_s > QUIET_S


@dataclass(frozen=True)
class _Doors:
    """Where the server listens: `local`, and `lan` where this computer has a network, with its certificate's mark."""

    local: Listener
    lan: Listener | None
    mark: str = ""

    @property
    def listeners(self) -> list[Listener]:
        return [self.local] if self.lan is None else [self.lan, self.local]


def _doors(options: WebOptions) -> _Doors:
    """Loopback in any case, and the network's address where there is one."""
    address = lan_address(options.address)
    port = _free_port([LOOPBACK] if address is None else [address, LOOPBACK], options.port)
    names_here = {f"{name}:{port}" for name in (LOOPBACK, "localhost")}
    local = Listener(LOOPBACK, Door(names_here, port, secure=False), None)
    if address is None:
        return _Doors(local, None)
    host = socket.gethostname().lower()
    names = [address, host, f"{host}.local"] if host.replace("-", "").isalnum() else [address]
    door = Door({f"{name}:{port}" for name in names}, port, secure=not options.plain_http)
    if options.plain_http:
        return _Doors(local, Listener(address, door, None))
    certificate = certificate_for(names, cache_folder() / "web")
    return _Doors(local, Listener(address, door, tls_context(certificate)), fingerprint(certificate))


def _free_port(addresses: Sequence[str], wanted: int) -> int:
    """The wanted port where it is free at all of them, else one that is."""
    for port in (wanted, 0, 0, 0):
        with ExitStack() as stack:
            try:
                for address in addresses:
                    probe = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((address, port))
                    port = int(probe.getsockname()[1])
                return port
            except OSError:
                continue
    raise DeviceError("the page cannot be served: this computer has no free port for it; name one with --port")


def _show(doors: _Doors, urls: Sequence[str], wanted_port: int) -> None:
    """Where to go, for people. On standard error: the results are the output."""
    port = doors.local.door.port
    if wanted_port not in (0, port):
        console.note(
            f"port {wanted_port} is taken, or not ours to take: this session is at {port}, where browsers know nothing "
            "of an earlier one"
        )
    if doors.lan is not None:
        console.note(qr_code(urls[0]))
        console.note(f"open it on the phone, in the same network: {urls[0]}")
        if doors.mark:
            console.note(
                "its browser warns of a certificate that nobody signed: it is this computer's own, go on. SHA-256, to "
                f"compare: {doors.mark}"
            )
        else:
            console.note(
                "plain HTTP: whoever is in this network can read the secret and the models, and a browser gives such a "
                "page one thread, no WebGPU and a coarse clock"
            )
    console.note(f"on this computer, or behind `adb reverse tcp:{port} tcp:{port}`: {urls[-1]}")
