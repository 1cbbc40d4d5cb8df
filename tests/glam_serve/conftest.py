"""Servers that are started for a test, and of which no process is left after it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glam.bundle import Bundle
from glam.predict import Predictor
from tests.samples.served import SECRET, Served, serve_in_process
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


@pytest.fixture(scope="module")
def client(random_bundle: Bundle, predictor: Predictor) -> Served:
    return serve_in_process(random_bundle, predictor)


@pytest.fixture
def kept(kept_bundle: Bundle, predictor: Predictor) -> Served:
    """One whose embeddings stay on this machine."""
    return serve_in_process(kept_bundle, predictor, host="127.0.0.1")


@pytest.fixture(scope="module")
def files(mammograms: dict[str, Path]) -> Callable[..., list]:
    """A function: field=name of a mammogram -> the files of a form."""

    def form(*images: str, **views: str) -> list:
        named = [*(("images", name) for name in images), *views.items()]
        return [(field, (f"{SECRET}.dcm", mammograms[name].read_bytes())) for field, name in named]

    return form
