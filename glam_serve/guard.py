"""Around the app: who may ask, how much is taken at a time, how long anything may last, and what is written down."""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from python_multipart.multipart import parse_options_header
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from glam_serve.account import add_seconds, current_account, open_account
from glam_serve.errors import Refusal
from glam_serve.keys import ApiKeys
from glam_serve.limits import Limits
from glam_serve.log import where_raised
from glam_serve.records import AuditFailedError, Done, Records

log = logging.getLogger("glam_serve")

TAIL_BYTES = 1024
"""How much of a body's end may hold the closing boundary, which has up to 74 bytes, and what a client adds to it."""
MAX_DIGITS = 18
"""Digits of a declared length that are taken for a number."""
CLOSED = 499
"""What the log has for a caller who closed the connection before the answer; nobody gets it as an answer."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
OPEN_PATHS = frozenset({"/livez", "/readyz"})
"""Paths that answer without a key and whatever the load: probes of an orchestrator."""
CLOSE = {"connection": "close"}
"""The rest of the body is not read."""
UUID = re.compile(rb"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Load(Protocol):
    """What the processes of a server have taken together; this process's own part is added to."""

    def waiting(self) -> int:
        """Requests taken and not yet answered."""
        ...

    def spooled(self) -> int:
        """Bytes of uploads held."""
        ...

    def add(self, *, waiting: int = 0, spooled: int = 0) -> None:
        """Count what this process takes or lets go."""
        ...


@dataclass(kw_only=True)
class Exchange:
    """One request and how far its answer has come."""

    request_id: str
    route: str
    """The app's path that it asks for."""
    start: float = field(default_factory=time.perf_counter)
    received: int = 0
    """Bytes of the body so far."""
    reserved: int = 0
    """Bytes that it was declared to have."""
    uploaded: asyncio.Event = field(default_factory=asyncio.Event)
    status: int = 0
    """Of the answer; 0: none has begun."""


