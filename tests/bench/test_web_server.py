"""The server of `--device web`, against who means it ill: nothing falls over, nothing is read without the secret."""

from __future__ import annotations

import contextlib
import gzip
import hmac
import itertools
import json
import random
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from fake_page import FakePage, fake_runtime, measuring

from pocketgan.bench.devices.web.addresses import lan_address
from pocketgan.bench.devices.web.facts import About
from pocketgan.bench.devices.web.gathering import WebDevices
from pocketgan.bench.devices.web.options import WebOptions
from pocketgan.bench.devices.web.request import RefusedError
from pocketgan.bench.devices.web.secret import Secret
from pocketgan.bench.devices.web.visitor import Visitor
from pocketgan.bench.devices.web.visitors import Visitors

SEED = 20261126


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDevices]:
    """An open session that nobody is measured in, and that all tests attack."""
    folder = tmp_path_factory.mktemp("served")
    device = WebDevices(WebOptions(port=0, ort_web=fake_runtime(folder / "ort"), phones=64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        with device.open():
            yield device


def served_cache(device: WebDevices) -> Path:
    assert device.options.ort_web is not None
    return device.options.ort_web.parent / "cache"


NUMBERS = itertools.count(1)


@pytest.fixture
def page(served: WebDevices) -> FakePage:
    """A phone that was not there before."""
    return FakePage(served.urls[-1], next(NUMBERS))


def raw(page: FakePage, data: bytes, *, patience_s: float = 5.0) -> bytes:
    """What the server says to these bytes until it closes."""
    said = b""
    with socket.create_connection((page.host, page.port), timeout=patience_s) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            while piece := connection.recv(65536):
                said += piece
    return said


def soon(holds: Callable[[], bool]) -> bool:
    """Whether it comes true: the server takes a moment to see what a client has done."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if holds():
            return True
    return False


def status(said: bytes) -> int:
    return int(said.split(b" ", 2)[1]) if said else 0


def test_the_page_is_there_for_everybody_isolated_and_to_itself(page: FakePage) -> None:
    for path in ("/", "/main.js", "/worker.js", "/page.css"):
        answer = page.ask("GET", path)
        assert answer.status == 200
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cross-origin-embedder-policy"] == "require-corp"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["connect-src"] == "'self' blob:"


def test_the_page_without_runtime_and_models_is_small(page: FakePage) -> None:
    from pocketgan.bench.devices.web.page_files import page_answers

    assert sum(len(answer.body) for answer in page_answers().values()) < 60_000


def test_every_module_of_the_page_is_fetched_at_once(page: FakePage) -> None:
    imported, ahead = set(), ["main.js"]
    while ahead:
        text = gzip.decompress(page.ask("GET", f"/{ahead.pop()}").body).decode()
        new = set(re.findall(r"from '\./([a-z]+\.js)'", text)) - imported
        imported |= new
        ahead += new
    index = gzip.decompress(page.ask("GET", "/").body).decode()
    assert set(re.findall(r'rel="modulepreload" href="/([a-z]+\.js)"', index)) == imported


def test_nothing_else_is_readable_without_the_secret(page: FakePage) -> None:
    for path in ("/work", "/runtime/ort.wasm.min.mjs", f"/files/{'a' * 64}", "/nothing"):
        assert page.ask("GET", path).status == 401
    for path in ("/lines", "/beat"):
        assert page.ask("POST", path, b"{}").status == 401
    assert page.join(secret="wrong").status == 401
    assert page.join(secret="").status == 401
    said = page.ask("POST", "/join", b"{}", headers={"Authorization": f"Basic {page.secret}"})
    assert said.status == 401
    page.cookie = f"pocketgan-{page.port}=made-up"
    assert page.ask("GET", "/work").status == 401


def test_the_secret_is_exchanged_for_a_token(page: FakePage) -> None:
    answer = page.join()
    assert answer.status == 200
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert page.secret not in cookie
    assert page.ask("GET", "/runtime/ort.wasm.min.mjs").body == b"// ort.wasm.min.mjs"
    # A reload has the token alone.
    assert page.join(secret="").status == 200


def test_the_secret_of_an_other_session_opens_nothing(page: FakePage, tmp_path: Path) -> None:
    other = WebDevices(WebOptions(port=0, ort_web=fake_runtime(tmp_path / "ort")))
    with other.open():
        assert page.join(secret=FakePage(other.urls[-1]).secret).status == 401
        page.join()
        stranger = FakePage(other.urls[-1])
        stranger.cookie = page.cookie.replace(str(page.port), str(stranger.port))
        assert stranger.ask("GET", "/runtime/ort.wasm.min.mjs").status == 401
    # With the session its address ends.
    with pytest.raises(OSError, match="refused"):
        stranger.ask("GET", "/")


def test_who_guesses_locks_nobody_out(page: FakePage) -> None:
    for number in range(50):
        assert page.join(secret=f"{number:022}").status == 401
    assert page.join().status == 200


def test_who_does_not_say_where_a_page_is_from_sends_nothing(page: FakePage) -> None:
    page.join()
    query = f"phone={page.id}&page={page.page}&run="
    head = f"POST /beat?{query} HTTP/1.1\r\nHost: {page.host}:{page.port}\r\nCookie: {page.cookie}\r\n"
    rest = "Connection: close\r\nContent-Length: 0\r\n\r\n"
    assert status(raw(page, f"{head}{rest}".encode())) == 403
    assert status(raw(page, f"{head}Origin: http://{page.host}:{page.port}\r\n{rest}".encode())) == 200


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example:{port}"}, 421),
        ({"Host": "{host}"}, 421),
        ({"Host": "{host}:1"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        # Another program on this computer, and another scheme.
        ({"Origin": "http://{host}:1"}, 403),
        ({"Origin": "https://{host}:{port}"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_requests_of_other_sites_are_refused(page: FakePage, headers: Any, expected: int) -> None:
    page.join()
    told = {name: value.format(host=page.host, port=page.port) for name, value in headers.items()}
    assert page.ask("POST", "/beat", b"", page.of(run=""), told).status == expected
    usual = page.ask("POST", "/beat", b"", page.of(run=""))
    assert (usual.status, usual.json["state"]) == (200, "wait")


def test_an_other_site_may_lead_to_the_page_and_to_nothing_else(page: FakePage) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert page.ask("GET", "/", headers=link).status == 200
    assert page.ask("GET", "/main.js", headers=link).status == 403
    assert page.ask("GET", "/", headers={**link, "Sec-Fetch-Mode": "no-cors"}).status == 403


def test_no_answer_tells_how_much_of_a_secret_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    compared, compare = [], hmac.compare_digest

    def noted(told: bytes, known: bytes) -> bool:
        compared.append(known)
        return compare(told, known)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    secret = Secret()
    assert (secret.opens(secret.text), secret.opens(secret.text[:-1] + "?")) == (True, False)
    assert len(compared) == 2
    compared.clear()
    tokens = [secret.new_token() for _ in range(3)]
    # With all of them, whichever it is.
    assert (secret.knows(tokens[0]), secret.knows("made-up")) == (True, False)
    assert len(compared) == 6
    assert not any(token in str(vars(secret)) for token in tokens)


MALFORMED = [
    (b"", 0),
    (b"GET\r\n\r\n", 400),
    (b"GET / HTTP/1.0\r\n\r\n", 505),
    (b"GET / HTTP/2.0\r\n\r\n", 400),
    (b"BREW / HTTP/1.1\r\nHost: h\r\n\r\n", 405),
    (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", 400),
    (b"POST /join HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400),
    (b"POST /join HTTP/1.1\r\nHost: h\r\nContent-Length: 1e3\r\n\r\n", 400),
    (b"POST /join HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
    (b"POST /join HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", 417),
    (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 65 + b"\r\n", 431),
    (b"GET / HTTP/1.1\r\nX: " + b"y" * 9000 + b"\r\n\r\n", 431),
    (b"GET /?" + b"a" * 600 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
    (b"GET /?a=1&a=2 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
]


@pytest.mark.parametrize(("data", "expected"), MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_requests_are_refused(page: FakePage, data: bytes, expected: int) -> None:
    assert status(raw(page, data)) == expected
    assert page.ask("GET", "/").status == 200


PATHS = (
    "/../pyproject.toml", "/..%2f..%2fetc/passwd", "/files/../../etc/passwd", "/runtime/../ort.wasm.min.mjs",
    "/runtime/..%2f..%2f..%2fetc%2fpasswd", "//etc/passwd", "/files/" + "g" * 64, "/files/" + "a" * 64, "/types.d.ts",
    "/jsconfig.json", "/__init__.py", "/runtime/", "/files/", "/C:/boot.ini", "/%00", "/main.js/", "/runtime/LICENSE",
)  # fmt: skip


def test_no_path_leads_to_a_file_that_is_not_the_sessions(page: FakePage) -> None:
    page.join()
    for path in PATHS:
        answer = page.ask("GET", path)
        assert answer.status == 404, path
        assert answer.json == {"error": answer.json["error"]}


BROKEN_JOINS = (
    b"", b"{", b"[]", b"null", b'"page"', b"[" * 100_000, json.dumps({"page": "p"}).encode(), b"\xff\xfe",
    json.dumps({"page": "p", "about": {}, "run": "", "crashed": None}).encode(),
    b"{" + b'"x":[[],[]],' * 2000 + b"}",
)  # fmt: skip


def test_what_is_no_page_does_not_join(page: FakePage) -> None:
    headers = {"Authorization": f"Pocketgan {page.secret}"}
    for body in BROKEN_JOINS:
        assert page.ask("POST", "/join", body, headers=headers).status == 400, body[:40]
    for changes in ({"id": "../../x"}, {"cores": 0}, {"model": "x" * 300}, {"providers": ["cuda"]}, {"extra": 1}):
        about = {**page.about, **changes}
        assert page.join(about=about).status == 400, changes
    assert page.join(lines="half a line").status == 400
    assert page.join().status == 200


def hostile(rng: random.Random, page: FakePage) -> bytes:
    """A request that is no good: mutated, cut, mixed up, of somebody who has no right to it, or of a page that has."""
    path = rng.choice([*PATHS, "/", "/join", "/lines", "/work", "/beat", "/files/" + "b" * 64])
    method = rng.choice(["GET", "POST", "PUT", "get", "", "HEAD", "OPTIONS"])
    body = rng.choice([b"", b"{}", b"[" * 200, rng.randbytes(rng.randrange(300))])
    length = rng.choice([len(body), len(body) + 5, 10**11, -3, "x"])
    host = rng.choice([f"{page.host}:{page.port}", f"{page.host}:{page.port}", "evil.example", ""])
    cookie = rng.choice(["", f"Cookie: pocketgan-{page.port}={rng.random()}\r\n", f"Cookie: {page.cookie}\r\n"])
    cookie += rng.choice(["", f"Origin: http://{page.host}:{page.port}\r\n"])
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n{cookie}\r\n"
    data = bytearray(head.encode() + body)
    for _ in range(rng.choice([0, 0, 1, 3])):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data[: rng.choice([len(data), rng.randrange(len(data))])])


# Every way to say no; 500 is none.
REFUSED = {400, 401, 403, 404, 405, 413, 414, 417, 421, 431, 501, 505}


def attack(page: FakePage, count: int) -> list[bytes]:
    rng = random.Random(SEED)
    page.join()
    return [raw(page, hostile(rng, page)) for _ in range(count)]


def test_hundreds_of_hostile_requests_read_nothing(page: FakePage) -> None:
    answers = attack(page, 300)
    assert {status(said) for said in answers} <= REFUSED | {0, 200}
    bodies = [said.split(b"\r\n\r\n", 1)[1] for said in answers if status(said) == 200]
    index = page.ask("GET", "/").body
    assert all(body == index[: len(body)] for body in bodies)
    assert page.join().status == 200


@pytest.mark.heavy
def test_ten_thousand_hostile_requests_take_no_memory(page: FakePage) -> None:
    before = psutil.Process().memory_info().rss
    answers = attack(page, 10_000)
    grown = psutil.Process().memory_info().rss - before
    print(f"10,000 hostile requests: {grown / 1e6:.0f} MB more, {psutil.Process().num_fds()} files open")
    assert grown < 50e6
    assert page.join().status == 200
    assert {status(said) for said in answers} <= REFUSED | {0, 200}


def test_who_keeps_silent_holds_nobody_up(page: FakePage) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            silent = stack.enter_context(socket.create_connection((page.host, page.port)))
            silent.sendall(b"GET / HT")
        assert page.join().status == 200


def test_a_body_that_is_too_long_is_not_read(page: FakePage) -> None:
    head = (
        f"POST /join HTTP/1.1\r\nHost: {page.host}:{page.port}\r\nOrigin: http://{page.host}:{page.port}\r\n"
        f"Authorization: Pocketgan {page.secret}\r\nContent-Length: 100000000\r\n\r\n"
    )
    assert status(raw(page, head.encode() + b"x" * 1000)) == 413


def test_requests_in_great_number_are_slowed_down(page: FakePage, tmp_path: Path) -> None:
    now = 0.0
    about = About.model_validate(page.about)
    visitor = Visitor(about, tmp_path / "lines", lambda: None, clock=lambda: now)
    visitor.join("p1", about, "", b"", None)
    # A burst of 60, and then 20 a second.
    for _ in range(30):
        visitor.beat("p1", "", b"")
        visitor.heard("p1")
    for ask in (
        lambda: visitor.beat("p1", "", b""),
        lambda: visitor.lines("p1", "", 0, b""),
        lambda: visitor.heard("p1"),
    ):
        with pytest.raises(RefusedError, match="too many requests") as refused:
            ask()
        assert refused.value.status == 429
    now = 0.05
    visitor.beat("p1", "", b"")
    with pytest.raises(RefusedError):
        visitor.beat("p1", "", b"")


def test_a_session_knows_so_many_phones_and_no_more(tmp_path: Path) -> None:
    visitors = Visitors(tmp_path, lambda: 100)
    for number in range(64):
        about = About.model_validate(FakePage("http://h:1/#s", number).about)
        assert visitors.join("p1", about, "", b"", None)["state"] == "wait"
    late = About.model_validate(FakePage("http://h:1/#s", 64).about)
    with pytest.raises(RefusedError, match="too many phones"):
        visitors.join("p1", late, "", b"", None)
    # Who was there before may load again.
    assert visitors.join("p2", about, "", b"", None)["state"] == "wait"


def test_bodies_that_are_sent_at_once_are_taken_as_far_as_memory_goes(page: FakePage) -> None:
    head = (
        f"POST /join HTTP/1.1\r\nHost: {page.host}:{page.port}\r\nOrigin: http://{page.host}:{page.port}\r\n"
        f"Authorization: Pocketgan {page.secret}\r\nContent-Length: {8 << 20}\r\n\r\n"
    ).encode()
    with contextlib.ExitStack() as stack:
        # Eighty megabytes are announced, 32 are waited for.
        for _ in range(10):
            slow = stack.enter_context(socket.create_connection((page.host, page.port)))
            slow.sendall(head)
        assert soon(lambda: status(raw(page, head)) == 429)
    assert soon(lambda: page.join().status == 200)


def test_one_address_cannot_take_every_connection(page: FakePage) -> None:
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection((page.host, page.port))) for _ in range(64)]
        silent[-1].sendall(b"GET / HT")
        assert raw(page, b"GET / HTTP/1.1\r\n\r\n") == b""
    assert soon(lambda: status(raw(page, b"GET / HTTP/1.1\r\n\r\n")) == 421)


@pytest.mark.skipif(lan_address() is None, reason="this computer has no network")
def test_phones_are_served_over_tls_with_a_certificate_for_the_address(served: WebDevices) -> None:
    page = FakePage(served.urls[0])
    assert served.urls[0].startswith("https://")
    authority = ssl.create_default_context(cafile=str(next(served_cache(served).rglob("certificate.pem"))))
    # A silent client, which is no TLS at all, before it.
    with (
        socket.create_connection((page.host, page.port)),
        socket.create_connection((page.host, page.port), timeout=10) as plain,
        authority.wrap_socket(plain, server_hostname=page.host) as secure,
    ):
        secure.sendall(f"GET / HTTP/1.1\r\nHost: {page.host}:{page.port}\r\nConnection: close\r\n\r\n".encode())
        assert secure.recv(64).startswith(b"HTTP/1.1 200 OK")
    # Over loopback alone it is plain, and never under the network's name.
    assert FakePage(served.urls[-1]).ask("GET", "/", headers={"Host": f"{page.host}:{page.port}"}).status == 421


def test_files_of_the_session_are_served_by_their_hash_alone(make_bundle: Any, tmp_path: Path) -> None:
    bundle = make_bundle()
    with measuring([bundle], tmp_path / "r.jsonl", fake_runtime(tmp_path / "ort")) as session:
        page = FakePage(session.url)
        order = page.join().json
        while order["state"] != "measure":
            order = page.work(order["state"], order["run"])
        for file in order["files"].values():
            answer = page.ask("GET", f"/files/{file['sha256']}")
            assert (answer.status, len(answer.body)) == (200, file["bytes"])
        page.carry_out()
        session.wait()
