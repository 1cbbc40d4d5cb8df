"""A real server whose processes are killed, stopped and starved; no client may be left waiting."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from glam.bundle import Bundle
from glam.client import Client, ServerError
from glam_serve.local import free_port, group_lives

pytestmark = pytest.mark.slow

START_S = 120.0
DEADLINE_S = 20.0
"""Of a request at these servers; far above what an answer takes, so that a 504 means a loss."""


@dataclass(kw_only=True)
class Server:
    """A running `glam-serve`, its children, and ways to ask it."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def client(self) -> Client:
        return Client(url=f"http://127.0.0.1:{self.port}", timeout_s=DEADLINE_S + 10)

    def wait_until_ready(self) -> float:
        """Seconds until it takes requests."""
        start = time.monotonic()
        while not self.client.is_ready():
            assert time.monotonic() - start < START_S, self.log.read_text()
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        return time.monotonic() - start

    def children(self, kind: str) -> list[int]:
        """Pids of its `worker`s (spawned) or `api` processes (forked after the hub, the first one)."""
        listing = subprocess.run(
            ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=True,
        )
        lines = [line.split(None, 1) for line in listing.stdout.splitlines()]
        spawned = sorted(int(pid) for pid, args in lines if "spawn_main" in args)
        forked = sorted(int(pid) for pid, args in lines if "glam_serve.cli" in args)
        return spawned if kind == "worker" else forked[1:]

    def outcome(self, source: Path) -> int:
        """Status of a prediction, 0 when the connection was closed."""
        try:
            self.client.predict(cc=source, include=["findings"])
        except ServerError as error:
            return error.status
        return 200

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)


