"""The server around the model: the app, its routes and limits, and the processes that serve it."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from starlette.middleware import Middleware

from glam.bundle import Bundle
from glam.input_size import plain_size
from glam.predict import Interpreter
from glam.prediction import NOTICE
from glam.words.prompt_sets import packaged_sets, sets_in
from glam_serve.answers import Answered
from glam_serve.audit import AuditLog
from glam_serve.cache import ResultCache
from glam_serve.dispatch import DispatchServer
from glam_serve.errors import install_error_handlers
from glam_serve.guard import Guard
from glam_serve.keys import ApiKeys
from glam_serve.limits import Limits, ServerOptions, Workers
from glam_serve.metrics import make_metrics
from glam_serve.model_schema import ModelBody
from glam_serve.openapi import publish_schema
from glam_serve.records import Records
from glam_serve.routes import Answers, add_routes
from glam_serve.similar import store_json
from glam_serve.vitals import SharedLoad, Vitals
from glam_serve.worker import GlamAPI

if TYPE_CHECKING:
    from glam.store.search import StoreVectors

log = logging.getLogger(__name__)
Host = Literal["127.0.0.1", "0.0.0.0", "::"]
LOOPBACK: Host = "127.0.0.1"


def check_permission(bundle: Bundle, host: Host) -> None:
    """Refuse, with a ValueError, to offer on a network what its licence keeps on this machine."""
    if not bundle.may_serve and host != LOOPBACK:
        raise ValueError(f"{bundle.name} may not be served on a network (may_serve is false): use --host {LOOPBACK}")


def make_server(
    bundle: Bundle,
    *,
    limits: Limits,
    keys: ApiKeys | None = None,
    workers: Workers | None = None,
    host: Host | None = None,
    options: ServerOptions | None = None,
) -> DispatchServer:
    """Return a server of a bundle, not yet running; ValueError for limits that have no meaning.

    `host`: where it will listen; None: unknown, perhaps a network.
    """
    limits.check()
    workers, options = workers or Workers(), options or ServerOptions()
    vitals = Vitals(num_apis=workers.num_apis, num_workers=workers.num_workers)
    api = GlamAPI(bundle, vitals, workers, options.log_format)
    server = DispatchServer(
        api, vitals, make_metrics(), accelerator="cpu"
    )  # "auto" would import torch to look for a GPU
    app = server.app
    app.state.on_loopback = host == LOOPBACK
    app.title, app.version, app.description = "GLAM", bundle.version, f"{NOTICE[0].upper()}{NOTICE[1:]}."
    app.router.redirect_slashes = False  # a redirect would be no answer in the one shape, and to a name of the caller's
    app.router.routes[:] = []  # LitServe's own, and FastAPI's /docs, which loads scripts from a public network
    # Not LitServe's gzip, which holds the event loop for longer than a model may take.
    audit = None if options.audit is None else AuditLog(options.audit)
    app.state.records = Records(metrics=server.metrics, audit=audit, bundle=bundle.sha256)
    app.user_middleware[:] = [_guard(server, limits, keys, app.state.records)]
    install_error_handlers(app)
    cache = ResultCache[Answered](bundle.sha256, max_bytes=options.cache_mb << 20)
    sets = packaged_sets() | ({} if options.prompt_sets is None else sets_in(options.prompt_sets))
    interpreter = Interpreter(bundle)
    interpreter.warm_up()  # here, before the API processes are forked: they read no file of the bundle
    store = None if options.store is None else _opened(options.store, bundle)  # shared by the API processes
    answers = Answers(server, interpreter, limits=limits, cache=cache, prompt_sets=sets, store=store)
    add_routes(app, answers, model_body(bundle, on_loopback=app.state.on_loopback, store=store))
    publish_schema(app, asks_for_keys=bool(keys))
    return server


def _opened(path: Path, bundle: Bundle) -> "StoreVectors":
    """Read a store's vectors; StoreError where there is none, or another bundle made it."""
    from glam.store.index import searchable

    vectors, not_used = searchable(path)
    if not_used:
        log.warning(not_used)
    vectors.check_made_by(bundle.sha256, joint_dim=bundle.model.joint_dim)
    return vectors


def _guard(server: DispatchServer, limits: Limits, keys: ApiKeys | None, records: Records) -> Middleware:
    """Return the middleware around the app."""

    def load() -> SharedLoad:
        return SharedLoad(server.vitals, server.api_index)

    return Middleware(Guard, limits=limits, keys=keys or ApiKeys(), load=load, records=records)


def model_body(bundle: Bundle, *, on_loopback: bool, store: "StoreVectors | None" = None) -> ModelBody:
    """Return what `GET /v1/model` says; `on_loopback`: whether the server listens on the loopback interface only."""
    unshared: Literal["to this machine only", "withheld"] = "to this machine only" if on_loopback else "withheld"
    model = bundle.model
    return ModelBody(
        name=bundle.name,
        version=bundle.version,
        bundle=bundle.sha256,
        variant=bundle.variant,
        prepare_sha=bundle.prepare_sha,
        classes={task: list(names) for task, names in bundle.classes.items()},
        image_size=model.frame.size,
        frame=asdict(model.frame),
        grid=plain_size(model.vision.grid),
        compares_views=model.compares_views,
        side=model.alignment and model.alignment.side,
        pooling=model.alignment and model.alignment.pooling,
        keys=model.alignment and model.alignment.keys,
        joint_dim=model.joint_dim,
        calibrated=sorted(bundle.calibration),
        provenance=bundle.provenance,
        metrics=bundle.metrics,
        may_serve=bundle.may_serve,
        may_share=bundle.may_share,
        embeddings="sent" if bundle.may_share else unshared,
        store=None if store is None else store_json(store),
        notice=NOTICE,
    )
