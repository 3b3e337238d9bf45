"""One request of HTTP/1.1, read strictly: what a browser sends is taken, all else is refused before it costs much."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

LONGEST_HEAD = 8192
_MOST_HEADERS = 64
_LONGEST_QUERY = 512
_LINE = re.compile(r"([A-Z]{1,16}) (/[!-~]{0,2047}) HTTP/1\.([0-9])")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}):[ \t]*([ -~]*?)[ \t]*")
# Of these, two would mean two things to two readers.
_ONCE = ("host", "content-length", "cookie", "origin", "authorization", "sec-fetch-site", "sec-fetch-mode")
_LENGTH = re.compile(r"[0-9]{1,12}")


class RefusedError(Exception):
    """A request that is not carried out: an HTTP status, and a line for whoever looks."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status, self.line = status, line


@dataclass(frozen=True)
class Request:
    """The head of a request.

    Attributes:
        path: without the query. query: each name once. headers: by lower-case name. length: bytes of the body.
        peer: address that it came from.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    length: int
    peer: str


async def read_request(reader: asyncio.StreamReader, peer: str) -> Request | None:
    """The next request's head; None where the connection ended before one began.

    Args:
        reader: its limit is LONGEST_HEAD.
    Raises:
        RefusedError: it is none that this server takes.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as cut:
        if cut.partial:
            raise RefusedError(400, "a request without an end") from None
        return None
    except asyncio.LimitOverrunError:
        raise RefusedError(431, "the head of the request is too long") from None
    try:
        first, *lines = head[:-4].decode("ascii").split("\r\n")
    except UnicodeDecodeError:
        raise RefusedError(400, "the head of the request is not ASCII") from None
    method, target = _first_line(first)
    headers = _headers(lines)
    if "transfer-encoding" in headers:
        raise RefusedError(501, "send a Content-Length")
    if "expect" in headers:
        raise RefusedError(417, "send the body at once")
    length = headers.get("content-length", "0")
    if not _LENGTH.fullmatch(length):
        raise RefusedError(400, "Content-Length is no number")
    split = urlsplit(target)
    return Request(method, split.path, _query(split.query), headers, int(length), peer)


def _first_line(line: str) -> tuple[str, str]:
    found = _LINE.fullmatch(line)
    if found is None:
        raise RefusedError(400, "the request line is none")
    if found[3] != "1":
        raise RefusedError(505, "this is HTTP/1.1")
    if found[1] not in ("GET", "POST"):
        raise RefusedError(405, "GET and POST alone are answered")
    return found[1], found[2]


def _headers(lines: list[str]) -> dict[str, str]:
    if len(lines) > _MOST_HEADERS:
        raise RefusedError(431, "too many headers")
    headers: dict[str, str] = {}
    for line in lines:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise RefusedError(400, "a header is none")
        name = found[1].lower()
        if name in headers and name in _ONCE:
            raise RefusedError(400, f"two headers {name}")
        headers[name] = found[2]
    return headers


def _query(text: str) -> dict[str, str]:
    if len(text) > _LONGEST_QUERY:
        raise RefusedError(414, "the query is too long")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=8)
    except ValueError:
        raise RefusedError(400, "the query is none") from None
    query = dict(pairs)
    if len(query) < len(pairs):
        raise RefusedError(400, "the query names something twice")
    return query
