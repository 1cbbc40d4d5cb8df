"""Middleware around the app: the limit on a body, the line in the log, and the 500 for what nobody caught."""

import logging
import time

from fastapi import HTTPException
from python_multipart.multipart import parse_options_header
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from glam_serve.errors import status_response
from glam_serve.log import where_raised

log = logging.getLogger("glam_serve")

TAIL_BYTES = 1024
"""How much of a body's end may hold the closing boundary, which has up to 74 bytes, and what a client adds to it."""
MAX_DIGITS = 18
"""Digits of a declared length that are taken for a number."""
CLOSED = 499
"""What the log has for a caller who closed the connection before the request was whole; nobody gets it as an answer."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


class Guard:
    """ASGI middleware: refuses long and cut bodies, logs one line a request, answers 500 without a trace."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        status, is_closed = 0, False

        async def hear() -> Message:
            nonlocal is_closed
            message = await receive()
            is_closed = is_closed or (message["type"] == "http.disconnect" and not status)
            return message

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._answer(scope, hear, note)
        except Exception as error:
            log.error("%s", where_raised(error))
            if not status:
                await status_response(500)(scope, receive, note)
        told = CLOSED if is_closed else status
        log.info("%s %s %d %.3f s", _method(scope), _route(scope), told, time.perf_counter() - start)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, unless its body is, or grows, too long."""
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and (len(declared) > MAX_DIGITS or int(declared) > self.max_bytes):
            await status_response(413, {"connection": "close"})(scope, receive, send)
            return
        end = _end_of_form(scope)
        received, tail = 0, b""

        async def count() -> Message:
            """Hand on a message, and refuse a body that grows too long or ends before its form does."""
            nonlocal received, tail
            message = await receive()
            body = message.get("body", b"")
            received += len(body)
            if received > self.max_bytes:
                raise HTTPException(413)
            tail = (tail + body[-TAIL_BYTES:])[-TAIL_BYTES:]
            if message["type"] == "http.request" and not message.get("more_body", False) and end not in tail:
                raise HTTPException(400)  # the parser would take half a file for a whole one
            return message

        await self.app(scope, count, send)


def _end_of_form(scope: Scope) -> bytes:
    """Return what closes a multipart body; nothing for a body of another kind."""
    kind, options = parse_options_header(dict(scope["headers"]).get(b"content-type"))
    boundary = options.get(b"boundary")
    return b"--" + boundary + b"--" if kind == b"multipart/form-data" and boundary else b""


def _method(scope: Scope) -> str:
    """Return the method if HTTP has it: any other word is the caller's, and may be a name."""
    return scope["method"] if scope["method"] in METHODS else "(other)"


def _route(scope: Scope) -> str:
    """Return the path if the app has it: what else a caller typed may hold anything."""
    path = scope["path"]
    return path if any(path == getattr(route, "path", None) for route in scope["app"].routes) else "(no route)"
