"""Clients that do not read, do not stop sending, or send no more, at a real uvicorn in a thread."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator

import anyio
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from glam_serve import connections, wire
from glam_serve.connections import MAX_PIPELINED, counting
from glam_serve.metrics import make_metrics
from tests.samples.serving import wait_until

pytestmark = pytest.mark.alone

LARGE = b"x" * (8 << 20)
STALL_S = 0.4
SLOW_S = 0.5
DEPARTED: list[str] = []


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """/large: more than a socket holds; /refuse: 401 unread; /slow: an answer that takes SLOW_S."""
    if scope["path"] == "/large":
        await PlainTextResponse(LARGE)(scope, receive, send)
    elif scope["path"] == "/refuse":
        await PlainTextResponse("no", 401, {"connection": "close"})(scope, receive, send)
    elif scope["path"] == "/slow":
        await Request(scope, receive).body()
        with anyio.move_on_after(SLOW_S):
            if (await receive())["type"] == "http.disconnect":
                DEPARTED.append("/slow")
        await PlainTextResponse("late")(scope, receive, send)
    else:
        await PlainTextResponse("answer")(scope, receive, send)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[uvicorn.Server]:
    monkeypatch.setattr(wire, "STALL_S", STALL_S)
    DEPARTED.clear()
    listener = socket.create_server(("127.0.0.1", 0))
    protocol = counting(make_metrics())
    config = uvicorn.Config(app, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    server.config.port = listener.getsockname()[1]
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield server
    server.should_exit = True
    thread.join()
    listener.close()


def connect(server: uvicorn.Server, *, buffer: int | None = None) -> socket.socket:
    """A connection whose receive buffer may be small."""
    connection = socket.socket()
    if buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", server.config.port))
    return connection


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def post(path: str, length: int) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


def rest_of(connection: socket.socket, *, most: int = 65536, pause_s: float = 0) -> bytes:
    """All that comes until the server ends its direction."""
    parts = []
    while part := connection.recv(most):
        parts.append(part)
        time.sleep(pause_s)
    return b"".join(parts)


def send_until_closed(connection: socket.socket, *, part: bytes, pause_s: float) -> float:
    """Seconds until the server takes no more."""
    start = time.monotonic()
    try:
        while time.monotonic() - start < 20:
            connection.sendall(part)
            time.sleep(pause_s)
    except OSError:
        pass
    return time.monotonic() - start


@pytest.mark.parametrize("sent", [get("/large"), get("/large") * 3, get("/") * 20_000])
def test_a_client_that_takes_no_answer_loses_its_connection(server: uvicorn.Server, sent: bytes):
    with connect(server, buffer=2048) as connection:
        connection.setblocking(False)
        connection.send(sent)
        wait_until(lambda: len(server.server_state.connections) == 1, "connected", 5)
        wait_until(lambda: not server.server_state.connections, "dropped", wire.DRAIN_IDLE_S + 10 * STALL_S)
    with connect(server) as other:
        other.sendall(get("/").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert rest_of(other).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_reads_slowly_and_steadily_gets_its_whole_answer(server: uvicorn.Server):
    with connect(server, buffer=65536) as connection:
        connection.sendall(get("/large").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        start = time.monotonic()
        assert rest_of(connection, pause_s=0.01).endswith(b"\r\n\r\n" + LARGE)
        assert time.monotonic() - start > 2 * STALL_S


def test_a_connection_answers_so_many_pipelined_requests_and_closes(server: uvicorn.Server):
    with connect(server) as connection:
        connection.sendall(get("/") * 40)
        assert rest_of(connection).count(b"HTTP/1.1 200 ") == MAX_PIPELINED
    with connect(server) as connection:
        for _ in range(3):  # each waits for the answers before it: they are no row
            connection.sendall(get("/") * (MAX_PIPELINED - 1))
            answers = b""
            while answers.count(b"answer") < MAX_PIPELINED - 1:
                answers += connection.recv(65536)


def test_a_refusal_reaches_a_client_that_is_still_sending(server: uvicorn.Server):
    connection = http.client.HTTPConnection("127.0.0.1", server.config.port, timeout=20)
    connection.request("POST", "/refuse", bytes(64 << 20))
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (401, b"no")
    connection.close()


@pytest.mark.parametrize(
    ("bound", "value", "part", "pause_s"),
    [
        ("DRAIN_BYTES", 1 << 20, bytes(65536), 0),
        ("DRAIN_S", 0.5, b"0", 0.05),
        ("DRAIN_IDLE_S", 0.3, b"0", 1),
    ],
)
def test_nobody_is_heard_out_for_ever(
    server: uvicorn.Server, monkeypatch: pytest.MonkeyPatch, bound: str, value: float, part: bytes, pause_s: float
):
    monkeypatch.setattr(wire, bound, value)
    with connect(server) as connection:
        connection.sendall(post("/refuse", 1 << 40))
        assert send_until_closed(connection, part=part, pause_s=pause_s) < 5
        wait_until(lambda: not server.server_state.connections, "closed", 1)


def test_a_connection_too_many_hears_so_although_it_sends_much(server: uvicorn.Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 0)
    connection = http.client.HTTPConnection("127.0.0.1", server.config.port, timeout=20)
    connection.request("POST", "/refuse", bytes(16 << 20))
    answer = connection.getresponse()
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    connection.close()


@pytest.mark.parametrize("sent", [get("/slow"), post("/slow", 4) + b"body"])
def test_a_client_that_sends_no_more_gets_its_answer(server: uvicorn.Server, sent: bytes):
    with connect(server) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = rest_of(connection)
        assert answer.startswith(b"HTTP/1.1 100 \r\n")
        assert b"HTTP/1.1 200 OK" in answer
        assert answer.endswith(b"late")
    assert DEPARTED == []


def test_all_requests_of_a_client_that_sends_no_more_are_answered(server: uvicorn.Server):
    with connect(server) as connection:
        connection.sendall(get("/slow") + get("/"))
        connection.shutdown(socket.SHUT_WR)
        answer = rest_of(connection)
        assert answer.index(b"late") < answer.index(b"answer")


@pytest.mark.parametrize("sent", [get("/slow"), post("/slow", 4) + b"body", post("/slow", 4) + b"bo"])
def test_a_client_that_has_gone_is_noticed(server: uvicorn.Server, sent: bytes):
    with connect(server) as connection:
        connection.sendall(sent)
        time.sleep(0.1)
    wait_until(lambda: not server.server_state.connections, "noticed", SLOW_S / 2)
    with connect(server) as other:
        other.sendall(get("/").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert rest_of(other).startswith(b"HTTP/1.1 200 ")


def test_the_preface_of_http_2_is_refused_once(server: uvicorn.Server):
    with connect(server) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        answer = rest_of(connection)
        assert answer.count(b"connection: close") == 1
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b'"not_http"' in answer
