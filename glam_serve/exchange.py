"""One request and how far it has come; its body, which may be neither too long, nor too slow, nor cut short."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from starlette.types import Message, Receive, Scope

from glam_serve.account import add_seconds
from glam_serve.edges import FormEdges
from glam_serve.errors import Refusal
from glam_serve.limits import Limits

MAX_DIGITS = 18
"""Digits of a declared length that are taken for a number."""
CLOSE = {"connection": "close"}
"""The rest of the body is not read."""


class Load(Protocol):
    """What the processes of a server have taken together; this process's own part is added to."""

    def waiting(self) -> int:
        """Requests taken and not yet answered."""
        ...

    def spooled(self) -> int:
        """Bytes of uploads held."""
        ...

    def waiting_of(self, caller: int) -> int:
        """Requests of a caller taken and not yet answered."""
        ...

    def spooled_of(self, caller: int) -> int:
        """Bytes of uploads of a caller held."""
        ...

    def add(self, caller: int, *, waiting: int = 0, spooled: int = 0) -> None:
        """Count what this process takes from a caller or lets go."""
        ...


@dataclass(kw_only=True)
class Exchange:
    """One request and how far its answer has come."""

    request_id: str
    route: str
    """The app's path that it asks for."""
    caller: int
    """Number of whoever sent it."""
    start: float = field(default_factory=time.perf_counter)
    received: int = 0
    """Bytes of the body so far."""
    reserved: int = 0
    """Bytes that it was declared to have."""
    uploaded: asyncio.Event = field(default_factory=asyncio.Event)
    """The whole body is here."""
    status: int = 0
    """Of the answer; 0: none has begun."""
    is_answered: bool = False
    """The whole answer was handed to the connection before the client left."""
    has_left: bool = False
    """The client closed the connection before that."""

    @property
    def held(self) -> int:
        """Bytes of the body that count as spooled."""
        return max(self.received, self.reserved)


class CountedBody:
    """The `receive` that an app gets: the body as it comes; a Refusal where a limit is broken."""

    def __init__(
        self, scope: Scope, receive: Receive, exchange: Exchange, *, limits: Limits, load: Callable[[], Load]
    ) -> None:
        self._receive = receive
        self._exchange = exchange
        self._limits = limits
        self._load = load
        self._edges = FormEdges(scope)
        self._must_end = asyncio.get_running_loop().time() + limits.upload_s
        self._is_read = False
        if not has_body(dict(scope["headers"])):  # an app that reads none would never be seen to have it all
            exchange.uploaded.set()

    async def __call__(self) -> Message:
        """Return the next part; behind the last one, wait for ever: the client's departure is watched for elsewhere."""
        if self._is_read:
            await asyncio.Event().wait()
        message = await self._next()
        if message["type"] == "http.disconnect":
            return message
        body = message.get("body", b"")
        self._count(body)
        message = {**message, "body": self._edges.inner(body)}
        if not message.get("more_body", False):
            self._is_read = True
            if not self._edges.is_whole:
                problem = self._edges.missing if self._exchange.received else "it is empty: send an image in it"
                raise Refusal("malformed_request", problem=problem)  # a parser would take half a file for a whole one
            self._exchange.uploaded.set()
            add_seconds("upload", time.perf_counter() - self._exchange.start)
        return message

    async def _next(self) -> Message:
        if self._exchange.uploaded.is_set():
            return {"type": "http.request", "body": b"", "more_body": False}
        left_s = self._must_end - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(min(self._limits.body_idle_s, left_s)):
                return await self._receive()
        except TimeoutError:
            raise Refusal("upload_stalled", CLOSE) from None

    def _count(self, body: bytes) -> None:
        """Count a part; a body of a length that was not declared may come to be more than there is room for."""
        load, before = self._load(), self._exchange.held
        self._exchange.received += len(body)
        growth = self._exchange.held - before
        load.add(self._exchange.caller, spooled=growth)
        if self._exchange.received > self._limits.max_upload_bytes:
            raise Refusal("body_too_large", CLOSE)
        if growth:
            check_spool(load, self._limits, self._exchange.caller)


def check_places(load: Load, limits: Limits, caller: int) -> None:
    """Refuse a request of a caller where as many are under way as may be, of all callers or of this one."""
    if load.waiting() >= limits.max_waiting:
        raise Refusal("too_many_requests", CLOSE)
    if load.waiting_of(caller) >= limits.max_waiting_of_caller:
        raise Refusal("too_many_of_caller", CLOSE)


def check_spool(load: Load, limits: Limits, caller: int, *, more: int = 0) -> None:
    """Refuse an upload of a caller where, with so many bytes more, more are held than may be."""
    if load.spooled() + more > limits.max_spool_bytes:
        raise Refusal("busy", CLOSE)
    if load.spooled_of(caller) + more > limits.max_spool_bytes_of_caller:
        raise Refusal("too_many_of_caller", CLOSE)


def declared_bytes(headers: dict[bytes, bytes]) -> int:
    """Return the declared length of a body, cut to so many digits; 0 where it is not declared."""
    declared = headers.get(b"content-length", b"")
    return int(declared[:MAX_DIGITS]) if declared.isdigit() else 0


def has_body(headers: dict[bytes, bytes]) -> bool:
    """Say whether a request has a body, by its framing (RFC 9112, 6.3)."""
    return declared_bytes(headers) > 0 or b"transfer-encoding" in headers
