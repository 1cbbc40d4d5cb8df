"""Servers that are started for a test, and of which no process is left after it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from glam.bundle import Bundle
from tests.samples.serving import DEADLINE_S, RealServer, Serve, end, launch

LIMITS = ("--threads", "1", "--limits.deadline-s", str(DEADLINE_S), "--limits.grace-s", "10")


@pytest.fixture
def serve(random_bundle: Bundle, tmp_path: Path) -> Iterator[Serve]:
    """Start servers; at the end none of their processes lives."""
    started: list[RealServer] = []

    def start(*options: str, bundle: Bundle = random_bundle, is_awaited: bool = True) -> RealServer:
        server = launch(bundle.folder, tmp_path / f"log-{len(started)}", *LIMITS, *options)
        started.append(server)
        if is_awaited:
            server.wait_until_ready()
        return server

    yield start
    for server in started:
        end(server)
