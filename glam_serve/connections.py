"""HTTP/1.1 connections as this server takes them: counted, timed, and refused in the one error shape."""

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from glam_serve.errors import BROKEN_RULE, FAULTS, error_body, in_our_words
from glam_serve.metrics import Metrics
from glam_serve.wire import Ending, Wire

MAX_CONNECTIONS = 512
"""Connections of one API process; the operating system queues what comes beyond, or it is told 503."""
HEAD_TIMEOUT_S = 10.0
"""Time a client has for the head of its request, from the connection or from the end of the answer before."""
MAX_PIPELINED = 16
"""Requests in a row that a client sends before it has the answer to the one before; then the connection closes."""
MAX_DRAINED = 128
"""Connections beyond MAX_CONNECTIONS that are heard out when they are refused; further ones are closed at once."""
PROBE_S = 0.1
"""Time between two looks whether a client that sends no more has gone."""
HTTP2_PREFACE = b"PRI * HTTP/2.0"
_FIRST_LINE = "its first line is not of the form POST /predict HTTP/1.1"
_HEADER = "a header line is malformed"
_LENGTH = "its length is told neither by one Content-Length nor by Transfer-Encoding: chunked"
_CHUNK = "a chunk of its body is malformed"
HTTP_FAULTS: Mapping[str, str] = {
    "no request line": _FIRST_LINE,
    "illegal request line": _FIRST_LINE,
    "Illegal method": _FIRST_LINE,
    "Illegal target": _FIRST_LINE,
    "Missing mandatory Host": "it has no Host header: send one",
    "Found multiple Host": "it has more than one Host header: send one",
    "illegal header line": _HEADER,
    "Illegal header": _HEADER,
    "continuation line": _HEADER,
    "Receive buffer too long": "its headers are longer than 64 KB: send less in them",
    "bad Content-Length": _LENGTH,
    "conflicting Content-Length": _LENGTH,
    "multiple Transfer-Encoding": _LENGTH,
    "Only Transfer-Encoding": _LENGTH,
    "illegal chunk": _CHUNK,
    "malformed chunk": _CHUNK,
}
"""How h11's errors begin, and what is told of them."""

NO_REQUEST = "(no request)"
"""The metrics' route of what is refused before it is a request."""


class Connection(H11Protocol):
    """One connection. Until the head of a request is complete it may not idle, and a bad one gets an error body."""

    note_refusal: Callable[[str], None] | None = None
    """Told the code of each refusal; `counting` sets it."""
    wire: Wire
    _head_timer: asyncio.TimerHandle | None = None
    _probe_timer: asyncio.TimerHandle | None = None
    _num_pipelined: int = 0
    _is_unread: bool = False
    """Nothing was read of what the client may have sent."""
    _has_sent_all: bool = False
    """The client has closed its direction."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take a connection, or refuse it when there are too many."""
        self.wire = Wire(transport, self.loop, ending=self._ending)
        super().connection_made(self.wire)
        if len(self.connections) > MAX_CONNECTIONS:
            self._is_unread = len(self.connections) <= MAX_CONNECTIONS + MAX_DRAINED
            self._refuse("too_many_connections")
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request."""
        if self.wire.is_draining:
            self.wire.drop(data)
            return
        if self._is_between_requests() and data.startswith(HTTP2_PREFACE):
            self._is_unread = True
            self._refuse("not_http", problem="HTTP/2 is not spoken here")
            return
        super().data_received(data)
        if self._is_between_requests() and not self.transport.is_closing():
            self._await_head()
        else:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request, unless the client sends no more, or too many at a time."""
        has_more = bool(self.conn.trailing_data[0])
        self._num_pipelined = self._num_pipelined + 1 if has_more else 0
        if self._num_pipelined >= MAX_PIPELINED or (self._has_sent_all and not has_more):
            self.transport.close()
        super().on_response_complete()
        if not self.transport.is_closing():
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        self.wire.stop()
        if self._probe_timer is not None:
            self._probe_timer.cancel()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return True where the connection stays open: a client may send a whole request and close its direction.

        One that has closed both directions looks the same until something is sent to it. So it is sent a 100, which
        every client of HTTP/1.1 passes over (RFC 9110 15.2); who has gone answers that with a reset.
        """
        if self.transport.is_closing() or self._is_between_requests() or self.cycle.more_body:
            return False
        if self.cycle.scope["http_version"] != "1.1":
            return False
        self._has_sent_all = True
        if not self.cycle.response_started:
            self.transport.write(self.conn.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        self._look_for_departure()
        return True

    def shutdown(self) -> None:
        """End the connection after the answer that is under way."""
        if not self.transport.is_closing():
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP; uvicorn calls this while it handles the error that says why."""
        self._refuse("not_http", problem=in_our_words(str(sys.exception()), HTTP_FAULTS, otherwise=_FIRST_LINE))

    def _ending(self) -> Ending:
        """Say how to close: an answer that broke off is dropped, a client that is still sending is heard out."""
        if self.conn.our_state is h11.SEND_BODY:
            return "abort"
        state = self.conn.their_state
        is_pipelining = state is h11.DONE and bool(self.conn.trailing_data[0])
        is_sending = state in (h11.SEND_BODY, h11.ERROR) or is_pipelining or self._is_unread
        return "drain" if is_sending and not self._has_sent_all else "close"

    def _look_for_departure(self) -> None:
        if self.wire.has_failed():
            self.wire.abort()
        else:
            self._probe_timer = self.loop.call_later(PROBE_S, self._look_for_departure)

    def _is_between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._head_is_late)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._is_between_requests() and not self.transport.is_closing():
            self._refuse("upload_stalled")

    def _refuse(self, code: str, *, problem: str = BROKEN_RULE) -> None:
        """Answer without a request, and close. A connection whose answer has begun is only closed."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            if self.note_refusal is not None:
                self.note_refusal(code)
            fault = FAULTS[code]
            body = json.dumps(error_body(code, fault.message(problem))).encode()
            headers: list[tuple[bytes, bytes]] = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
            ]
            if fault.retry_after_s is not None:
                headers.append((b"retry-after", str(fault.retry_after_s).encode()))
            events: list[Any] = [
                h11.Response(status_code=fault.status, headers=headers),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ]
            for event in events:
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def counting(metrics: Metrics) -> type[Connection]:
    """Return connections whose refusals are counted, under the route NO_REQUEST and by their code."""

    def note(code: str) -> None:
        metrics.requests.labels(NO_REQUEST, str(FAULTS[code].status)).inc()
        metrics.findings.labels(code).inc()

    return type("CountedConnection", (Connection,), {"note_refusal": staticmethod(note)})
