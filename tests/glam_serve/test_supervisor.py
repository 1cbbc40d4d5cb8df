"""A real server whose processes are killed, stopped and starved; no client may be left waiting."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from glam.bundle import Bundle
from glam.local_server import group_lives
from tests.samples.forms import Form, Outcome, ask, form
from tests.samples.serving import DEADLINE_S, RealServer, Serve, end, launch, of_proc, start_server, wait_until

pytestmark = pytest.mark.slow

IN_TIME_S = DEADLINE_S + 10
"""No request may last longer, its upload included."""
LIMITS = ("--threads", "1", "--limits.deadline-s", str(DEADLINE_S), "--limits.grace-s", "10")
STALLING = ("--limits.body-idle-s", "1")
TWO_OF_EACH = ("--workers", "2", "--apis", "2")


@pytest.fixture(scope="module")
def serve(random_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Servers by their options: one that still runs serves the next test too, and at the end none lives."""
    started: dict[tuple[str, ...], RealServer] = {}
    every: list[RealServer] = []

    def of_options(*options: str, before: Callable[[], None] | None = None) -> RealServer:
        server = started.get(options)
        if server is None or server.process.poll() is not None:
            log = tmp_path_factory.mktemp("server") / "log"
            server = start_server(random_bundle.folder, log, *LIMITS, *options, before=before)
            started[options] = server
            every.append(server)
        server.wait_until_ready()
        return server

    yield of_options
    for server in every:
        end(server)
    for server in every:
        assert "Traceback" not in server.log.read_text()


@pytest.fixture(scope="module")
def question(mammograms: dict[str, Path]) -> Form:
    return form({"cc": mammograms["L_CC"].read_bytes()}, {"include": "findings"})


def ask_beside(server: RealServer, question: Form, pool: ThreadPoolExecutor, count: int) -> list[Future[Outcome]]:
    """Ask several times at once and return as soon as the requests are under way."""
    futures = [pool.submit(ask, server.port, question, timeout_s=IN_TIME_S) for _ in range(count)]
    time.sleep(0.3)
    return futures


def statuses(futures: list[Future[Outcome]]) -> list[int]:
    """How requests ended; none may have lasted beyond its deadline."""
    outcomes = [future.result() for future in futures]
    assert max(outcome.seconds for outcome in outcomes) < IN_TIME_S
    return [outcome.status for outcome in outcomes]


def assert_answers(server: RealServer, question: Form) -> None:
    outcome = ask(server.port, question, timeout_s=IN_TIME_S)
    assert outcome.status == 200, outcome.body


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_worker_is_replaced_and_every_request_ends(serve: Serve, question: Form, number: signal.Signals):
    server = serve(*STALLING)
    (lost,) = server.pids("worker")
    with ThreadPoolExecutor(8) as pool:
        futures = ask_beside(server, question, pool, 4)
        os.kill(lost, number)
        futures += ask_beside(server, question, pool, 4)
        ends = statuses(futures)
    assert set(ends) <= {200, 503}, ends  # 503: the model was at work on it
    assert ends.count(200) >= len(ends) - 1
    server.wait_until_ready()
    assert lost not in server.pids("worker")
    assert_answers(server, question)


def test_readyz_is_honest_while_the_only_worker_is_away(serve: Serve):
    server = serve(*STALLING)
    os.kill(server.pids("worker")[0], signal.SIGKILL)
    wait_until(lambda: server.status("/readyz") == 503, "not ready", 2)
    assert server.status("/livez") == 200
    server.wait_until_ready()


def test_a_killed_api_process_closes_its_connections_and_is_replaced(serve: Serve, question: Form):
    server = serve(*STALLING)
    with server.connect() as connection:
        connection.sendall(form_head(length=60_000_000))
        time.sleep(0.3)
        os.kill(server.pids("api")[0], signal.SIGKILL)
        killed = time.monotonic()
        assert connection.recv(1) == b""
        assert time.monotonic() - killed < 1
    assert_answers(server, question)
    assert "API process 0 ended with -9" in server.log.read_text()


def test_a_stopped_api_process_is_replaced(serve: Serve, question: Form):
    server = serve(*STALLING)
    (stopped,) = server.pids("api")
    os.kill(stopped, signal.SIGSTOP)
    assert_answers(server, question)
    assert stopped not in server.pids("api")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_without_its_hub_a_server_begins_anew_and_every_request_ends(
    serve: Serve, question: Form, number: signal.Signals
):
    server = serve(*STALLING)
    (lost,) = server.pids("hub")
    with ThreadPoolExecutor(4) as pool:
        futures = ask_beside(server, question, pool, 4)
        os.kill(lost, number)
        assert set(statuses(futures)) <= {200, 503, 0}  # 503: it came when the hub had gone, not before
    wait_until(lambda: server.pids("hub") not in ([], [lost]), "another hub", 10)
    server.wait_until_ready()
    assert_answers(server, question)


