"""Who may read and send: whoever has the session's secret, which stands in the address behind the #, once; then whoever
has the token that it was exchanged for. Both end with the session."""

from __future__ import annotations

import hmac
import secrets
from collections import deque
from hashlib import sha256

# Base64 in 22 characters: 128 bits, and an address that a phone's camera still reads from afar.
_SECRET_BYTES, _TOKEN_BYTES = 16, 32
_MOST_TOKENS = 256
COOKIE = "pocketgan"


class Secret:
    """The session's secret and the tokens that were given for it.

    Wrong ones lock nobody out, or a stranger could keep the right phone away: of 2^128 none is guessed.
    """

    def __init__(self) -> None:
        self.text = secrets.token_urlsafe(_SECRET_BYTES)
        self._tokens: deque[bytes] = deque(maxlen=_MOST_TOKENS)

    def opens(self, told: str) -> bool:
        """Whether it is the secret; compared in a time that does not tell how much of it is right."""
        return hmac.compare_digest(told.encode(), self.text.encode())

    def new_token(self) -> str:
        """A token; only its hash is kept."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._tokens.append(_hash(token))
        return token

    def knows(self, token: str) -> bool:
        """Whether it is one of the tokens."""
        told, found = _hash(token), False
        for known in self._tokens:
            found |= hmac.compare_digest(told, known)
        return found


def cookie(token: str, port: int, *, secure: bool) -> str:
    """The header that hands a token to a browser: no script reads it, no other site's page sends it. Cookies do not
    know ports, so its name does."""
    return f"{COOKIE}-{port}={token}; Path=/; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}"


def token_in(header: str, port: int) -> str:
    """The token of a Cookie header, empty where it holds none."""
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == f"{COOKIE}-{port}":
            return value
    return ""


def _hash(token: str) -> bytes:
    return sha256(token.encode()).digest()
