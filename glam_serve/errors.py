"""One shape for every error, FastAPI's and LitServe's own included, and a log without traces or values of a patient."""

import logging
import sys
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from python_multipart.multipart import parse_options_header
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from glam.intake import InputError, input_error

log = logging.getLogger("glam_serve")

# What the frameworks raise by status alone: code and sentence.
BY_STATUS: Mapping[int, tuple[str, str]] = {
    400: ("malformed_request", "the body could not be read as multipart/form-data"),
    404: ("not_found", "there is nothing here: GET /openapi.json lists what there is"),
    405: ("method_not_allowed", "this path takes another method: GET /openapi.json lists them"),
    413: ("body_too_large", "the request is larger than this server takes"),
    415: ("not_multipart", "send multipart/form-data, as in: curl -F cc=@CC.dcm -F mlo=@MLO.dcm"),
    500: ("internal_error", "the server failed on this request; its log says where"),
    503: ("not_ready", "the model is still loading"),
    504: ("timed_out", "the request waited too long for the model"),
}
TAIL_BYTES = 1024
"""How much of a body's end may hold the closing boundary, which has up to 74 bytes, and what a client adds to it."""
FILES = ("cc", "mlo", "images")


def error_response(
    status: int, code: str, message: str, *, where: str = "", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return the one shape of an error."""
    return JSONResponse({"code": code, "message": message, "where": where}, status, headers)


def status_response(status: int, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the error that a bare HTTP status stands for."""
    fault = ("refused", "the request was refused") if status < 500 else BY_STATUS[500]
    code, message = BY_STATUS.get(status, fault)
    return error_response(status, code, message, headers=headers)


def install_error_handlers(app: FastAPI) -> None:
    """Make every error of the app take the one shape."""
    app.add_exception_handler(InputError, _on_input_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(StarletteHTTPException, _on_http_error)


async def _on_input_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InputError)
    return error_response(error.status, error.code, error.message, where=error.where)


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    """Name the field; what was sent in it is not repeated."""
    assert isinstance(error, RequestValidationError)
    field = next((str(part) for part in error.errors()[0]["loc"][1:]), "")
    message = f"{field} must be a file: curl -F {field}=@FILE" if field in FILES else f"{field} cannot be read"
    return await _on_input_error(request, input_error("bad_field", field, what=message))


async def _on_http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException)
    return status_response(error.status_code, error.headers)


class Guard:
    """A limit on the body, one log line a request, and a 500 without a trace for what nobody caught."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        status = 0

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._answer(scope, receive, note)
        except Exception as error:
            log.error("%s", where_raised(error))
            if not status:
                await status_response(500)(scope, receive, note)
        log.info("%s %s %d %.3f s", scope["method"], _route(scope), status, time.perf_counter() - start)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, unless its body is, or grows, too long."""
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self.max_bytes:
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


def _route(scope: Scope) -> str:
    """Return the path if the app has it: what else a caller typed may hold anything."""
    path = scope["path"]
    return path if any(path == getattr(route, "path", None) for route in scope["app"].routes) else "(no route)"


def where_raised(error: BaseException) -> str:
    """Type of an exception and the line that raised it; not its message, which may hold anything."""
    return _where(type(error), error.__traceback__)


def _where(kind: type[BaseException] | None, trace: TracebackType | None) -> str:
    frames: Sequence[traceback.FrameSummary] = traceback.extract_tb(trace)
    name = kind.__name__ if kind else "error"
    return f"{name} at {frames[-1].filename}:{frames[-1].lineno}" if frames else name


class PlainFormatter(logging.Formatter):
    """Lines without stack traces."""

    def formatException(self, ei: Any) -> str:
        """Return type and place only."""
        return _where(ei[0], ei[2])


def log_to_stderr(level: int = logging.INFO) -> None:
    """Point this server's log and LitServe's to stderr, and silence every library: they may quote what they read."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter("%(asctime)s %(levelname)s %(message)s"))
    for name, limit in (("glam_serve", level), ("litserve", max(level, logging.WARNING))):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(limit)
        logger.propagate = False
    logging.getLogger().handlers = [logging.NullHandler()]
    warnings.simplefilter("ignore")
