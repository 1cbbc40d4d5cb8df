"""A real server whose processes are killed, stopped and starved; no client may be left waiting."""

import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from glam.bundle import Bundle
from tests.samples.forms import Form
from tests.samples.serving import Lasting, end, launch, start_server, wait_until
from tests.samples.under_way import (
    LIMITS,
    STALLING,
    TWO_OF_EACH,
    ask_beside,
    assert_answers,
    both_loaded,
    form_head,
    statuses,
)

pytestmark = [pytest.mark.slow, pytest.mark.alone]

SLOW_READER = (
    "import time, glam_serve.uploads as uploads, glam_serve.slots as slots, glam_serve.cli;"
    "read = uploads.read_breast; slots.num_cores.__code__ = (lambda: 1).__code__;"
    "uploads.read_breast = lambda *files, **options: (time.sleep(2), read(*files, **options))[1];"
    "glam_serve.cli.main()"
)
"""A server that reads one exam at a time, in two seconds."""
BLIND = (  # as if the hub hung by itself: nobody can see that it is stopped
    "import sys, glam_serve.supervisor as supervisor, glam_serve.cli;"
    "supervisor.is_stopped = lambda pid: False; supervisor.HUB_ANSWER_S = 1.0; glam_serve.cli.main()"
)


@pytest.fixture(scope="module", autouse=True)
def started_at_once(lasting: Lasting) -> None:
    lasting.launched(*STALLING)
    lasting.launched(*TWO_OF_EACH)
    for program in (SLOW_READER, BLIND):
        lasting.launched(program=("-c", program))
    lasting.wait_until_ready()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_worker_is_replaced_and_every_request_ends(lasting: Lasting, question: Form, number: signal.Signals):
    server = lasting(*STALLING)
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


def test_readyz_is_honest_while_the_only_worker_is_away(lasting: Lasting):
    server = lasting(*STALLING)
    os.kill(server.pids("worker")[0], signal.SIGKILL)
    wait_until(lambda: server.status("/readyz") == 503, "not ready", 2)
    assert server.status("/livez") == 200
    server.wait_until_ready()


def test_a_killed_api_process_closes_its_connections_and_is_replaced(lasting: Lasting, question: Form):
    server = lasting(*STALLING)
    with server.connect() as connection:
        connection.sendall(form_head(length=60_000_000))
        time.sleep(0.3)
        os.kill(server.pids("api")[0], signal.SIGKILL)
        killed = time.monotonic()
        assert connection.recv(1) == b""
        assert time.monotonic() - killed < 1
    assert_answers(server, question)
    assert "API process 0 ended with -9" in server.log.read_text()


def test_the_slots_of_an_api_process_that_was_killed_while_it_read_are_given_back(lasting: Lasting, question: Form):
    server = lasting(program=("-c", SLOW_READER))
    with ThreadPoolExecutor(2) as pool:
        futures = ask_beside(server, question, pool, 2)  # one is read, the other waits
        time.sleep(0.3)
        os.kill(server.pids("api")[0], signal.SIGKILL)
        assert set(statuses(futures)) == {0}
    server.wait_until_ready()
    assert_answers(server, question)


def test_a_stopped_api_process_is_replaced(lasting: Lasting, question: Form):
    server = lasting(*STALLING)
    (stopped,) = server.pids("api")
    os.kill(stopped, signal.SIGSTOP)
    assert_answers(server, question)
    assert stopped not in server.pids("api")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_without_its_hub_a_server_begins_anew_and_every_request_ends(
    lasting: Lasting, question: Form, number: signal.Signals
):
    server = lasting(*STALLING)
    (lost,) = server.pids("hub")
    with ThreadPoolExecutor(4) as pool:
        futures = ask_beside(server, question, pool, 4)
        os.kill(lost, number)
        assert set(statuses(futures)) <= {200, 503, 0}  # 503: it came when the hub had gone, not before
    wait_until(lambda: server.pids("hub") not in ([], [lost]), "another hub", 10)
    server.wait_until_ready()
    assert_answers(server, question)


def test_a_hub_that_hangs_is_replaced_however_it_came_to(lasting: Lasting, question: Form):
    server = lasting(program=("-c", BLIND))
    (lost,) = server.pids("hub")
    os.kill(lost, signal.SIGSTOP)
    wait_until(lambda: server.pids("hub") not in ([], [lost]), "another hub", 10)
    server.wait_until_ready()
    assert_answers(server, question)
    assert "the hub gives no answer (no answer for 1 s): starting another" in server.log.read_text()
    assert server.metrics()['glam_restarts_total{kind="hub"}'] == 1


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


def test_one_of_two_api_processes_dies_without_the_others_answers(lasting: Lasting, question: Form):
    server = lasting(*TWO_OF_EACH)
    with ThreadPoolExecutor(12) as pool:
        futures = ask_beside(server, question, pool, 12)
        os.kill(server.pids("api")[0], signal.SIGKILL)
        ends = statuses(futures)
    assert set(ends) <= {200, 0}, ends
    assert 200 in ends
    assert_answers(server, question)


def test_with_one_of_two_workers_lost_the_other_answers(lasting: Lasting, question: Form):
    server = lasting(*TWO_OF_EACH)
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
