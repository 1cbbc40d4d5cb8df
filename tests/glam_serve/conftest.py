"""Servers that are started for a test, and of which no process is left after it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glam.bundle import Bundle
from glam_serve.local import free_port, group_lives
from tests.samples.servers import DEADLINE_S, Server


@pytest.fixture
def serve(random_bundle: Bundle, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers; at the end none of their processes lives."""
    started: list[Server] = []

    def start(*options: str, bundle: Bundle = random_bundle, before: Callable[[], None] | None = None) -> Server:
        port, log = free_port(0), tmp_path / f"log-{len(started)}"
        command = [sys.executable, "-m", "glam_serve.cli", "run", "--bundle", str(bundle.folder)]
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
