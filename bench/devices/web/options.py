"""How a session of pages is held."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_PORT = 8765


@dataclass(frozen=True)
class WebOptions:
    """What `--device web` can be told.

    Attributes:
        phones: how many are measured. time_limit_s: when it ends in any case.
        address: of this computer, in the phones' network; found where None. port: the same one keeps what browsers
            remember of this page; another free one is taken where it is taken, and where it is 0.
        plain_http: without TLS, so without secrecy; browsers then give one thread and no WebGPU.
        ort_web: folder of onnxruntime-web.
    """

    phones: int = 1
    time_limit_s: float = 3600.0
    address: str | None = None
    port: int = DEFAULT_PORT
    plain_http: bool = False
    ort_web: Path | None = None
