"""A real server that is stopped or whose parent is killed: what is under way, and what outlives it."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from glam.local_server import group_lives
from tests.samples.forms import Form
from tests.samples.serving import Lasting, wait_until
from tests.samples.under_way import STALLING, TWO_OF_EACH, ask_beside, both_loaded, form_head, statuses

pytestmark = [pytest.mark.slow, pytest.mark.alone]

SIGNALS = [(signal.SIGTERM, signal.SIGTERM), (signal.SIGHUP,), (signal.SIGINT, signal.SIGINT)]
IMPATIENT = ("--limits.grace-s", "2")


@pytest.fixture(scope="module", autouse=True)
def started_at_once(lasting: Lasting) -> None:
    """A server for every test, each of which ends its own."""
    for number in range(2):
        lasting.launched(*TWO_OF_EACH, number=number)
    for number in range(len(SIGNALS)):
        lasting.launched(*STALLING, number=number)
    lasting.launched(*IMPATIENT)
    lasting.wait_until_ready()


def test_nothing_outlives_a_parent_that_was_killed(lasting: Lasting):
    server = lasting(*TWO_OF_EACH)
    wait_until(lambda: both_loaded(server), "both workers have loaded the model", 60)
    server.process.kill()
    server.process.wait()
    wait_until(lambda: not group_lives(server.process.pid), "every process ends", 5)
    with pytest.raises(ConnectionRefusedError):
        server.connect()


def test_nothing_outlives_a_parent_that_was_killed_while_its_workers_import(lasting: Lasting):
    server = lasting(*TWO_OF_EACH, number=1)
    for pid in server.pids("worker"):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: server.pids("worker") != [], "another worker begins", 10)
    server.process.kill()
    server.process.wait()
    wait_until(lambda: not group_lives(server.process.pid), "every process ends", 5)  # how soon: test_children
    with pytest.raises(ConnectionRefusedError):
        server.connect()


@pytest.mark.parametrize("numbers", SIGNALS)
def test_a_stop_answers_what_is_under_way(lasting: Lasting, question: Form, numbers: tuple[signal.Signals, ...]):
    server = lasting(*STALLING, number=SIGNALS.index(numbers))
    with ThreadPoolExecutor(4) as pool:
        futures = ask_beside(server, question, pool, 3)
        for number in numbers:
            to_all = number != signal.SIGTERM  # Ctrl-C and a closed terminal reach every process
            os.killpg(server.process.pid, number) if to_all else os.kill(server.process.pid, number)
            time.sleep(0.1)
        assert statuses(futures) == [200, 200, 200]
    assert server.process.wait(30) == 0
    wait_until(lambda: not group_lives(server.process.pid), "every process ends", 5)


def test_a_stalled_upload_does_not_hold_up_the_stop_and_new_connections_are_refused(lasting: Lasting):
    server = lasting(*IMPATIENT)
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
