import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from glam.local_server import (
    HOST,
    LocalServerError,
    free_port,
    group_lives,
    interrupts_held_back,
    stop,
    wait_until_ready,
)

READY = "import signal, sys, time; print('up', flush=True); "


def started(code: str) -> subprocess.Popen[bytes]:
    """A process in a session of its own, past its first print."""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout
    with process.stdout as printed:
        assert printed.readline() == b"up\n"
    return process


def test_a_taken_port_is_not_used():
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        assert free_port(port) != port
    assert free_port(port) == port


def test_a_server_that_dies_at_start_is_reported_with_its_log(tmp_path: Path):
    log = tmp_path / "server.log"
    log.write_text("no bundle at X")
    process = subprocess.Popen([sys.executable, "-c", "pass"], start_new_session=True)
    process.wait()
    with pytest.raises(LocalServerError, match=r"did not become ready.*\nno bundle at X"):
        wait_until_ready(process, free_port(0), log=log)


def test_a_server_that_ends_leaves_no_process():
    process = started(READY + "time.sleep(60)")
    stop(process)
    assert not group_lives(process.pid)


def test_a_server_that_ignores_sigterm_is_killed_and_reported(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("glam.local_server.STOP_TIMEOUT_S", 0.2)
    process = started("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + READY + "time.sleep(60)")
    with pytest.raises(LocalServerError, match="did not stop"):
        stop(process)
    assert not group_lives(process.pid)


def test_an_interrupt_waits_until_the_process_is_known():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a run in the background ignores it
    order = []

    def start() -> None:
        with interrupts_held_back():
            signal.raise_signal(signal.SIGINT)
            order.append("process known")

    try:
        with pytest.raises(KeyboardInterrupt):
            start()
    finally:
        signal.signal(signal.SIGINT, before)
    assert order == ["process known"]
