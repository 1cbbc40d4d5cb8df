"""HTTP/1.1 connections as this server takes them: counted, timed, and refused in the one error shape."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from glam_serve.errors import FAULTS, error_body
from glam_serve.metrics import Metrics

MAX_CONNECTIONS = 512
"""Connections of one API process; the operating system queues what comes beyond, or it is told 503."""
HEAD_TIMEOUT_S = 10.0
"""Time a client has for the head of its request, from the connection or from the end of the answer before."""


NO_REQUEST = "(no request)"
"""The metrics' route of what is refused before it is a request."""


class Connection(H11Protocol):
    """One connection. Until the head of a request is complete it may not idle, and a bad one gets an error body."""

    note_refusal: Callable[[str], None] | None = None
    """Told the code of each refusal; `counting` sets it."""
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take a connection, or refuse it when there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self._refuse("too_many_connections")
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request."""
        super().data_received(data)
        if self._is_between_requests() and not self.transport.is_closing():
            self._await_head()
        else:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        if not self.transport.is_closing():
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        self._refuse("not_http")

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

    def _refuse(self, code: str) -> None:
        """Answer without a request, and close. A connection whose answer has begun is only closed."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            if self.note_refusal is not None:
                self.note_refusal(code)
            fault = FAULTS[code]
            body = json.dumps(error_body(code, fault.sentence)).encode()
            headers: list[tuple[bytes, bytes]] = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
            ]
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
