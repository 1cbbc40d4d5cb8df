"""The worker: a bundle and its runtime behind LitServe's queue. It gets prepared squares, never a DICOM file."""

import json
import logging
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import litserve
from starlette.responses import Response

from glam.bundle import Bundle, BundleError, read_bundle
from glam.cli import said
from glam.findings import InputError
from glam.licence import withheld_embeddings
from glam.loading import open_runtime
from glam.pair import PreparedBreast
from glam.predict import Predictor
from glam_serve.errors import Refusal, input_error_response
from glam_serve.log import log_to_stderr, where_raised
from glam_serve.sharing import ASK_DIRECTLY
from glam_serve.vitals import CANNOT_LOAD, Vitals, beat_in_thread, die_with_parent

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PredictRequest:
    """What a worker is asked: a prepared breast, and which parts of the answer to send."""

    breast: PreparedBreast
    include: frozenset[str]
    stays_here: bool = False
    """Whether it is known that the answer does not leave this machine."""


class GlamAPI(litserve.LitAPI):
    """One worker: a bundle and its runtime."""

    def __init__(self, bundle: Bundle, vitals: Vitals, *, threads: int | None, provider: str) -> None:
        super().__init__(api_path="/predict")
        self.folder: Path = bundle.folder
        self.sha256 = bundle.sha256
        self.threads = threads
        self.provider = provider
        self.vitals = vitals
        self.supervisor_pid = os.getpid()

    def setup(self, device: str) -> None:
        """Load the model, in the worker process."""
        die_with_parent(self.supervisor_pid)
        for number in (signal.SIGINT, signal.SIGHUP):  # they reach every process: the supervisor ends this one
            signal.signal(number, signal.SIG_IGN)
        log_to_stderr()
        worker = int(os.environ["LITSERVE_WORKER_ID"])
        beat_in_thread(self.vitals, worker)
        try:
            self.predictor = self._load()
        except (BundleError, ValueError, OSError) as error:
            log.error("%s", said(error))
            os._exit(CANNOT_LOAD)
        self.vitals.worker_ready[worker] = 1

    def _load(self) -> Predictor:
        bundle = read_bundle(self.folder)
        if bundle.sha256 != self.sha256:
            raise BundleError("bundle_changed", f"{self.folder} changed while the server ran: start it again")
        runtime = open_runtime(bundle, threads=self.threads, provider=self.provider)
        return Predictor(bundle, runtime, withholds=True)

    def predict(self, x: PredictRequest, **_: object) -> Response:
        """Return the whole answer; a failure of the model is an answer too, so that it cannot hurt another request."""
        try:
            return self._answer(x)
        except InputError as error:  # a prompt that only the tokenizer finds too long
            return input_error_response(error)
        except Exception as error:
            log.error("the model failed: %s", where_raised(error))
            return Refusal("internal_error").response()

    def _answer(self, request: PredictRequest) -> Response:
        withheld = withheld_embeddings(
            may_share=self.predictor.bundle.may_share, stays_here=request.stays_here, way_out=ASK_DIRECTLY
        )
        answer = self.predictor.answer(request.breast).as_json(request.include, withheld=withheld)
        return Response(json.dumps(answer, allow_nan=False), media_type="application/json")
