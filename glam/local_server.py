"""A server on this machine for as long as a block lasts: started, waited for, stopped, and no process left."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glam.bound import bound
from glam.client import Client

HOST = "127.0.0.1"
READY_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 20.0


class LocalServerError(RuntimeError):
    """The server did not start or did not stop as it should."""


@contextmanager
def local_server(port: int, *, log: Path, bundle: Path | None = None, store: Path | None = None) -> Iterator[None]:
    """`glam-serve run` on a bundle, ready, its output in `log`; at the end none of its processes lives.

    Nor does one where this process is killed outright. `bundle`: None is the demo bundle. `store`: of similar cases.
    """
    program = Path(sys.executable).with_name("glam-serve")  # of this environment, not of the caller's PATH
    options = {"--bundle": bundle, "--store": store}
    chosen = [word for name, path in options.items() if path is not None for word in (name, str(path))]
    command = [str(program), "run", "--host", HOST, "--port", str(port), *chosen]
    process = None
    try:
        with log.open("wb") as stream, interrupts_held_back():
            process = subprocess.Popen(bound(command), stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)
        wait_until_ready(process, port, log=log)
        yield
    finally:
        if process is not None:
            stop(process)


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Let SIGTERM and Ctrl-C wait, so that none comes between the start of a process and the knowledge of it."""
    arrived: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    handlers = [signal.signal(number, lambda number, _: arrived.append(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)
        for number in arrived:
            signal.raise_signal(number)


def wait_until_ready(process: subprocess.Popen[bytes], port: int, *, log: Path) -> None:
    """Return once /readyz says 200; LocalServerError with the end of the log when that does not come."""
    client = Client(url=f"http://{HOST}:{port}", timeout_s=2)
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        if client.is_ready():
            return
        time.sleep(0.1)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
    raise LocalServerError(f"the server did not become ready; the end of {log}:\n{tail}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the server as an operator would, and make sure of it; LocalServerError when it had to be killed."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise LocalServerError(f"the server did not stop within {STOP_TIMEOUT_S:g} s of SIGTERM: killed") from None
    deadline = time.monotonic() + 5
    while group_lives(process.pid):
        if time.monotonic() > deadline:
            os.killpg(process.pid, signal.SIGKILL)
            raise LocalServerError("the server left processes behind: killed")
        time.sleep(0.1)


def group_lives(group: int) -> bool:
    """Say whether a process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def free_port(wanted: int) -> int:
    """Return `wanted`, or another port when something listens there."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise LocalServerError(f"no free port on {HOST}")
