"""Around the app: who may ask, how much is taken at a time, how long anything may last, and what is written down."""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Callable

from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from glam_serve.account import current_account, open_account
from glam_serve.callers import caller_of
from glam_serve.errors import Refusal
from glam_serve.exchange import CLOSE, CountedBody, Exchange, Load, check_places, check_spool, declared_bytes
from glam_serve.keys import ApiKeys
from glam_serve.limits import Limits
from glam_serve.log import where_raised
from glam_serve.records import AuditFailedError, Done, Records

log = logging.getLogger("glam_serve")

CLOSED = 499
"""What the log has for a caller who closed the connection before the answer; nobody gets it as an answer."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
OPEN_PATHS = frozenset({"/livez", "/readyz"})
"""Paths that answer without a key and whatever the load: probes of an orchestrator."""
SCHEMA_PATHS = frozenset({"/openapi.json", "/docs"})
"""Paths that answer without a key: they say how to ask, and hold nothing of a key, a request or a patient."""
READING = frozenset({"GET", "DELETE"})
"""Methods of requests that run no model and hold no upload: answered however many wait for the model."""
UUID = re.compile(rb"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


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
        method = _method(scope)
        if method == "HEAD":  # what GET answers, without its body, which the HTTP layer leaves out
            scope = dict(scope) | {"method": "GET"}
        account = open_account()
        account.caller = caller_of(scope, self.keys)
        exchange = Exchange(request_id=request_id(scope), route=_route(scope), caller=account.caller)
        scope.setdefault("state", {})["request_id"] = exchange.request_id
        await self._answer_or_refuse(scope, receive, self._noted(send, exchange), exchange)
        done = Done(
            request_id=exchange.request_id,
            method=method,
            route=exchange.route,
            status=exchange.status if exchange.is_answered else CLOSED,
            seconds=time.perf_counter() - exchange.start,
        )
        self.records.after_answer(done, account)

    def _noted(self, send: Send, exchange: Exchange) -> Send:
        """Return `send` that audits an answer before it begins, and gives it the headers of every answer."""

        async def send_noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                status, identity = message["status"], exchange.request_id
                await self.records.before_answer(request_id=identity, route=exchange.route, status=status)
                headers = [*message.get("headers", ()), (b"x-request-id", identity.encode())]
                if timing := current_account().server_timing():
                    headers.append((b"server-timing", timing.encode()))
                message["headers"] = headers
            await send(message)  # waits for a client that takes its answer slowly
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
            elif not message.get("more_body", False):
                exchange.is_answered = not exchange.has_left

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
        except ClientDisconnect:
            log.info("%s the caller left before the request was whole", exchange.request_id, extra={"fields": fields})
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
        if scope["path"] not in SCHEMA_PATHS and not self.keys.accepts(headers):
            raise Refusal("no_key", {"www-authenticate": "Bearer", **CLOSE})
        declared = declared_bytes(headers)
        if declared > self.limits.max_upload_bytes:
            raise Refusal("body_too_large", CLOSE)
        if scope["method"] in READING:
            exchange.uploaded.set()  # no body is taken
            await self._answer(scope, receive, send, exchange)
            return
        load = self.load()
        check_places(load, self.limits, exchange.caller)
        check_spool(load, self.limits, exchange.caller, more=declared)
        exchange.reserved = declared
        load.add(exchange.caller, waiting=1, spooled=declared)
        try:
            await self._answer(scope, receive, send, exchange)
        finally:
            load.add(exchange.caller, waiting=-1, spooled=-exchange.held)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        """Run the app until it answers, its deadline passes, or its client goes."""
        body = CountedBody(scope, receive, exchange, limits=self.limits, load=self.load)
        answering = asyncio.ensure_future(self.app(scope, body, send))
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
        exchange.has_left = not exchange.is_answered
        return True


def request_id(scope: Scope) -> str:
    """Return the caller's X-Request-ID if it is a UUID, which tells nothing of a patient; otherwise a new one."""
    sent = dict(scope["headers"]).get(b"x-request-id", b"")
    return sent.decode().lower() if UUID.fullmatch(sent) else str(uuid.uuid4())


def _method(scope: Scope) -> str:
    """Return the method if HTTP has it: any other word is the caller's, and may be a name."""
    return scope["method"] if scope["method"] in METHODS else "(other)"


def _route(scope: Scope) -> str:
    """Return the app's path that the request's matches: what else a caller typed may hold anything."""
    matching = (route for route in scope["app"].routes if route.matches(scope)[0] is not Match.NONE)
    return getattr(next(matching, None), "path", "(no route)")