def test_a_hub_that_hangs_is_replaced_however_it_came_to(random_bundle: Bundle, question: Form, tmp_path: Path):
    blind = (  # as if it hung by itself: nobody can see that it is stopped
        "import sys, glam_serve.supervisor as supervisor, glam_serve.cli;"
        "supervisor.is_stopped = lambda pid: False; supervisor.HUB_ANSWER_S = 1.0; glam_serve.cli.main()"
    )
    server = start_server(random_bundle.folder, tmp_path / "log", *LIMITS, program=("-c", blind))
    try:
        (lost,) = server.pids("hub")
        os.kill(lost, signal.SIGSTOP)
        wait_until(lambda: server.pids("hub") not in ([], [lost]), "another hub", 10)
        server.wait_until_ready()
        assert_answers(server, question)
        assert "the hub gives no answer (no answer for 1 s): starting another" in server.log.read_text()
        assert server.metrics()['glam_restarts_total{kind="hub"}'] == 1
    finally:
        end(server)


def test_a_hub_that_cannot_start_ends_the_server_with_one_line(random_bundle: Bundle, tmp_path: Path):
    folder = tmp_path / ("x" * 200)
    folder.mkdir()
    server = launch(random_bundle.folder, tmp_path / "log", before=lambda: os.environ.update(TMPDIR=str(folder)))
    try:
        assert server.process.wait(60) == 1
    finally:
        end(server)
    (line,) = server.log.read_text().splitlines()
    assert line == (
        "glam-serve: the process that holds the queue did not start: "
        f"AF_UNIX path too long in {folder}: let TMPDIR name a folder of fewer characters"
    )


