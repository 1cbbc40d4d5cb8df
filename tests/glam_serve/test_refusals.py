"""What a real server refuses, and how."""

import resource
import subprocess
import sys
import time

import pytest

from glam.bundle import Bundle
from tests.samples.forms import ask, form
from tests.samples.serving import ONE_CALLER, Lasting
from tests.samples.under_way import STALLING, form_head

pytestmark = [pytest.mark.slow, pytest.mark.alone]

KEY = "key-of-sixteen-characters"


def no_file_above_1_mb() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


@pytest.fixture(scope="module")
def capped(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Options of a server that asks for a key and takes little."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(f"# the first\n{KEY}\n")
    caps = ("--limits.max-upload-mb", "8", "--limits.max-spool-mb", "8", "--limits.max-waiting", "2")
    return (*caps, *ONE_CALLER, "--api-keys", str(keys))


@pytest.fixture(scope="module", autouse=True)
def started_at_once(lasting: Lasting, capped: tuple[str, ...]) -> None:
    lasting.launched(*STALLING)
    lasting.launched(before=no_file_above_1_mb)
    lasting.launched(*capped)
    lasting.wait_until_ready()


def test_a_second_server_on_the_port_is_refused(lasting: Lasting, random_bundle: Bundle):
    server = lasting(*STALLING)
    command = [sys.executable, "-m", "glam_serve.cli", "run", "--bundle", str(random_bundle.folder)]
    second = subprocess.run([*command, "--port", str(server.port)], capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert second.stderr == (
        f"glam-serve: cannot listen on 127.0.0.1 port {server.port} (Address already in use): choose another --port\n"
    )


def test_uploads_and_connections_that_stall_are_ended(lasting: Lasting):
    server = lasting(*STALLING)
    heads = (form_head(length=60_000_000), b"", b"GET /livez HT")
    connections = [server.connect() for _ in heads]
    for connection, head in zip(connections, heads, strict=True):
        connection.sendall(head)
    for connection in connections:
        with connection:
            assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


def test_what_is_not_http_gets_an_error_of_the_one_shape(lasting: Lasting):
    with lasting(*STALLING).connect() as connection:
        connection.sendall(b"garbage\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    message = b"this is not a request of HTTP/1.1: its first line is not of the form POST /predict HTTP/1.1"
    assert answer.endswith(b'{"code": "not_http", "message": "' + message + b'", "where": ""}')


def test_a_full_disk_is_507_and_logged(lasting: Lasting):
    server = lasting(before=no_file_above_1_mb)
    outcome = ask(server.port, form({"cc": b"0" * (3 << 20)}))
    assert outcome.status == 507
    assert b'"no_space"' in outcome.body
    assert "no_space" in server.log.read_text()


def test_uploads_beyond_the_limits_are_refused_before_they_are_read(lasting: Lasting, capped: tuple[str, ...]):
    server = lasting(*capped)
    key = f"X-API-Key: {KEY}\r\n".encode()
    held = form_head(length=6 << 20, headers=key) + b"0" * (5 << 20)
    with server.connect() as first:
        first.sendall(held)
        time.sleep(0.2)
        for head, status in (
            (form_head(length=9 << 20, headers=key), 413),
            (form_head(length=6 << 20, headers=key), 503),
            (form_head(length=6 << 20), 401),
        ):
            with server.connect() as connection:
                connection.sendall(head)
                assert connection.recv(100).startswith(b"HTTP/1.1 %d " % status)
        with server.connect() as second, server.connect() as third:
            for connection in (second, third):
                connection.sendall(form_head(length=1 << 20, headers=key))
                time.sleep(0.2)
            assert third.recv(100).startswith(b"HTTP/1.1 429 ")
