"""The server around the model: routes, limits, and a clean end."""

import logging
import multiprocessing
import os
import signal
import sys
from typing import Any, Literal

import litserve
from fastapi import FastAPI, HTTPException
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from litserve.utils import WorkerSetupStatus

from glam.bundle import Bundle
from glam.prediction import NOTICE
from glam_serve.api import GlamAPI, UploadReader
from glam_serve.errors import install_error_handlers
from glam_serve.guard import Guard
from glam_serve.log import log_to_stderr
from glam_serve.schema import ErrorBody, ModelBody, StatusBody

log = logging.getLogger(__name__)

Host = Literal["127.0.0.1", "0.0.0.0", "::"]
LOOPBACK: Host = "127.0.0.1"
FOREIGN_PATHS = ("/", "/health", "/info", "/docs", "/docs/oauth2-redirect", "/redoc")
"""Routes of the frameworks that are no part of this server; their /docs loads scripts from a public network."""


class GlamServer(litserve.LitServer):
    """LitServe with this server's log."""

    def launch_inference_worker(self, lit_api: litserve.LitAPI) -> list[Any]:
        """Start the workers; `run` has just pointed LitServe's log to stdout, traces and all."""
        log_to_stderr()
        return super().launch_inference_worker(lit_api)

    @property
    def is_ready(self) -> bool:
        """Whether every worker has loaded the model."""
        states = getattr(self, "workers_setup_status", {}).values()
        return bool(states) and all(state == WorkerSetupStatus.READY for state in states)


def check_permission(bundle: Bundle, host: Host) -> None:
    """Refuse, with a ValueError, to offer on a network what its licence keeps on this machine."""
    if not bundle.may_serve and host != LOOPBACK:
        raise ValueError(f"{bundle.name} may not be served on a network (may_serve is false): use --host {LOOPBACK}")


def make_server(
    bundle: Bundle, *, threads: int | None, provider: str, max_upload_mb: int, host: Host | None = None
) -> GlamServer:
    """Return a server of a bundle, not yet running. `host`: where it will listen; None: unknown, perhaps a network."""
    api = GlamAPI(bundle, threads=threads, provider=provider)
    guard = (Guard, {"max_bytes": max_upload_mb << 20})
    server = GlamServer(api, accelerator="cpu", middlewares=[guard])  # "auto" would import torch to look for a GPU
    app = server.app
    app.state.upload_reader = UploadReader(bundle.model.frame)
    app.state.on_loopback = host == LOOPBACK
    app.router.redirect_slashes = (
        False  # a redirect would be an answer without the one shape, to a name of the caller's
    )
    app.title, app.version, app.description = "GLAM", bundle.version, f"{NOTICE[0].upper()}{NOTICE[1:]}."
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", "") not in FOREIGN_PATHS]
    for route in app.router.routes:
        if isinstance(route, APIRoute) and route.path == api.api_path:
            route.summary, route.operation_id = "What the model says of one breast", "predict"
    install_error_handlers(app)
    _add_routes(server, model_body(bundle, on_loopback=app.state.on_loopback))
    _publish_errors(app)
    return server


def run_server(server: GlamServer, *, host: Host, port: int) -> None:
    """Serve until SIGTERM or Ctrl-C, answer what is under way, and leave no process behind."""
    _stop_on_sigterm()
    log_to_stderr()
    log.info("serving on http://%s:%d", host, port)
    try:
        server.run(
            host=host,
            port=port,
            num_api_servers=1,
            generate_client_file=False,
            log_level="warning",
            access_log=False,
        )
    except KeyboardInterrupt:
        log.info("stopped while starting")
    finally:
        for process in multiprocessing.active_children():
            process.terminate()


def model_body(bundle: Bundle, *, on_loopback: bool) -> ModelBody:
    """Return what `GET /v1/model` says; `on_loopback`: whether the server listens on the loopback interface only."""
    unshared: Literal["to this machine only", "withheld"] = "to this machine only" if on_loopback else "withheld"
    model = bundle.model
    return ModelBody(
        name=bundle.name,
        version=bundle.version,
        bundle=bundle.sha256,
        prepare_sha=bundle.prepare_sha,
        classes={task: list(names) for task, names in bundle.classes.items()},
        image_size=model.frame.size,
        grid=model.vision.grid,
        side=model.alignment.side,
        pooling=model.alignment.pooling,
        joint_dim=model.joint_dim,
        calibrated=sorted(bundle.calibration),
        provenance=bundle.provenance,
        metrics=bundle.metrics,
        may_serve=bundle.may_serve,
        may_share=bundle.may_share,
        embeddings="sent" if bundle.may_share else unshared,
        notice=NOTICE,
    )


def _add_routes(server: GlamServer, model: ModelBody) -> None:
    app = server.app

    @app.get("/livez", summary="Whether the server lives")
    async def livez() -> StatusBody:
        return StatusBody(status="alive")

    @app.get("/readyz", summary="Whether the model is loaded")
    def readyz() -> StatusBody:
        if not server.is_ready:
            raise HTTPException(503)
        return StatusBody(status="ready")

    @app.get("/v1/model", summary="What answers here")
    async def describe_model() -> ModelBody:
        return model


def _publish_errors(app: FastAPI) -> None:
    """Name the one error shape in the published schema, in place of FastAPI's own."""

    def openapi() -> dict[str, Any]:
        """Return the schema, made when it is first asked for."""
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            schemas = schema["components"]["schemas"]
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            schemas["ErrorBody"] = ErrorBody.model_json_schema()
            error = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}}
            for path in schema["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
                    operation["responses"]["default"] = {"description": "Any error", "content": error}
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi


def _stop_on_sigterm() -> None:
    """Let SIGTERM end this process as Ctrl-C does; LitServe alone would die at once and leave its children."""
    parent = os.getpid()

    def stop(*_: object) -> None:
        if os.getpid() == parent:
            raise KeyboardInterrupt
        sys.exit()  # the API process, forked with this handler, has answered what was under way

    signal.signal(signal.SIGTERM, stop)
