"""The server's paths."""

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

from glam_serve.account import codes_of, note_codes
from glam_serve.answers import Answers, parse_include
from glam_serve.docs_page import docs_page
from glam_serve.errors import Refusal
from glam_serve.jobs import JobRunner
from glam_serve.metrics import exposition
from glam_serve.model_schema import ModelBody
from glam_serve.openapi import FORMS, JSON_BODIES, response_of
from glam_serve.replies import prediction_reply
from glam_serve.schema import AliveBody, ExamBody, JobBody, PredictionBody, ReadyBody
from glam_serve.similar import SimilarCases
from glam_serve.vector_routes import VectorAnswers
from glam_serve.vector_schema import EmbeddedImagesBody, EmbeddedTextsBody, SimilarBody, ZeroShotBody

__all__ = ["Answers", "add_routes", "parse_include"]


def add_routes(app: FastAPI, answers: Answers, model: ModelBody) -> None:
    """Put this server's paths into its app."""
    _add_status_routes(app, answers, model)
    _add_predict_routes(app, answers)
    _add_job_routes(app, JobRunner(answers))
    _add_vector_routes(app, VectorAnswers(answers))


def _add_status_routes(app: FastAPI, answers: Answers, model: ModelBody) -> None:
    @app.get("/livez", summary="Whether the server lives")
    async def livez() -> AliveBody:
        return AliveBody(status="alive")

    @app.get("/readyz", summary="Whether the model is loaded")
    async def readyz() -> ReadyBody:
        vitals = answers.server.vitals
        if not (num_ready := vitals.num_ready()):
            raise Refusal("not_ready")
        return ReadyBody(status="ready", workers_ready=num_ready, workers=vitals.num_workers)

    @app.get("/metrics", summary="What Prometheus asks for", response_class=PlainTextResponse)
    def metrics() -> Response:
        version = {"bundle": model.bundle, "name": model.name, "version": model.version}
        text, media_type = exposition(answers.server.metrics, answers.server.vitals, version=version)
        return Response(text, headers={"content-type": media_type})

    @app.get("/v1/model", summary="What answers here")
    async def describe_model() -> ModelBody:
        return model

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> dict[str, Any]:
        return app.openapi()

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return Response(docs_page(app.openapi()), media_type="text/html; charset=utf-8")


def _add_predict_routes(app: FastAPI, answers: Answers) -> None:
    async def predict(request: Request) -> Response:
        """One breast by `cc` and `mlo`, or a whole exam by `images`. `Accept: application/x-npz`: unrounded arrays."""
        question = await answers.question(request)
        answered = await answers.predict(question)
        prediction = answered.prediction
        note_codes(codes_of(prediction))
        result_id = await answers.keep(answered)
        withheld = answers.withheld(request)
        return await prediction_reply(request, question, prediction, withheld=withheld, result_id=result_id)

    for path in ("/predict", "/predict/", "/v1/predict", "/v1/predict/"):
        app.add_api_route(
            path,
            predict,
            methods=["POST"],
            operation_id="predict",
            summary="What the model says of one breast, or of an exam",
            responses=response_of(PredictionBody | ExamBody, npz=True),
            openapi_extra=FORMS["PredictForm"],
            include_in_schema=path == "/predict",
        )


def _add_job_routes(app: FastAPI, jobs: JobRunner) -> None:
    @app.post(
        "/v1/jobs",
        operation_id="submit_job",
        summary="Take a form of /predict, to be answered in the background",
        status_code=202,
        responses=response_of(JobBody, status=202),
        openapi_extra=FORMS["PredictForm"],
    )
    async def submit(request: Request) -> Response:
        return await jobs.submit(request)

    @app.get(
        "/v1/jobs/{job_id}",
        operation_id="get_job",
        summary="How far a job is, and its answer",
        responses=response_of(JobBody, npz=True),
    )
    async def look(request: Request, job_id: str) -> Response:
        """JSON; with `Accept: application/x-npz` the answer of a job that is done, as /predict would have sent it."""
        return await jobs.look(request, job_id)

    @app.delete("/v1/jobs/{job_id}", operation_id="delete_job", summary="Forget a job and its answer", status_code=204)
    async def forget(job_id: str) -> Response:
        return await jobs.forget(job_id)


def _add_vector_routes(app: FastAPI, vectors: VectorAnswers) -> None:
    cases = SimilarCases(vectors)

    @app.post(
        "/v1/embed/image",
        operation_id="embed_images",
        summary="Vectors of images",
        responses=response_of(EmbeddedImagesBody),
        openapi_extra=FORMS["ImagesForm"],
    )
    async def embed_images(request: Request) -> Response:
        return await vectors.embed_images(request)

    @app.post(
        "/v1/embed/text",
        operation_id="embed_texts",
        summary="Vectors of texts",
        responses=response_of(EmbeddedTextsBody),
        openapi_extra=JSON_BODIES["EmbedTextsRequest"],
    )
    async def embed_texts(request: Request) -> Response:
        return await vectors.embed_texts(request)

    @app.post(
        "/v1/zero-shot",
        operation_id="zero_shot",
        summary="Words against the vectors of an earlier answer, or against vectors that are sent",
        responses=response_of(ZeroShotBody),
        openapi_extra=JSON_BODIES["ZeroShotRequest"],
    )
    async def zero_shot(request: Request) -> Response:
        return await vectors.zero_shot(request)

    @app.post(
        "/v1/similar",
        operation_id="similar",
        summary="Cases of the server's store that are like an earlier answer, or like vectors that are sent",
        responses=response_of(SimilarBody),
        openapi_extra=JSON_BODIES["SimilarRequest"],
    )
    async def similar(request: Request) -> Response:
        return await cases.similar(request)
