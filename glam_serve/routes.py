"""The server's paths: a request becomes a question to a worker, and its vectors an answer."""

import json
import time
from collections.abc import Mapping, Sequence

import anyio
import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

from glam.exam import ExamPrediction, exam_prediction
from glam.findings import Finding, input_error
from glam.licence import withheld_embeddings
from glam.pair import PreparedBreast
from glam.predict import Interpreter
from glam.prediction import DEFAULT_INCLUDE, INCLUDES, Prediction, check_include
from glam.view import Side
from glam_serve.account import add_seconds, codes_of, current_account, note_codes, timed
from glam_serve.api import ModelAnswer, ModelRequest, Unanswered
from glam_serve.cache import ResultCache
from glam_serve.dispatch import DispatchServer, WorkerLostError
from glam_serve.errors import Refusal
from glam_serve.metrics import exposition
from glam_serve.schema import ModelBody, StatusBody
from glam_serve.sharing import ASK_DIRECTLY, stays_here
from glam_serve.uploads import FormFields, UploadReader, read_form


class Answers:
    """Answers to forms: files are read here, the model runs in a worker, and its vectors are interpreted here."""

    def __init__(
        self, server: DispatchServer, interpreter: Interpreter, *, deadline_s: float, cache: ResultCache
    ) -> None:
        self.server = server
        self.interpreter = interpreter
        self.reader = UploadReader(interpreter.bundle.model.frame)
        self.deadline_s = deadline_s
        self.cache = cache

    async def predict(self, request: Request) -> Response:
        """Answer for one breast, or for an exam where `images` were sent."""
        try:
            fields = await read_form(request)
            include = parse_include(fields.include)
            prediction = await self._predict(fields)
        finally:
            await request.close()  # the uploads in the temporary folder
        note_codes(codes_of(prediction))
        withheld = self.withheld(request)
        return await anyio.to_thread.run_sync(_json_response, prediction, include, withheld)

    async def _predict(self, fields: FormFields) -> Prediction | ExamPrediction:
        """Return the answer of an earlier request with the same content, or a new one."""
        key = await self.cache.key(fields)
        prediction = self.cache.find(key)
        if prediction is None:
            prediction = await (self._exam(fields) if fields.images else self._breast(fields))
            self.cache.keep(key, prediction)
        return prediction

    async def ask(self, request: ModelRequest) -> ModelAnswer:
        """Return what the model says; a Refusal where no answer comes."""
        start = time.perf_counter()
        try:
            answer = await self.server.ask(request, timeout_s=self.deadline_s)
        except TimeoutError:
            raise Refusal("timed_out") from None
        except WorkerLostError:
            raise Refusal("worker_lost", {"retry-after": "2"}) from None
        if answer is None:
            raise Refusal("internal_error")
        if isinstance(answer, Unanswered):
            raise Refusal(answer.code, {"retry-after": "2"})
        add_seconds("model", answer.model_s)
        add_seconds("wait", max(0.0, time.perf_counter() - start - answer.model_s))
        return answer

    def withheld(self, request: Request) -> Finding | None:
        """Return why this request may get no embedding; None: it may."""
        return withheld_embeddings(
            may_share=self.interpreter.bundle.may_share, stays_here=stays_here(request), way_out=ASK_DIRECTLY
        )

    async def _breast(self, fields: FormFields) -> Prediction:
        breast = await self.reader.breast(fields)
        answer, prompts = await self._run([breast])
        with timed("answer"):
            return self.interpreter.prediction(breast, answer.breasts[0], prompts)

    async def _exam(self, fields: FormFields) -> ExamPrediction:
        exam = await self.reader.exam(fields)
        answer, prompts = await self._run(list(exam.breasts.values()))
        predictions: dict[Side, Prediction] = {
            side: self.interpreter.prediction(breast, vectors, prompts)
            for (side, breast), vectors in zip(exam.breasts.items(), answer.breasts, strict=True)
        }
        return exam_prediction(exam, predictions)

    async def _run(self, breasts: Sequence[PreparedBreast]) -> tuple[ModelAnswer, Mapping[str, np.ndarray]]:
        """Run the model on breasts of the same prompts; the second value holds the prompts' vectors."""
        prompts = breasts[0].prompts
        tokens = self.interpreter.tokens(prompts) if prompts else None
        answer = await self.ask(ModelRequest(breasts=tuple(breast.squares for breast in breasts), tokens=tokens))
        return answer, {} if answer.texts is None else dict(zip(prompts, answer.texts, strict=True))


def add_routes(app: FastAPI, answers: Answers, model: ModelBody) -> None:
    """Put this server's paths into its app."""

    @app.get("/livez", summary="Whether the server lives")
    async def livez() -> StatusBody:
        return StatusBody(status="alive")

    @app.get("/readyz", summary="Whether the model is loaded")
    async def readyz() -> StatusBody:
        if not answers.server.is_ready:
            raise Refusal("not_ready", {"retry-after": "2"})
        return StatusBody(status="ready")

    @app.get("/metrics", summary="What Prometheus asks for", response_class=PlainTextResponse)
    def metrics() -> Response:
        version = {"bundle": model.bundle, "name": model.name, "version": model.version}
        text, media_type = exposition(answers.server.metrics, answers.server.vitals, version=version)
        return Response(text, headers={"content-type": media_type})

    @app.get("/v1/model", summary="What answers here")
    async def describe_model() -> ModelBody:
        return model

    for path in ("/predict", "/predict/", "/v1/predict", "/v1/predict/"):
        app.add_api_route(
            path,
            answers.predict,
            methods=["POST"],
            operation_id="predict",
            summary="What the model says of one breast, or of an exam",
            include_in_schema=path == "/predict",
        )


def parse_include(include: Sequence[str] | None) -> frozenset[str]:
    """Return the parts of an answer that the fields name; the usual ones when there are no fields."""
    if include is None:
        return frozenset(DEFAULT_INCLUDE)
    names = [name.strip() for field in include for name in field.split(",") if name.strip()]
    try:
        return check_include(names)
    except ValueError:
        raise input_error("bad_include", "include", names=", ".join(INCLUDES)) from None


def _json_response(
    prediction: Prediction | ExamPrediction, include: frozenset[str], withheld: Finding | None
) -> Response:
    with timed("answer"):
        answer = prediction.as_json(include, withheld=withheld)
    answer["timings_ms"] = current_account().milliseconds()
    return Response(json.dumps(answer, allow_nan=False), media_type="application/json")
