"""Answers as bytes: JSON, or .npz where the caller prefers it."""

import json

import anyio
from fastapi import Request, Response

from glam.exam import ExamPrediction
from glam.findings import Finding
from glam.prediction import Json, Prediction
from glam.prediction_arrays import answer_arrays
from glam_serve.accept import JSON, NPZ, npz, wants_npz
from glam_serve.account import current_account, timed
from glam_serve.answers import Question


async def json_reply(answer: Json) -> Response:
    """Return a JSON answer with its times, written in a thread: it may be megabytes."""
    return Response(await anyio.to_thread.run_sync(_text, with_timings(answer)), media_type=JSON)


def with_timings(answer: Json) -> Json:
    """Return an answer that says where the time of its request, or its job, went."""
    return answer | {"timings_ms": current_account().milliseconds()}


async def prediction_reply(
    request: Request,
    question: Question,
    prediction: Prediction | ExamPrediction,
    *,
    withheld: Finding | None,
    result_id: str,
) -> Response:
    """Return a prediction as the Accept header asks for it."""

    def write() -> tuple[bytes, str]:
        if wants_npz(request.headers.get("accept")):
            return prediction_npz(question, prediction, withheld=withheld, result_id=result_id), NPZ
        return _text(_answer(question, prediction, withheld, result_id)), JSON

    body, media_type = await anyio.to_thread.run_sync(write)
    return Response(body, media_type=media_type, headers={"vary": "accept"})


def prediction_npz(
    question: Question, prediction: Prediction | ExamPrediction, *, withheld: Finding | None, result_id: str
) -> bytes:
    """Return a prediction as .npz, its JSON within."""
    answer = _answer(question, prediction, withheld, result_id)
    return npz(answer_arrays(prediction, question.include, with_embeddings=withheld is None), answer)


def _answer(
    question: Question, prediction: Prediction | ExamPrediction, withheld: Finding | None, result_id: str
) -> Json:
    with timed("answer"):
        answer = prediction.as_json(question.include, withheld=withheld) | {"result_id": result_id}
    return with_timings(answer)


def _text(answer: Json) -> bytes:
    return json.dumps(answer, allow_nan=False).encode()
