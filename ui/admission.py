"""Who may see the page: whom a proxy names, or who gives a user's name and password; asked before anything else."""

import asyncio
import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

DELAY_S = 0.5
"""A wrong password is answered after so long: guesses are slow."""
MIN_PASSWORD_CHARS = 12


class Admission(Protocol):
    """Says who a request comes from."""

    @property
    def challenge(self) -> str | None:
        """What a browser is told to ask its user for."""
        ...

    def user(self, headers: dict[bytes, bytes]) -> str | None:
        """Return the user by a request's headers, names in lower case; None: not let in."""
        ...


@dataclass(frozen=True)
class ByProxy:
    """Whoever a proxy names in a header; the proxy must remove that header from what comes from outside."""

    header: str
    challenge: str | None = None

    def user(self, headers: dict[bytes, bytes]) -> str | None:
        """Return the user that the proxy names."""
        return headers.get(self.header.lower().encode(), b"").decode("latin-1") or None


@dataclass(frozen=True)
class ByPassword:
    """Users and passwords, kept as hashes, by HTTP's basic scheme (RFC 7617): put TLS before it on a network."""

    digests: dict[str, bytes] = field(repr=False)
    challenge: str | None = 'Basic realm="GLAM viewer", charset="UTF-8"'

    @classmethod
    def from_file(cls, path: Path) -> "ByPassword":
        """Read a file of lines NAME:PASSWORD that its owner alone can read; ValueError for any other."""
        if path.stat().st_mode & 0o077:
            raise ValueError(f"{path} can be read by others: chmod 600 {path}")
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        digests: dict[str, bytes] = {}
        for number, line in enumerate(lines, start=1):
            name, colon, password = line.partition(":")
            if not (name and colon) or len(password) < MIN_PASSWORD_CHARS:
                raise ValueError(
                    f"line {number} of {path} is not NAME:PASSWORD, of {MIN_PASSWORD_CHARS} or more letters"
                )
            digests[name] = _digest(password)
        if not digests:
            raise ValueError(f"{path} names nobody: write lines of NAME:PASSWORD")
        return cls(digests)

    def user(self, headers: dict[bytes, bytes]) -> str | None:
        """Return the user whose password is right; compared in constant time, with a name that is unknown too."""
        scheme, _, encoded = headers.get(b"authorization", b"").partition(b" ")
        try:
            name, _, password = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        known = self.digests.get(name, b"")
        is_right = hmac.compare_digest(_digest(password), known or _digest(""))
        return name if scheme.lower() == b"basic" and known and is_right else None


class Door:
    """Answers 401 to every request, of whatever path, that an admission does not let in."""

    def __init__(self, app: ASGIApp, admission: Admission) -> None:
        self.app, self.admission = app, admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        headers = dict(scope.get("headers", ()))
        if scope["type"] not in ("http", "websocket") or self.admission.user(headers):
            await self.app(scope, receive, send)
            return
        if b"authorization" in headers:
            await asyncio.sleep(DELAY_S)
        challenge = self.admission.challenge
        await Response(status_code=401, headers={"www-authenticate": challenge} if challenge else None)(
            scope, receive, send
        )


def _digest(password: str) -> bytes:
    return hashlib.sha256(password.encode()).digest()
