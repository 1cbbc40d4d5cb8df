"""The worker: a bundle's graphs behind LitServe's queue. It gets prepared squares and tokens, never a DICOM file."""

import logging
import os
import threading
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import litserve
import numpy as np

from glam.bundle import Bundle, BundleError, read_bundle
from glam.cli import said
from glam.engine import BreastVectors, Squares, run_breasts
from glam.loading import open_runtime, with_variant
from glam.runtime import EngineUnavailableError, Runtime
from glam.triton.runtime import TritonRuntime
from glam.words.tokens import Tokens
from glam_serve.limits import Workers
from glam_serve.log import LogFormat, log_to_stderr, where_raised
from glam_serve.metrics import Metrics, make_metrics
from glam_serve.vitals import CANNOT_LOAD, Vitals, beat_in_thread

log = logging.getLogger(__name__)

ENGINE_WATCH_S = 0.5
"""Pause between two questions whether an engine outside this process is ready."""


@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """What a worker is asked: to run breasts, to embed texts, or both."""

    breasts: tuple[Squares, ...] = ()
    tokens: Tokens | None = None


@dataclass(frozen=True, kw_only=True)
class ModelAnswer:
    """What the model says; None in place of it when it failed."""

    breasts: tuple[BreastVectors, ...]
    texts: np.ndarray | None
    """(text, joint), unit length."""
    model_s: float = 0.0
    """Time of the model, of the whole batch that the request was part of."""
    batch_views: int = 0
    """Views in that batch."""


@dataclass(frozen=True, kw_only=True)
class Unanswered:
    """What a worker says in place of an answer that may come later: a code of `glam_serve.errors.FAULTS`."""

    code: str


def answer_together(runtime: Runtime, requests: Sequence[ModelRequest]) -> list[ModelAnswer]:
    """Run the views of several requests as one batch, and the texts of each."""
    start = time.perf_counter()
    squares = [breast for request in requests for breast in request.breasts]
    vectors = iter(run_breasts(runtime, squares))
    texts = [request.tokens and runtime.text(request.tokens.ids, request.tokens.mask) for request in requests]
    took_s = time.perf_counter() - start
    return [
        ModelAnswer(
            breasts=tuple(islice(vectors, len(request.breasts))),
            texts=embedded,
            model_s=took_s,
            batch_views=sum(map(len, squares)),
        )
        for request, embedded in zip(requests, texts, strict=True)
    ]


class GlamAPI(litserve.LitAPI):
    """One worker: a bundle and its runtime."""

    def __init__(self, bundle: Bundle, vitals: Vitals, workers: Workers, log_format: LogFormat = "text") -> None:
        with warnings.catch_warnings(action="ignore"):  # `batch` is there, used or not
            super().__init__(api_path="/predict", max_batch_size=workers.max_batch, batch_timeout=workers.batch_wait_s)
        self.folder: Path = bundle.folder
        self.sha256 = bundle.sha256
        self.variant = bundle.variant
        self.workers = workers
        self.vitals = vitals
        self.log_format: LogFormat = log_format
        self.metrics: Metrics | None = None  # of the worker's own process

    def setup(self, device: str) -> None:
        """Load the model, in the worker process; a bundle that cannot be loaded ends it with CANNOT_LOAD."""
        log_to_stderr(self.log_format)
        worker = int(os.environ["LITSERVE_WORKER_ID"])
        beat_in_thread(self.vitals, worker)
        try:
            self._load()
        except (BundleError, ValueError, OSError, ImportError) as error:
            log.error("%s", said(error))
            os._exit(CANNOT_LOAD)
        if isinstance(self.runtime, TritonRuntime):
            watch_in_thread(self.runtime, self.vitals, worker)
        else:
            self.vitals.worker_ready[worker] = 1

    def _load(self) -> None:
        """Verify the bundle, and open every graph that a request may need."""
        bundle = read_bundle(self.folder)
        if bundle.sha256 != self.sha256:
            raise BundleError("bundle_changed", f"{self.folder} changed while the server ran: start it again")
        workers = self.workers
        bundle = with_variant(bundle, self.variant, provider=workers.provider)
        self.runtime = open_runtime(
            bundle, workers.runtime, threads=workers.threads, provider=workers.provider, url=workers.triton_url
        )
        try:
            self.runtime.warm_up()
        except EngineUnavailableError as error:  # it may start later than this server
            log.error("%s", said(error))
        self.metrics = make_metrics()

    # LitServe's own `batch` keeps a list of requests as it is: their views run together in `predict`.
    def unbatch(self, output: list[Any]) -> list[Any]:
        """Return the answers, one a request."""
        return output

    def predict(self, x: Any, **_: object) -> Any:
        """Answer one request or a batch of them. A model that fails answers None, and hurts no other request."""
        if isinstance(x, ModelRequest):
            return self._answer_all([x])[0]
        return self._answer_all(x)

    def _answer_all(self, requests: Sequence[ModelRequest]) -> list[ModelAnswer | Unanswered | None]:
        """Run the views of all requests together; when that fails, each request by itself."""
        try:
            answers = answer_together(self.runtime, requests)
        except EngineUnavailableError as error:
            log.error("%s", said(error))
            return [Unanswered(code=error.code) for _ in requests]
        except Exception as error:
            log.error("the model failed: %s", where_raised(error))
        else:
            if self.metrics and answers[0].batch_views:  # 0: they were texts alone
                self.metrics.batch_size.observe(answers[0].batch_views)
            return list(answers)
        if len(requests) == 1:
            return [None]
        return [self._answer_all([request])[0] for request in requests]


def watch_in_thread(runtime: TritonRuntime, vitals: Vitals, worker: int) -> None:
    """Say of a worker that it is ready only while its Triton is, for as long as its interpreter runs."""

    def watch() -> None:
        while True:
            vitals.worker_ready[worker] = runtime.is_ready()
            time.sleep(ENGINE_WATCH_S)

    threading.Thread(target=watch, daemon=True, name="engine watch").start()