def test_a_second_server_on_the_port_is_refused(serve: Serve, random_bundle: Bundle):
    server = serve(*STALLING)
    command = [sys.executable, "-m", "glam_serve.cli", "run", "--bundle", str(random_bundle.folder)]
    second = subprocess.run([*command, "--port", str(server.port)], capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert second.stderr == (
        f"glam-serve: cannot listen on 127.0.0.1 port {server.port} (Address already in use): choose another --port\n"
    )


def test_uploads_and_connections_that_stall_are_ended(serve: Serve):
    server = serve(*STALLING)
    heads = (form_head(length=60_000_000), b"", b"GET /livez HT")
    connections = [server.connect() for _ in heads]
    for connection, head in zip(connections, heads, strict=True):
        connection.sendall(head)
    for connection in connections:
        with connection:
            assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


def test_what_is_not_http_gets_an_error_of_the_one_shape(serve: Serve):
    with serve(*STALLING).connect() as connection:
        connection.sendall(b"garbage\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    message = b"this is not a request of HTTP/1.1: its first line is not of the form POST /predict HTTP/1.1"
    assert answer.endswith(b'{"code": "not_http", "message": "' + message + b'", "where": ""}')


def test_one_of_two_api_processes_dies_without_the_others_answers(serve: Serve, question: Form):
    server = serve(*TWO_OF_EACH)
    with ThreadPoolExecutor(12) as pool:
        futures = ask_beside(server, question, pool, 12)
        os.kill(server.pids("api")[0], signal.SIGKILL)
        ends = statuses(futures)
    assert set(ends) <= {200, 0}, ends
    assert 200 in ends
    assert_answers(server, question)


def test_with_one_of_two_workers_lost_the_other_answers(serve: Serve, question: Form):
    server = serve(*TWO_OF_EACH)
    wait_until(lambda: both_loaded(server), "both workers have loaded the model", 60)
    os.kill(server.pids("worker")[0], signal.SIGKILL)
    assert server.status("/readyz") == 200
    assert_answers(server, question)


def test_a_worker_that_cannot_start_again_does_not_end_a_server_with_a_healthy_one(
    random_bundle: Bundle, question: Form, tmp_path: Path
):
    folder = shutil.copytree(random_bundle.folder, tmp_path / "bundle")
    tokenizer = folder / "tokenizer.json"
    content = tokenizer.read_bytes()
    server = start_server(folder, tmp_path / "log", *LIMITS, "--workers", "2")
    try:
        wait_until(lambda: server.metrics()["glam_workers_ready"] == 2, "both workers are ready", 60)
        tokenizer.write_bytes(content + b" ")
        os.kill(server.pids("worker")[0], signal.SIGKILL)
        wait_until(lambda: "next try in 2 s; 1 of 2 are ready" in server.log.read_text(), "it cannot start", 60)
        assert (server.status("/readyz"), server.metrics()["glam_workers_ready"]) == (200, 1)
        assert_answers(server, question)
        os.kill(server.pids("worker")[0], signal.SIGKILL)  # the healthy one, unless the other was at another try
        tokenizer.write_bytes(content)
        wait_until(lambda: server.metrics()["glam_workers_ready"] == 2, "both are ready again", 60)
        assert server.process.poll() is None
    finally:
        end(server)


def both_loaded(server: RealServer) -> bool:
    """Whether both workers have opened the engine, long after they bound themselves to their parent."""
    return [b"onnxruntime" in of_proc(pid, "maps") for pid in server.pids("worker")] == [True, True]


def test_nothing_outlives_a_parent_that_was_killed(serve: Serve):
    server = serve(*TWO_OF_EACH)
    wait_until(lambda: both_loaded(server), "both workers have loaded the model", 60)
    server.process.kill()
    server.process.wait()
    wait_until(lambda: not group_lives(server.process.pid), "every process ends", 5)
    with pytest.raises(ConnectionRefusedError):
        server.connect()


def test_nothing_outlives_a_parent_that_was_killed_while_its_workers_import(serve: Serve):
    server = serve(*TWO_OF_EACH, "--limits.max-waiting", "8")  # no other test's
    for pid in server.pids("worker"):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: server.pids("worker") != [], "another worker begins", 10)
    server.process.kill()
    server.process.wait()
    wait_until(lambda: not group_lives(server.process.pid), "every process ends", 5)  # how soon: test_children
    with pytest.raises(ConnectionRefusedError):
        server.connect()


@pytest.mark.parametrize(
    "numbers", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGHUP,), (signal.SIGINT, signal.SIGINT)]
)
def test_a_stop_answers_what_is_under_way(serve: Serve, question: Form, numbers: tuple[signal.Signals, ...]):
    server = serve(*STALLING)
    with ThreadPoolExecutor(4) as pool:
        futures = ask_beside(server, question, pool, 3)
        for number in numbers:
            to_all = number != signal.SIGTERM  # Ctrl-C and a closed terminal reach every process
            os.killpg(server.process.pid, number) if to_all else os.kill(server.process.pid, number)
            time.sleep(0.1)
        assert statuses(futures) == [200, 200, 200]
    assert server.process.wait(30) == 0
    wait_until(lambda: not group_lives(server.process.pid), "every process ends", 5)


def test_a_stalled_upload_does_not_hold_up_the_stop_and_new_connections_are_refused(serve: Serve):
    server = serve("--limits.grace-s", "2")
    with server.connect() as connection:
        connection.sendall(form_head(length=60_000_000))
        time.sleep(0.3)
        start = time.monotonic()
        server.process.terminate()
        time.sleep(0.8)
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        assert server.process.wait(30) == 0
        assert time.monotonic() - start < 8


def test_a_full_disk_is_507_and_logged(serve: Serve):
    def no_file_above_1_mb() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    server = serve(before=no_file_above_1_mb)
    outcome = ask(server.port, form({"cc": b"0" * (3 << 20)}))
    assert outcome.status == 507
    assert b'"no_space"' in outcome.body
    assert "no_space" in server.log.read_text()


def test_uploads_beyond_the_limits_are_refused_before_they_are_read(serve: Serve, tmp_path: Path):
    keys = tmp_path / "keys"
    keys.write_text("# the first\nkey-of-sixteen-characters\n")
    caps = ("--limits.max-upload-mb", "8", "--limits.max-spool-mb", "8", "--limits.max-waiting", "2")
    server = serve(*caps, "--api-keys", str(keys))
    key = b"X-API-Key: key-of-sixteen-characters\r\n"
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


def form_head(*, length: int, headers: bytes = b"") -> bytes:
    """The beginning of an upload."""
    return (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=edge\r\n"
        + headers
        + f"Content-Length: {length}\r\n\r\n".encode()
        + b'--edge\r\nContent-Disposition: form-data; name="cc"; filename="cc.dcm"\r\n\r\n'
    )
