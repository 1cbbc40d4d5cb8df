"""The server's paths: each turns a request into a question to a worker, and its answer into a response."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request, Response

from glam.findings import input_error
from glam.prediction import DEFAULT_INCLUDE, INCLUDES, check_include
from glam_serve.api import PredictRequest
from glam_serve.dispatch import DispatchServer, WorkerLostError
from glam_serve.errors import Refusal
from glam_serve.schema import ModelBody, StatusBody
from glam_serve.sharing import stays_here
from glam_serve.uploads import UploadReader, read_form


def add_routes(server: DispatchServer, model: ModelBody, reader: UploadReader, *, deadline_s: float) -> None:
    """Put this server's paths into its app."""
    app = server.app
    _add_probes(app, server, model)

    @app.post("/predict", operation_id="predict", summary="What the model says of one breast")
    async def predict(request: Request) -> Response:
        fields = await read_form(request)
        include = parse_include(fields.include)
        breast = await reader.prepare(fields)
        question = PredictRequest(breast=breast, include=include, stays_here=stays_here(request))
        return await ask(server, question, deadline_s=deadline_s)


async def ask(server: DispatchServer, question: Any, *, deadline_s: float) -> Response:
    """Return a worker's answer, or 504 and 503 for none."""
    try:
        return await server.ask(question, timeout_s=deadline_s)
    except TimeoutError:
        raise Refusal("timed_out") from None
    except WorkerLostError:
        raise Refusal("worker_lost", {"retry-after": "2"}) from None


def parse_include(include: Sequence[str] | None) -> frozenset[str]:
    """Return the parts of an answer that the fields name; the usual ones when there are no fields."""
    if include is None:
        return frozenset(DEFAULT_INCLUDE)
    names = [name.strip() for field in include for name in field.split(",") if name.strip()]
    try:
        return check_include(names)
    except ValueError:
        raise input_error("bad_include", "include", names=", ".join(INCLUDES)) from None


def _add_probes(app: FastAPI, server: DispatchServer, model: ModelBody) -> None:
    @app.get("/livez", summary="Whether the server lives")
    async def livez() -> StatusBody:
        return StatusBody(status="alive")

    @app.get("/readyz", summary="Whether the model is loaded")
    def readyz() -> StatusBody:
        if not server.is_ready:
            raise Refusal("not_ready", {"retry-after": "2"})
        return StatusBody(status="ready")

    @app.get("/v1/model", summary="What answers here")
    async def describe_model() -> ModelBody:
        return model
