"""What the server answers to which path, and to whom."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from pocketgan.bench.devices.web.answer import Answer, json_answer, kind_of
from pocketgan.bench.devices.web.budget import LEFT_BEHIND, MOST_SAMPLES
from pocketgan.bench.devices.web.page_files import page_answers
from pocketgan.bench.devices.web.request import RefusedError, Request
from pocketgan.bench.devices.web.runtime import FILES, VERSION, WebRuntime
from pocketgan.bench.devices.web.secret import Secret, cookie, token_in
from pocketgan.bench.devices.web.served import ServedFiles
from pocketgan.bench.devices.web.visitor import LONGEST_BEAT, Visitor, joining
from pocketgan.bench.devices.web.visitors import Visitors

Body = Callable[[int], Awaitable[bytes]]

# A page's question for work is answered at the latest then; browsers and phones cut what is silent for longer.
LONG_POLL_S = 20.0
_JOIN_ROOM = 1 << 16
_HASH = re.compile(r"[0-9a-f]{64}")
_RUN = re.compile(r"[0-9a-f]{0,32}")


@dataclass(frozen=True)
class Door:
    """One address that the server listens at.

    Attributes:
        hosts: what a browser that was sent here calls it, with the port. secure: over TLS.
    """

    hosts: Collection[str]
    port: int
    secure: bool

    @property
    def scheme(self) -> str:
        return "https" if self.secure else "http"


class Routes:
    """Answers requests of pages, in the server's loop."""

    def __init__(self, secret: Secret, visitors: Visitors, served: ServedFiles, runtime: WebRuntime) -> None:
        self._secret, self._visitors, self._served, self._runtime = secret, visitors, served, runtime
        self._page = page_answers()

    async def answer(self, request: Request, door: Door, body: Body) -> Answer:
        """The answer to a request.

        Args:
            body: reads the body, which may have so many bytes at most.
        Raises:
            RefusedError: it is not carried out.
        """
        _must_be_meant(request, door)
        if request.method == "GET" and request.path in self._page:
            return self._page[request.path]
        if (request.method, request.path) == ("POST", "/join"):
            return await self._join(request, door, body)
        if not self._secret.knows(token_in(request.headers.get("cookie", ""), door.port)):
            raise RefusedError(401, "open the address of this session again: it has a secret of its own")
        if request.method == "POST" and request.path in ("/lines", "/beat"):
            return await self._take(request, body)
        if (request.method, request.path) == ("GET", "/work"):
            return await self._work(request)
        if request.method == "GET" and request.path.startswith(("/files/", "/runtime/")):
            return self._file(request.path)
        raise RefusedError(404, "there is no such thing")

    async def _join(self, request: Request, door: Door, body: Body) -> Answer:
        known = self._secret.knows(token_in(request.headers.get("cookie", ""), door.port))
        if not known:
            scheme, _, told = request.headers.get("authorization", "").partition(" ")
            if scheme != "Pocketgan" or not self._secret.opens(told):
                raise RefusedError(401, "this is not the address of this session: scan its code again")
        page, about, run, lines, crashed = joining(await body(LEFT_BEHIND.total_bytes + _JOIN_ROOM))
        told_to_page = self._visitors.join(page, about, run, lines, crashed)
        runtime = {"version": VERSION, "files": FILES}
        more = {"name": about.name, "runtime": runtime, "most_samples": MOST_SAMPLES}
        headers = {"Set-Cookie": cookie(self._secret.new_token(), door.port, secure=door.secure)}
        return json_answer({**told_to_page, **more}, headers=headers)

    async def _take(self, request: Request, body: Body) -> Answer:
        visitor, page, run = self._of(request)
        if request.path == "/beat":
            return json_answer(visitor.beat(page, run, await body(LONGEST_BEAT)))
        first = request.query.get("first", "")
        if not re.fullmatch(r"[0-9]{1,9}", first):
            raise RefusedError(400, "the number of the first line is none")
        data = await body(visitor.longest_body(request.length))
        return json_answer(visitor.lines(page, run, int(first), data))

    async def _work(self, request: Request) -> Answer:
        """Answered once there is something else to do than the page knows, or after a while."""
        visitor, page, run = self._of(request)
        visitor.heard(page)
        known = (request.query.get("state", ""), run)
        bell = self._visitors.bell
        end = asyncio.get_running_loop().time() + LONG_POLL_S
        while True:
            told = visitor.work()
            left = end - asyncio.get_running_loop().time()
            if (told["state"], told["run"]) != known or left <= 0:
                return json_answer(told)
            await bell.wait(left)
            visitor.heard(page, counts=False)

    def _file(self, path: str) -> Answer:
        _, folder, name = path.split("/", 2)
        if folder == "files":
            found = self._served.find(name) if _HASH.fullmatch(name) else None
            if found is not None and found.is_file():
                return Answer(file=found, kind=kind_of(""))
        elif (runtime := self._runtime.find(name)) is not None and runtime[0].is_file():
            return Answer(file=runtime[0], kind=kind_of(name), packed=runtime[1])
        raise RefusedError(404, "there is no such file in this session")

    def _of(self, request: Request) -> tuple[Visitor, str, str]:
        """Whose request it is; every one names phone, page and run."""
        visitor = self._visitors.find(request.query.get("phone", ""))
        page, run = request.query.get("page", ""), request.query.get("run", "")
        if visitor is None or not page or not _RUN.fullmatch(run):
            raise RefusedError(404, "no such phone has joined this session: load the page again")
        return visitor, page, run


def _must_be_meant(request: Request, door: Door) -> None:
    """Refuse what was not sent by a page of ours to an address of ours: another name for this computer (DNS rebinding),
    and other sites' pages.

    Raises:
        RefusedError: it was not.
    """
    host = request.headers.get("host", "").lower()
    if host not in door.hosts:
        raise RefusedError(421, "this server has another name")
    site = request.headers.get("sec-fetch-site", "none")
    opened = request.path == "/" and request.headers.get("sec-fetch-mode", "") == "navigate"
    if site not in ("same-origin", "none") and not opened:
        raise RefusedError(403, "another site's page asks")
    origin = request.headers.get("origin")
    if request.method == "POST" and origin is None:
        raise RefusedError(403, "who asks is not told (Origin)")
    if origin is not None and origin.lower() != f"{door.scheme}://{host}":
        raise RefusedError(403, "another site's page asks")


def refusal(problem: RefusedError) -> Answer:
    """What a refused request is told."""
    return json_answer({"error": problem.line}, problem.status)
