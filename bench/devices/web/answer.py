"""What the server answers, and what stands above every answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

# Isolated (COOP, COEP, CORP), so that the page has threads and a fine clock; nothing of it goes elsewhere, and nothing
# of elsewhere comes into it. ONNX Runtime's workers begin from blobs, so that a page that lost its network measures on.
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; script-src 'self' blob: 'wasm-unsafe-eval'; "
    "worker-src 'self' blob:; connect-src 'self' blob:; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}
BINARY = "application/octet-stream"


@dataclass(frozen=True)
class Answer:
    """A status with a body, or with a file that is sent as it lies.

    Attributes:
        packed: the body or file is gzip.
    """

    status: int = 200
    body: bytes = b""
    file: Path | None = None
    kind: str = BINARY
    packed: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    def head(self, length: int, close: bool) -> bytes:
        """Status line and headers."""
        told = {**HEADERS, "Content-Type": self.kind, "Content-Length": str(length), **self.headers}
        if self.packed:
            told["Content-Encoding"] = "gzip"
        if close:
            told["Connection"] = "close"
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in told.items()), "", ""]).encode("ascii")


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """A JSON object."""
    return Answer(status, json.dumps(value).encode(), kind="application/json", headers=headers or {})


def kind_of(name: str) -> str:
    """Media type of a file."""
    return _KINDS.get(Path(name).suffix, BINARY)
