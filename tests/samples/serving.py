"""A real `glam-serve` in processes of its own, and ways to look at it: what its tests and its benchmarks share."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from glam.client import Client, ServerError
from glam.local_server import free_port, group_lives

START_S = 120.0
DEADLINE_S = 20.0
"""Of a request at the servers of tests; far above what an answer takes, so that a 504 means a loss."""
ONE_CALLER = ("--limits.caller-share", "1")
"""For those who ask more at once, from one address and without keys, than one caller may."""
COMMAND = ("-m", "glam_serve.cli")
Kind = Literal["hub", "worker", "api"]


@dataclass(kw_only=True)
class RealServer:
    """A running `glam-serve`."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    options: tuple[str, ...] = field(default=())

    @property
    def client(self) -> Client:
        """A client that waits for longer than the server lets a request last."""
        return Client(url=f"http://127.0.0.1:{self.port}", timeout_s=DEADLINE_S + 10)

    def outcome(self, source: Path) -> int:
        """Status of a prediction; 0 when the connection was closed."""
        try:
            self.client.predict(cc=source, include=["findings"])
        except ServerError as error:
            return error.status
        return 200

    def metrics(self, **headers: str) -> dict[str, float]:
        """What /metrics says, by sample with its labels."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/metrics", headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        samples = [line.rpartition(" ") for line in lines if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in samples}

    def status(self, path: str) -> int:
        """Status of a GET; 0: no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def wait_until_ready(self, timeout_s: float = START_S) -> float:
        """Seconds until it takes requests."""
        return self.wait_for_status(200, timeout_s)

    def wait_for_status(self, status: int, timeout_s: float = START_S) -> float:
        """Seconds until /readyz has a status."""
        start = time.monotonic()
        while self.status("/readyz") != status:
            assert time.monotonic() - start < timeout_s, self.log.read_text()
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        return time.monotonic() - start

    def pids(self, kind: Kind) -> list[int]:
        """Pids of its processes of a kind that live and have begun."""
        every = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
        return sorted(pid for pid in every if self._is_of(pid, kind))

    def _is_of(self, pid: int, kind: Kind) -> bool:
        name, _, words = of_proc(pid, "stat").decode(errors="replace").rpartition(") ")
        match words.split():
            case [state, parent, *_]:
                return f"(glam-{kind}" in name and int(parent) == self.process.pid and state != "Z"
            case _:  # it has ended
                return False

    def connect(self) -> socket.socket:
        """A connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def rss(self) -> dict[int, int]:
        """Resident bytes of every process of the server."""
        pids = [self.process.pid, *self.pids("hub"), *self.pids("api"), *self.pids("worker")]
        pages = {pid: of_proc(pid, "statm").split() for pid in pids}
        return {pid: int(words[1]) * os.sysconf("SC_PAGESIZE") for pid, words in pages.items() if len(words) > 1}

    def cpu_s(self) -> dict[Kind, float]:
        """CPU seconds that its processes have taken, by kind; those of processes that ended are forgotten."""
        kinds: tuple[Kind, ...] = ("hub", "api", "worker")
        return {kind: sum(_cpu_s(pid) for pid in self.pids(kind)) for kind in kinds}


def of_proc(pid: int, name: str) -> bytes:
    """What proc(5) has of a process; nothing when it has ended."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _cpu_s(pid: int) -> float:
    """CPU time of a process, its ended threads included, in steps of nanoseconds."""
    try:  # clock_getcpuclockid(3), as Linux has it
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:  # it has ended
        return 0.0


Serve = Callable[..., RealServer]
"""Starts a server by its options, for as long as a test lasts or longer."""


def launch(
    bundle: Path, log: Path, *options: str, program: Sequence[str] = COMMAND, before: Callable[[], None] | None = None
) -> RealServer:
    """`glam-serve run` in a session of its own, not yet ready.

    `program`: what Python is told to run in place of it; `before`: a call in the new process before that.
    """
    port = free_port(0)
    command = [sys.executable, *program, "run", "--bundle", str(bundle), "--port", str(port), *options]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True, preexec_fn=before)
    return RealServer(process=process, port=port, log=log, options=options)


def start_server(
    bundle: Path, log: Path, *options: str, program: Sequence[str] = COMMAND, before: Callable[[], None] | None = None
) -> RealServer:
    """What `launch` starts, ready."""
    server = launch(bundle, log, *options, program=program, before=before)
    try:
        server.wait_until_ready()
    except BaseException:
        end(server)
        raise
    return server


def end(server: RealServer) -> None:
    """Make sure that no process of a server lives."""
    if group_lives(server.process.pid):
        os.killpg(server.process.pid, signal.SIGKILL)
    server.process.wait()


class Lasting:
    """Servers by their options, for many tests: one that still runs serves the next test too."""

    def __init__(self, bundle: Path, common: tuple[str, ...], new_folder: Callable[[], Path]) -> None:
        self.bundle = bundle
        self.common = common
        """Options of every server."""
        self.new_folder = new_folder
        """Makes a folder for a log."""
        self.every: list[RealServer] = []
        self._started: dict[tuple, RealServer] = {}

    def __call__(self, *options: str, **how: Any) -> RealServer:
        """Return a server that is ready, as `launched` makes it."""
        server = self.launched(*options, **how)
        server.wait_until_ready()
        return server

    def launched(
        self,
        *options: str,
        number: int = 0,
        program: Sequence[str] = COMMAND,
        before: Callable[[], None] | None = None,
    ) -> RealServer:
        """Return a server that is perhaps not ready yet: to start several at once takes less time.

        `number`: another one of the same options.
        """
        key = (options, number, program, before)
        server = self._started.get(key)
        if server is None or server.process.poll() is not None:
            log = self.new_folder() / "log"
            server = launch(self.bundle, log, *self.common, *options, program=program, before=before)
            self._started[key] = server
            self.every.append(server)
        return server

    def wait_until_ready(self) -> None:
        """Wait for every server that was launched."""
        for server in self.every:
            server.wait_until_ready()


@contextmanager
def running(bundle: Path, log: Path, *options: str) -> Iterator[RealServer]:
    """A server for as long as a block lasts."""
    server = start_server(bundle, log, *options)
    try:
        yield server
    finally:
        end(server)


def wait_until(is_so: Callable[[], bool], what: str, timeout_s: float) -> float:
    """Seconds until `is_so()` holds; AssertionError when that does not come."""
    start = time.monotonic()
    while not is_so():
        assert time.monotonic() - start < timeout_s, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - start
