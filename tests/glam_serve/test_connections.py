"""Connections below the app: what is refused before it is a request, asked of a real uvicorn in a thread."""

import hashlib
import json
import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from glam_serve import connections
from glam_serve.connections import NO_REQUEST, counting
from glam_serve.metrics import Metrics, make_metrics

pytestmark = pytest.mark.alone

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
IDLE_S = 0.4


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the hash of the body where there is one."""
    body, has_more = hashlib.sha256(), scope["method"] == "POST"
    while has_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body.update(message["body"])
        has_more = message["more_body"]
    text = body.hexdigest() if scope["method"] == "POST" else "answer"
    await PlainTextResponse(text)(scope, receive, send)


@pytest.fixture
def metrics() -> Metrics:
    return make_metrics()


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch, metrics: Metrics) -> Iterator[int]:
    """A server whose connections may idle for IDLE_S, two at a time."""
    monkeypatch.setattr(connections, "HEAD_TIMEOUT_S", IDLE_S)
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 2)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=counting(metrics), ws="none", lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def connection(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        yield connection


def rest_of(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(4096), b""))


def counted(metrics: Metrics, status: int, code: str) -> tuple[float | None, float | None]:
    """How many refusals were counted with a status, and with a code."""
    value = metrics.registry.get_sample_value
    return (
        value("glam_requests_total", {"route": NO_REQUEST, "status": str(status)}),
        value("glam_findings_total", {"code": code}),
    )


def refusal(answer: bytes) -> tuple[int, str]:
    """Status and code of an error in the one shape, after which the connection is closed."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    assert f"content-length: {len(body)}".encode() in head.lower()
    assert list(json.loads(body)) == ["code", "message", "where"]
    return int(head.split()[1]), json.loads(body)["code"]


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_that_does_not_come_is_408(connection: socket.socket, metrics: Metrics, sent: bytes):
    start = time.monotonic()
    connection.sendall(sent)
    assert refusal(rest_of(connection)) == (408, "upload_stalled")
    assert time.monotonic() - start >= IDLE_S * 0.9
    assert counted(metrics, 408, "upload_stalled") == (1, 1)


def trickle(connection: socket.socket) -> None:
    """Send headers without an end, one every 30 ms."""
    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
    for _ in range(300):
        connection.sendall(b"X-Header: 1\r\n")
        time.sleep(0.03)


def test_a_head_that_trickles_in_is_408_all_the_same(connection: socket.socket):
    start = time.monotonic()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        trickle(connection)
    assert time.monotonic() - start < 5


def test_a_connection_that_idles_after_its_answer_is_closed(connection: socket.socket, metrics: Metrics):
    connection.sendall(GET)
    answer = rest_of(connection)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"answer" in answer
    assert counted(metrics, 408, "upload_stalled") == (1, 1)


def test_a_connection_is_used_again_within_its_time(connection: socket.socket):
    for _ in range(4):
        connection.sendall(GET)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        time.sleep(IDLE_S / 2)


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        (b"garbage\r\n\r\n", "its first line"),
        (b"\r\n\r\n", "its first line"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "its first line"),
        (b"GET /\x00 HTTP/1.1\r\nHost: x\r\n", "its first line"),
        (b"PRI * HTTP/2.0", "HTTP/2 is not spoken here"),
        (b"GET / HTTP/1.1", "it has no Host header"),
        (HEAD + b"Host: y", "it has more than one Host header"),
        (HEAD + b"no colon", "a header line is malformed"),
        (HEAD + b"a b: c", "a header line is malformed"),
        (HEAD + b"a: \x00", "a header line is malformed"),
        (HEAD + b"a: " + b"b" * 400_000, "its headers are longer than 64 KB"),
        (HEAD + b"Content-Length: -1", "its length is told neither"),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 2", "its length is told neither"),
        (HEAD + b"Transfer-Encoding: gzip", "its length is told neither"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nnot a number", "a chunk of its body"),
    ],
)
def test_what_is_not_http_is_400_in_the_one_shape_with_the_reason(
    connection: socket.socket, metrics: Metrics, sent: bytes, problem: str
):
    connection.sendall(sent + b"\r\n\r\n")
    answer = rest_of(connection)
    assert refusal(answer) == (400, "not_http")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["message"].startswith(
        f"this is not a request of HTTP/1.1: {problem}"
    )
    assert counted(metrics, 400, "not_http") == (1, 1)


def test_a_connection_too_many_is_503_and_the_others_are_answered(
    connection: socket.socket, port: int, metrics: Metrics
):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as second:
        for client in (connection, second):
            client.sendall(GET)
            assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
        with socket.create_connection(("127.0.0.1", port), timeout=20) as third:
            assert refusal(rest_of(third)) == (503, "too_many_connections")
        assert counted(metrics, 503, "too_many_connections") == (1, 1)
        second.sendall(GET)
        assert second.recv(4096).startswith(b"HTTP/1.1 200 ")


BODY = random.Random(0).randbytes(3 << 20)
HASH = hashlib.sha256(BODY).hexdigest().encode()
CHUNKED = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:1000], BODY[1000:])) + b"0\r\n\r\n"
BODIES = {
    "of a known length": (b"Content-Length: %d" % len(BODY), BODY),
    "that waits to be asked for": (b"Expect: 100-continue\r\nContent-Length: %d" % len(BODY), BODY),
    "in chunks": (b"Transfer-Encoding: chunked", CHUNKED),
}


@pytest.mark.parametrize("piece", [1 << 20, 100_003])
@pytest.mark.parametrize("kind", BODIES)
def test_a_large_body_comes_whole_and_what_follows_it_is_another_request(
    connection: socket.socket, kind: str, piece: int
):
    header, body = BODIES[kind]
    sent = b"POST / HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n" + body
    sent += b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nend"
    for start in range(0, len(sent), piece):
        connection.sendall(sent[start : start + piece])
    answers = rest_of(connection)
    assert answers.count(b"HTTP/1.1 200") == 2
    assert HASH in answers
    assert answers.endswith(hashlib.sha256(b"end").hexdigest().encode())


def test_a_body_that_breaks_off_ends_its_own_connection_alone(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as leaving:
        leaving.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY[: 1 << 20])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as other:
        other.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert rest_of(other).endswith(b"answer")