class Guard:
    """ASGI middleware that keeps a server answering whatever its callers do."""

    def __init__(
        self, app: ASGIApp, *, limits: Limits, keys: ApiKeys, load: Callable[[], Load], records: Records
    ) -> None:
        self.app = app
        self.limits = limits
        self.keys = keys
        self.load = load
        self.records = records

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it; write down what became of it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(request_id=request_id(scope), route=_route(scope))
        scope.setdefault("state", {})["request_id"] = exchange.request_id
        account = open_account()
        await self._answer_or_refuse(scope, receive, self._noted(send, exchange), exchange)
        done = Done(
            request_id=exchange.request_id,
            method=_method(scope),
            route=exchange.route,
            status=exchange.status or CLOSED,
            seconds=time.perf_counter() - exchange.start,
        )
        self.records.after_answer(done, account)

    def _noted(self, send: Send, exchange: Exchange) -> Send:
        """Return `send` that audits an answer before it begins, and gives it the headers of every answer."""

        async def send_noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                status, identity = message["status"], exchange.request_id
                await self.records.before_answer(request_id=identity, route=exchange.route, status=status)
                exchange.status = status
                headers = [*message.get("headers", ()), (b"x-request-id", identity.encode())]
                if timing := current_account().server_timing():
                    headers.append((b"server-timing", timing.encode()))
                message["headers"] = headers
            await send(message)

        return send_noted

    async def _answer_or_refuse(self, scope: Scope, receive: Receive, note: Send, exchange: Exchange) -> None:
        fields = {"request_id": exchange.request_id}
        try:
            if scope["path"] in OPEN_PATHS:
                await self.app(scope, receive, note)
            else:
                await self._admit(scope, receive, note, exchange)
        except Refusal as refusal:
            log.warning("%s %s", exchange.request_id, refusal.code, extra={"fields": fields | {"code": refusal.code}})
            if not exchange.status:
                await refusal.response()(scope, receive, note)
        except AuditFailedError as error:
            log.error("%s audit_failed: %s", exchange.request_id, error, extra={"fields": fields})
            await Refusal("audit_failed").response()(scope, receive, note)
        except Exception as error:
            log.error("%s %s", exchange.request_id, where_raised(error), extra={"fields": fields})
            if not exchange.status:
                await Refusal("internal_error").response()(scope, receive, note)

    async def _admit(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        """Pass a request on if it may ask and there is room for it."""
        headers = dict(scope["headers"])
        if not self.keys.accepts(headers):
            raise Refusal("no_key", {"www-authenticate": "Bearer", **CLOSE})
        declared = _content_length(headers)
        if declared > self.limits.max_upload_bytes:
            raise Refusal("body_too_large", CLOSE)
        load = self.load()
        if load.waiting() >= self.limits.max_waiting:
            raise Refusal("too_many_requests", {"retry-after": "1", **CLOSE})
        if load.spooled() + declared > self.limits.max_spool_bytes:
            raise Refusal("busy", {"retry-after": "5", **CLOSE})
        exchange.reserved = declared
        load.add(waiting=1, spooled=declared)
        try:
            await self._answer(scope, receive, send, exchange)
        finally:
            load.add(waiting=-1, spooled=-max(exchange.received, exchange.reserved))

    async def _answer(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        """Run the app until it answers, its deadline passes, or its client goes."""
        answering = asyncio.ensure_future(self.app(scope, self._body(scope, receive, exchange), send))
        leaving = asyncio.create_task(self._departure(receive, exchange))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                await answering
            elif not leaving.result():
                raise Refusal("timed_out")
        finally:
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)

    async def _departure(self, receive: Receive, exchange: Exchange) -> bool:
        """Return True when the client has gone; False when the answer is late."""
        await exchange.uploaded.wait()
        try:
            async with asyncio.timeout(self.limits.deadline_s):
                while (await receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return False
        return True

    def _body(self, scope: Scope, receive: Receive, exchange: Exchange) -> Receive:
        """Return `receive` of a body that may be neither too long, nor too slow, nor cut short."""
        end = _end_of_form(scope)
        must_end = asyncio.get_running_loop().time() + self.limits.upload_s
        tail = b""

        async def receive_counted() -> Message:
            nonlocal tail
            if exchange.uploaded.is_set():
                await asyncio.Event().wait()  # the client's departure is watched for elsewhere
            left_s = must_end - asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(min(self.limits.body_idle_s, left_s)):
                    message = await receive()
            except TimeoutError:
                raise Refusal("upload_stalled", CLOSE) from None
            if message["type"] == "http.disconnect":
                return message
            body = message.get("body", b"")
            beyond = max(exchange.received, exchange.reserved)
            exchange.received += len(body)
            self.load().add(spooled=max(exchange.received, exchange.reserved) - beyond)
            if exchange.received > self.limits.max_upload_bytes:
                raise Refusal("body_too_large", CLOSE)
            tail = (tail + body[-TAIL_BYTES:])[-TAIL_BYTES:]
            if not message.get("more_body", False):
                if end not in tail:
                    raise Refusal("malformed_request")  # the parser would take half a file for a whole one
                exchange.uploaded.set()
                add_seconds("upload", time.perf_counter() - exchange.start)
            return message

        return receive_counted


def request_id(scope: Scope) -> str:
    """Return the caller's X-Request-ID if it is a UUID, which tells nothing of a patient; otherwise a new one."""
    sent = dict(scope["headers"]).get(b"x-request-id", b"")
    return sent.decode().lower() if UUID.fullmatch(sent) else str(uuid.uuid4())


def _content_length(headers: dict[bytes, bytes]) -> int:
    """Return the declared length of a body, cut to so many digits; 0 where it is not declared."""
    declared = headers.get(b"content-length", b"")
    return int(declared[:MAX_DIGITS]) if declared.isdigit() else 0


def _end_of_form(scope: Scope) -> bytes:
    """Return what closes a multipart body; nothing for a body of another kind."""
    kind, options = parse_options_header(dict(scope["headers"]).get(b"content-type"))
    boundary = options.get(b"boundary")
    return b"--" + boundary + b"--" if kind == b"multipart/form-data" and boundary else b""


def _method(scope: Scope) -> str:
    """Return the method if HTTP has it: any other word is the caller's, and may be a name."""
    return scope["method"] if scope["method"] in METHODS else "(other)"


def _route(scope: Scope) -> str:
    """Return the app's path that the request's matches: what else a caller typed may hold anything."""
    matching = (route for route in scope["app"].routes if route.matches(scope)[0] is not Match.NONE)
    return getattr(next(matching, None), "path", "(no route)")
