"""Servers that are started for a test, and of which no process is left after it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from glam.bundle import Bundle
from glam.predict import Predictor
from glam_serve.cohort.run_command import Run
from glam_serve.limits import Limits
from glam_serve.server import make_server
from tests.samples.cohorts import EXAMS
from tests.samples.forms import Form, form
from tests.samples.served import SECRET, Served, serve_in_process
from tests.samples.serving import DEADLINE_S, Lasting, RealServer, Serve, end, launch

LIMITS = ("--threads", "1", "--limits.deadline-s", str(DEADLINE_S), "--limits.grace-s", "10")


@contextmanager
def servers(bundle: Bundle, folder: Path) -> Iterator[Serve]:
    """What starts servers, with their logs in a folder; at the end none of their processes lives."""
    started: list[RealServer] = []

    def start(*options: str, bundle: Bundle = bundle, is_awaited: bool = True) -> RealServer:
        server = launch(bundle.folder, folder / f"log-{len(started)}", *LIMITS, *options)
        started.append(server)
        if is_awaited:
            server.wait_until_ready()
        return server

    try:
        yield start
    finally:
        for server in started:
            end(server)


@pytest.fixture
def serve(random_bundle: Bundle, tmp_path: Path) -> Iterator[Serve]:
    """Start servers, for a test."""
    with servers(random_bundle, tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def serve_a_file(random_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Start servers, for the tests of a file, which leave them as they were."""
    with servers(random_bundle, tmp_path_factory.mktemp("servers")) as start:
        yield start


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


@pytest.fixture(scope="module")
def bare(random_bundle: Bundle) -> TestClient:
    """The app without its worker: whatever reaches the queue fails, and nothing should."""
    server = make_server(random_bundle, limits=Limits(max_upload_mb=1))
    return TestClient(server.app, raise_server_exceptions=False)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the server's own logger writes."""
    logger = logging.getLogger("glam_serve")
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO, "glam_serve")
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture(scope="module")
def lasting(random_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lasting]:
    """Servers that last for the tests of a file; at the end none lives."""
    servers = Lasting(random_bundle.folder, LIMITS, lambda: tmp_path_factory.mktemp("server"))
    yield servers
    for server in servers.every:
        end(server)
    for server in servers.every:
        assert "Traceback" not in server.log.read_text()


@pytest.fixture(scope="module")
def question(mammograms: dict[str, Path]) -> Form:
    return form({"cc": mammograms["L_CC"].read_bytes()}, {"include": "findings"})


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three exams with its manifest."""
    from glam.phantom.exam import write_exams

    folder = tmp_path_factory.mktemp("cohort")
    write_exams(folder, num_exams=EXAMS, seed=5)
    return folder


@pytest.fixture(scope="session")
def whole(phantoms: Path, random_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of all phantoms, a breast a row, two items a shard; made without an interruption."""
    store = tmp_path_factory.mktemp("stores") / "whole"
    assert Run(manifest=phantoms / "manifest.csv", out=store, bundle=random_bundle.folder, shard_size=2).run() == 0
    return store


@pytest.fixture
def embed(random_bundle: Bundle) -> Callable[..., int]:
    """Run a cohort, two items a shard."""

    def call(manifest: Path, store: Path, **options: Any) -> int:
        return Run(manifest=manifest, out=store, **({"bundle": random_bundle.folder, "shard_size": 2} | options)).run()

    return call
