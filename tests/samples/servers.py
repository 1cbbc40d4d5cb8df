"""A real `glam-serve` in processes of its own, and ways to look at it and to ask it."""

import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from glam.client import Client, ServerError

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

    def metrics(self, **headers: str) -> dict[str, float]:
        """What /metrics says, by sample with its labels."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/metrics", headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        samples = [line.rpartition(" ") for line in lines if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in samples}

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)


def given_options(words: list[str]) -> dict[str, str]:
    """Options of a command line written as --name=value."""
    return dict(word.split("=", 1) for word in words if word.startswith("--") and "=" in word)
