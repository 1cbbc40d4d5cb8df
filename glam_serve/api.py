"""The worker: a bundle's graphs behind LitServe's queue. It gets prepared squares and tokens, never a DICOM file."""

import logging
import os
import signal
import time
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
from glam.runtime import Runtime
from glam.words.tokens import Tokens
from glam_serve.limits import Workers
from glam_serve.log import log_to_stderr, where_raised
from glam_serve.vitals import CANNOT_LOAD, Vitals, beat_in_thread, die_with_parent

log = logging.getLogger(__name__)


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

    def __init__(self, bundle: Bundle, vitals: Vitals, workers: Workers) -> None:
        super().__init__(api_path="/predict", max_batch_size=workers.max_batch, batch_timeout=workers.batch_wait_s)
        self.folder: Path = bundle.folder
        self.sha256 = bundle.sha256
        self.variant = bundle.variant
        self.workers = workers
        self.vitals = vitals
        self.supervisor_pid = os.getpid()

    def setup(self, device: str) -> None:
        """Load the model, in the worker process; a bundle that cannot be loaded ends it with CANNOT_LOAD."""
        die_with_parent(self.supervisor_pid)
        for number in (signal.SIGINT, signal.SIGHUP):  # they reach every process: the supervisor ends this one
            signal.signal(number, signal.SIG_IGN)
        log_to_stderr()
        worker = int(os.environ["LITSERVE_WORKER_ID"])
        beat_in_thread(self.vitals, worker)
        try:
            self._load()
        except (BundleError, ValueError, OSError, ImportError) as error:
            log.error("%s", said(error))
            os._exit(CANNOT_LOAD)
        self.vitals.worker_ready[worker] = 1

    def _load(self) -> None:
        """Verify the bundle, and open every graph that a request may need."""
        bundle = read_bundle(self.folder)
        if bundle.sha256 != self.sha256:
            raise BundleError("bundle_changed", f"{self.folder} changed while the server ran: start it again")
        provider = self.workers.provider
        bundle = with_variant(bundle, self.variant, provider=provider)
        self.runtime = open_runtime(bundle, threads=self.workers.threads, provider=provider)
        self.runtime.warm_up()

    def batch(self, inputs: Sequence[ModelRequest]) -> list[ModelRequest]:
        """Keep requests as they are: their views run together in `predict`."""
        return list(inputs)

    def unbatch(self, output: list[Any]) -> list[Any]:
        """Return the answers, one a request."""
        return output

    def predict(self, x: Any, **_: object) -> Any:
        """Answer one request or a batch of them. A model that fails answers None, and hurts no other request."""
        if isinstance(x, ModelRequest):
            return self._answer_all([x])[0]
        return self._answer_all(x)

    def _answer_all(self, requests: Sequence[ModelRequest]) -> list[ModelAnswer | None]:
        """Run the views of all requests together; when that fails, each request by itself."""
        try:
            return list(answer_together(self.runtime, requests))
        except Exception as error:
            log.error("the model failed: %s", where_raised(error))
        if len(requests) == 1:
            return [None]
        return [self._answer_all([request])[0] for request in requests]
