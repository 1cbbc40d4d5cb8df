"""A real server whose callers do not read, send too much, or ask too often: what everybody else sees of it."""

import http.client
import json
import socket
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from glam.client import Client, ServerError
from tests.samples.forms import Form, form
from tests.samples.serving import ONE_CALLER, RealServer, Serve, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.alone]

KEY = "key-of-sixteen-characters"
STALL_S = 10
"""glam_serve.wire's."""


@pytest.fixture(scope="module")
def server(serve_a_file: Serve, tmp_path_factory: pytest.TempPathFactory) -> RealServer:
    """It asks for a key, takes two requests at a time, and 64 MB."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(KEY)
    limits = ("--limits.max-waiting", "2", "--limits.max-upload-mb", "64", *ONE_CALLER)
    return serve_a_file("--api-keys", str(keys), *limits)


@pytest.fixture
def scan(mammograms: dict[str, Path]) -> Form:
    return form({"cc": mammograms["L_CC"].read_bytes()})


def post(server: RealServer, sent: Form, **headers: str) -> tuple[int, dict]:
    """Status and answer of /predict, by a client that reads nothing before it has sent all."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST", "/predict", sent.body, {"Content-Type": sent.content_type, **names})
    answer = connection.getresponse()
    status, content = answer.status, json.loads(answer.read())
    connection.close()
    return status, content


def unread(server: RealServer, sent: bytes) -> socket.socket:
    """A connection that sends and never reads."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.connect(("127.0.0.1", server.port))
    connection.setblocking(False)
    connection.send(sent)
    return connection


def num_connections(server: RealServer) -> int:
    """How many the server holds; one that it has closed is the kernel's, without an inode."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(
        words[3] != "0A" and words[9] != "0" and int(words[1].rpartition(":")[2], 16) == server.port for words in lines
    )


def test_callers_without_a_key_that_do_not_read_take_nobodys_place(server: RealServer, scan: Form):
    ask = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 160
    probe = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 20_000
    with ExitStack() as held:
        for sent in (*[ask] * 20, *[probe] * 5):
            held.enter_context(unread(server, sent))
        time.sleep(1)
        assert num_connections(server) >= 20
        assert server.status("/livez") == 200
        assert post(server, scan, X_API_Key=KEY)[0] == 200
        samples = server.metrics(**{"X-API-Key": KEY})
        assert samples["glam_waiting"] == 0
        wait_until(lambda: num_connections(server) == 0, "no connection is held", 2 * STALL_S)


def test_metrics_are_told_while_as_many_wait_as_may(server: RealServer, scan: Form):
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Type: {scan.content_type}\r\n"
    with ExitStack() as held:
        for _ in range(2):
            connection = held.enter_context(server.connect())
            connection.sendall(f"{head}Content-Length: {len(scan.body)}\r\n\r\n".encode())
        time.sleep(0.3)
        assert post(server, scan, X_API_Key=KEY)[0] == 429
        assert server.metrics(**{"X-API-Key": KEY})["glam_waiting"] == 2


def test_callers_of_large_uploads_are_told_why_they_are_refused(server: RealServer, tmp_path: Path):
    large = form({"cc": bytes(60 << 20)})
    assert post(server, large)[1]["code"] == "no_key"
    assert post(server, form({"cc": bytes(80 << 20)}), X_API_Key=KEY)[1]["code"] == "body_too_large"
    (tmp_path / "large").write_bytes(bytes(80 << 20))
    for key, code in ((None, "no_key"), (KEY, "body_too_large")):
        client: Client = replace(server.client, api_key=key)
        with pytest.raises(ServerError) as error:
            client.predict(cc=tmp_path / "large")
        assert error.value.code == code


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/v1/model", "/metrics", "/openapi.json"])
def test_a_probe_may_ask_by_head(server: RealServer, path: str):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    for method in ("HEAD", "GET"):  # on one connection: the body that HEAD leaves out is not in the way
        connection.request(method, path, headers={"X-API-Key": KEY})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200
        assert (body == b"") == (method == "HEAD")
    connection.close()


def test_a_form_may_have_words_before_and_behind_and_its_sender_may_half_close(server: RealServer, scan: Form):
    body = b"This is a form.\r\nFor old readers.\r\n" + scan.body + b"\r\nThe end.\r\n" * 1000
    assert post(server, Form(scan.content_type, body), X_API_Key=KEY)[1]["laterality"] == "L"
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Type: {scan.content_type}\r\n"
    with server.connect() as connection:
        connection.sendall(f"{head}Content-Length: {len(scan.body)}\r\n\r\n".encode() + scan.body)
        connection.shutdown(socket.SHUT_WR)
        assert b"HTTP/1.1 200 OK\r\n" in b"".join(iter(lambda: connection.recv(65536), b""))