@pytest.fixture
def serve(random_bundle: Bundle, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers; at the end none of their processes lives."""
    started: list[Server] = []

    def start(*options: str, before: Callable[[], None] | None = None) -> Server:
        port, log = free_port(0), tmp_path / f"log-{len(started)}"
        command = [sys.executable, "-m", "glam_serve.cli", "run", "--bundle", str(random_bundle.folder)]
        limits = ["--limits.deadline-s", str(DEADLINE_S), "--limits.grace-s", "10"]
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*command, "--port", str(port), "--threads", "1", *limits, *options],
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                preexec_fn=before,
            )
        server = Server(process=process, port=port, log=log)
        started.append(server)
        server.wait_until_ready()
        return server

    yield start
    for server in started:
        if group_lives(server.process.pid):
            os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()


def ask_beside(server: Server, source: Path, pool: ThreadPoolExecutor, count: int = 4) -> list[Future[int]]:
    """Ask several times at once and return as soon as the requests are under way."""
    futures = [pool.submit(server.outcome, source) for _ in range(count)]
    time.sleep(0.3)
    return futures


def wait_for_the_end_of(server: Server, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while group_lives(server.process.pid):
        assert time.monotonic() < deadline, "a process of the server lives on"
        if server.process.poll() is None:
            server.process.poll()
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_worker_is_replaced_and_every_request_ends(
    serve: Callable[..., Server], mammograms: dict[str, Path], number: signal.Signals
):
    server = serve()
    with ThreadPoolExecutor(8) as pool:
        futures = ask_beside(server, mammograms["L_CC"], pool)
        os.kill(server.children("worker")[0], number)
        futures += ask_beside(server, mammograms["L_CC"], pool)
        statuses = [future.result() for future in futures]
    assert set(statuses) <= {200, 503}, statuses  # 503: the model was at work on it
    assert statuses.count(200) >= len(statuses) - 1
    assert "Traceback" not in server.log.read_text()
    server.wait_until_ready()
    assert server.outcome(mammograms["L_CC"]) == 200


def test_readyz_is_honest_while_the_only_worker_is_away(serve: Callable[..., Server]):
    server = serve()
    os.kill(server.children("worker")[0], signal.SIGKILL)
    time.sleep(0.6)
    assert not server.client.is_ready()
    server.wait_until_ready()


def test_a_killed_api_process_closes_its_connections_and_is_replaced(
    serve: Callable[..., Server], mammograms: dict[str, Path]
):
    server = serve()
    with server.connect() as connection:
        connection.sendall(form_head(length=60_000_000))
        time.sleep(0.3)
        os.kill(server.children("api")[0], signal.SIGKILL)
        killed = time.monotonic()
        assert connection.recv(1) == b""
        assert time.monotonic() - killed < 1
    assert server.outcome(mammograms["L_CC"]) == 200
    assert "ended with -9" in server.log.read_text()


def test_a_stopped_api_process_is_replaced(serve: Callable[..., Server], mammograms: dict[str, Path]):
    server = serve()
    os.kill(server.children("api")[0], signal.SIGSTOP)
    assert server.outcome(mammograms["L_CC"]) == 200


def test_one_of_two_api_processes_dies_without_the_others_answers(
    serve: Callable[..., Server], mammograms: dict[str, Path]
):
    server = serve("--apis", "2")
    with ThreadPoolExecutor(12) as pool:
        futures = ask_beside(server, mammograms["L_CC"], pool, count=12)
        os.kill(server.children("api")[0], signal.SIGKILL)
        statuses = [future.result() for future in futures]
    assert set(statuses) <= {200, 0}, statuses
    assert 200 in statuses
    assert server.outcome(mammograms["L_CC"]) == 200


def test_nothing_outlives_a_parent_that_was_killed(serve: Callable[..., Server]):
    server = serve("--workers", "2", "--apis", "2")
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    wait_for_the_end_of(server, 5)
    with pytest.raises(ConnectionRefusedError):
        server.connect()


@pytest.mark.parametrize(
    "numbers", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGHUP,), (signal.SIGINT, signal.SIGINT)]
)
def test_a_stop_answers_what_is_under_way(
    serve: Callable[..., Server], mammograms: dict[str, Path], numbers: tuple[signal.Signals, ...]
):
    server = serve()
    with ThreadPoolExecutor(4) as pool:
        futures = ask_beside(server, mammograms["L_CC"], pool, count=3)
        for number in numbers:
            os.killpg(server.process.pid, number) if number == signal.SIGINT else os.kill(server.process.pid, number)
            time.sleep(0.1)
        assert [future.result() for future in futures] == [200, 200, 200]
    assert server.process.wait(30) == 0
    wait_for_the_end_of(server, 5)
    assert "Traceback" not in server.log.read_text()


def test_a_stalled_upload_does_not_hold_up_the_stop(serve: Callable[..., Server]):
    server = serve("--limits.grace-s", "2")
    with server.connect() as connection:
        connection.sendall(form_head(length=60_000_000))
        time.sleep(0.3)
        start = time.monotonic()
        server.process.terminate()
        assert server.process.wait(30) == 0
        assert time.monotonic() - start < 8


def test_a_second_server_on_the_port_is_refused(serve: Callable[..., Server], random_bundle: Bundle):
    server = serve()
    command = [sys.executable, "-m", "glam_serve.cli", "run", "--bundle", str(random_bundle.folder)]
    second = subprocess.run([*command, "--port", str(server.port)], capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert second.stderr == (
        f"glam-serve: cannot listen on 127.0.0.1 port {server.port} (Address already in use): choose another --port\n"
    )


def test_a_full_disk_is_507_and_logged(serve: Callable[..., Server]):
    def no_file_above_1_mb() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    server = serve(before=no_file_above_1_mb)
    with pytest.raises(ServerError) as error:
        server.client.predict(cc=b"0" * (3 << 20))
    assert (error.value.status, error.value.code) == (507, "no_space")
    assert "no_space" in server.log.read_text()


def test_uploads_and_connections_that_stall_are_ended(serve: Callable[..., Server]):
    server = serve("--limits.body-idle-s", "1")
    with server.connect() as connection:
        connection.sendall(form_head(length=60_000_000))
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")
    for head in (b"", b"GET /livez HT"):
        with server.connect() as connection:
            connection.sendall(head)
            assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


def test_what_is_not_http_gets_an_error_of_the_one_shape(serve: Callable[..., Server]):
    server = serve()
    with server.connect() as connection:
        connection.sendall(b"garbage\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b'{"code": "not_http", "message": "this is not an HTTP/1.1 request", "where": ""}')


def test_uploads_beyond_the_limits_are_refused_before_they_are_read(serve: Callable[..., Server], tmp_path: Path):
    keys = tmp_path / "keys"
    keys.write_text("# the first\nkey-of-sixteen-characters\n")
    server = serve("--limits.max-upload-mb", "8", "--limits.max-spool-mb", "8", "--api-keys", str(keys))
    key = b"X-API-Key: key-of-sixteen-characters\r\n"
    with server.connect() as first, server.connect() as second, server.connect() as third, server.connect() as fourth:
        first.sendall(form_head(length=6 << 20, headers=key) + b"0" * (5 << 20))
        second.sendall(form_head(length=9 << 20, headers=key))
        assert second.recv(100).startswith(b"HTTP/1.1 413 ")
        third.sendall(form_head(length=6 << 20, headers=key))
        assert third.recv(100).startswith(b"HTTP/1.1 503 ")
        fourth.sendall(form_head(length=6 << 20))
        assert fourth.recv(100).startswith(b"HTTP/1.1 401 ")


def test_requests_beyond_the_queue_are_429(serve: Callable[..., Server], mammograms: dict[str, Path]):
    server = serve("--limits.max-waiting", "2")
    with ThreadPoolExecutor(12) as pool:
        statuses = [future.result() for future in [pool.submit(server.outcome, mammograms["L_CC"]) for _ in range(12)]]
    assert set(statuses) == {200, 429}


def form_head(*, length: int, headers: bytes = b"") -> bytes:
    """The beginning of an upload."""
    return (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=edge\r\n"
        + headers
        + f"Content-Length: {length}\r\n\r\n".encode()
        + b'--edge\r\nContent-Disposition: form-data; name="cc"; filename="cc.dcm"\r\n\r\n'
    )
