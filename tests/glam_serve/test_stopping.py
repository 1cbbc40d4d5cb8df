"""A real server that is stopped or whose parent is killed: what is under way, and what outlives it."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from glam.local_server import group_lives
from tests.samples.forms import Form
from tests.samples.serving import Serve, wait_until
from tests.samples.under_way import STALLING, TWO_OF_EACH, ask_beside, both_loaded, form_head, statuses

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def test_nothing_outlives_a_parent_that_was_killed(lasting: Serve):
    server = lasting(*TWO_OF_EACH)
    wait_until(lambda: both_loaded(server), "both workers have loaded the model", 60)
    server.process.kill()
    server.process.wait()
    wait_until(lambda: not group_lives(server.process.pid), "every process ends", 5)
    with pytest.raises(ConnectionRefusedError):
        server.connect()


def test_nothing_outlives_a_parent_that_was_killed_while_its_workers_import(lasting: Serve):
    server = lasting(*TWO_OF_EACH, "--limits.max-waiting", "8")  # no other test's
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
def test_a_stop_answers_what_is_under_way(lasting: Serve, question: Form, numbers: tuple[signal.Signals, ...]):
    server = lasting(*STALLING)
    with ThreadPoolExecutor(4) as pool:
        futures = ask_beside(server, question, pool, 3)
        for number in numbers:
            to_all = number != signal.SIGTERM  # Ctrl-C and a closed terminal reach every process
            os.killpg(server.process.pid, number) if to_all else os.kill(server.process.pid, number)
            time.sleep(0.1)
        assert statuses(futures) == [200, 200, 200]
    assert server.process.wait(30) == 0
    wait_until(lambda: not group_lives(server.process.pid), "every process ends", 5)


def test_a_stalled_upload_does_not_hold_up_the_stop_and_new_connections_are_refused(lasting: Serve):
    server = lasting("--limits.grace-s", "2")
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
