"""Servers in one process: the model answers in place of a worker, a Hub in place of its process."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import numpy as np
from starlette.testclient import TestClient

from glam.bundle import Bundle
from glam.predict import Predictor
from glam_serve.dispatch import DispatchServer
from glam_serve.hub import Hub
from glam_serve.limits import Limits
from glam_serve.schema import ErrorBody
from glam_serve.server import make_server
from glam_serve.worker import ModelAnswer, ModelRequest, answer_together

SECRET = "DOE^JANE"
"""Stands in the name of every file that is sent; no answer may hold it."""
CLASSES = {"no": ["No mass is present", "Negative"], "yes": ["A mass is present"]}
PROXY = {"via": "1.1 proxy"}
"""Headers of a request from another machine."""


class Served(TestClient):
    """A client of an app, and what its model was asked."""

    server: DispatchServer
    asked: list[ModelRequest]


def serve_in_process(bundle: Bundle, predictor: Predictor, **options) -> Served:
    """Return a client of a server that has no other process; what it answers comes from the Predictor's runtime."""
    server = make_server(bundle, limits=Limits(), **options)
    server._hub = Hub(1, 1)
    asked: list[ModelRequest] = []

    async def ask(payload: ModelRequest, *, timeout_s: float) -> ModelAnswer:
        asked.append(payload)
        return answer_together(predictor.runtime, [payload])[0]

    @asynccontextmanager
    async def without_workers(_: object) -> AsyncIterator[None]:
        yield

    server.ask = ask
    server.app.router.lifespan_context = without_workers
    client = Served(server.app, raise_server_exceptions=False, base_url="http://127.0.0.1", client=("127.0.0.1", 1))
    client.server, client.asked = server, asked
    return client


def error_of(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, code and field of a refusal that repeats nothing of what was sent."""
    ErrorBody.model_validate(answer.json())
    assert answer.headers["content-type"] == "application/json"
    assert sorted(answer.json()) == ["code", "message", "where"]
    assert SECRET not in answer.text
    return answer.status_code, answer.json()["code"], answer.json()["where"]


def dcm(path: Path) -> tuple[str, bytes]:
    """Name and content of a file of a form; the name is a secret."""
    return (f"{SECRET}.dcm", path.read_bytes())


def arrays_of(answer: httpx.Response) -> dict[str, np.ndarray]:
    """The arrays of an answer as .npz."""
    assert answer.headers["content-type"] == "application/x-npz"
    with np.load(io.BytesIO(answer.content), allow_pickle=False) as arrays:
        return dict(arrays)
