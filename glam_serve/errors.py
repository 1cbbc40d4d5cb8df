"""One shape for every error: what a request asks wrongly, what the server refuses, and what the frameworks raise."""

from collections.abc import Mapping
from typing import NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from glam.findings import InputError
from glam_serve.account import note_codes

BROKEN_RULE = "a rule of its format is broken"
"""What is told where a framework does not say which."""


class Fault(NamedTuple):
    """HTTP status and sentence of a code; how soon to try again, where that may help."""

    status: int
    sentence: str
    """What happened and what to do; {problem} stands for what is known of this request."""
    retry_after_s: int | None = None

    def message(self, problem: str = BROKEN_RULE) -> str:
        """Return the sentence, about this request."""
        return self.sentence.replace("{problem}", problem)


FAULTS: Mapping[str, Fault] = {
    "malformed_request": Fault(400, "the body cannot be read as multipart/form-data: {problem}"),
    "malformed_json": Fault(
        400, "the body is not a JSON object in UTF-8, each key once: GET /openapi.json has its shape"
    ),
    "not_http": Fault(400, "this is not a request of HTTP/1.1: {problem}"),
    "no_key": Fault(401, "this server asks for a key: send it as X-API-Key, or as Authorization: Bearer"),
    "embedding_stays": Fault(
        403,
        "the model's licence keeps embeddings on the server's machine (may_share is false): ask from there, or send the"
        " result_id of an answer in place of embeddings",
    ),
    "not_found": Fault(404, "there is no such path: GET /openapi.json lists those that there are"),
    "no_store": Fault(404, "this server has no store to look in: its operator starts it with --store"),
    "no_such_result": Fault(
        404, "there is no result of this id, or none any more: results are kept for ten minutes; send the images again"
    ),
    "no_such_job": Fault(
        404, "there is no job of this id, or none any more: jobs are kept for an hour; submit it again"
    ),
    "method_not_allowed": Fault(405, "this path takes another method: GET /openapi.json lists them"),
    "upload_stalled": Fault(408, "the request did not arrive in time: send it again over a faster connection"),
    "body_too_large": Fault(413, "the request is larger than this server takes: send less at a time"),
    "not_multipart": Fault(415, "send multipart/form-data, as in: curl -F cc=@CC.dcm -F mlo=@MLO.dcm"),
    "not_json": Fault(415, "send application/json, as in: curl -H 'Content-Type: application/json' -d '{...}'"),
    "too_many_of_caller": Fault(
        429,
        "as many of your requests, uploads or jobs are under way as this server takes of one caller: wait until one is"
        " done",
        1,
    ),
    "too_many_jobs": Fault(429, "as many jobs as this server takes are waiting: try again later", 10),
    "too_many_requests": Fault(429, "as many requests as this server takes are under way: try again later", 1),
    "internal_error": Fault(500, "the server failed on this request: tell its operator, whose log says where"),
    "audit_failed": Fault(
        500, "the server cannot write its audit log, without which it gives no answer: tell its operator"
    ),
    "not_ready": Fault(503, "the model is not loaded: try again later", 2),
    "engine_unavailable": Fault(503, "the Triton server that runs the model does not answer: try again later", 2),
    "worker_lost": Fault(503, "the process that ran the model ended before it answered: send the request again", 2),
    "job_lost": Fault(503, "the process that had the job ended before it was done: submit it again"),
    "busy": Fault(503, "the server holds as many uploads as it may: try again later", 5),
    "too_many_connections": Fault(503, "the server holds as many connections as it may: try again later", 5),
    "store_unreadable": Fault(
        503,
        "the server's store of cases cannot be read, or was changed while the server ran: tell its operator, whose log"
        " names the file",
    ),
    "timed_out": Fault(504, "the answer did not come in time: try again later", 5),
    "no_space": Fault(507, "the server's temporary folder is full: tell its operator to make room"),
}
"""Codes of the server itself, beside those of `glam.findings.CODES`, which speak of images."""

OF_FRAMEWORK: Mapping[int, str] = {
    400: "malformed_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "not_multipart",
    500: "internal_error",
}
"""The code of a status that FastAPI or Starlette raises by itself."""


class Refusal(Exception):
    """A request that is not answered: a code of FAULTS, what fills its sentence, and headers for the answer."""

    def __init__(self, code: str, headers: Mapping[str, str] | None = None, *, problem: str = BROKEN_RULE) -> None:
        super().__init__(code)
        self.code = code
        self.headers = headers
        self.message = FAULTS[code].message(problem)

    def response(self) -> JSONResponse:
        """Return the answer that says so."""
        fault = FAULTS[self.code]
        later = {} if fault.retry_after_s is None else {"retry-after": str(fault.retry_after_s)}
        headers = {**later, **(self.headers or {})}
        return error_response(fault.status, self.code, self.message, headers=headers)


def in_our_words(said: str, sentences: Mapping[str, str], *, otherwise: str) -> str:
    """Return the sentence for what a library said, by how that begins; the rest of it may be the caller's."""
    return next((sentence for beginning, sentence in sentences.items() if said.startswith(beginning)), otherwise)


def error_body(code: str, message: str, where: str = "") -> dict[str, str]:
    """Return the one shape of an error."""
    return {"code": code, "message": message, "where": where}


def error_response(
    status: int, code: str, message: str, *, where: str = "", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return an error in the one shape; its code counts in the metrics."""
    note_codes([code])
    return JSONResponse(error_body(code, message, where), status, headers)


def input_error_response(error: InputError) -> JSONResponse:
    """Return what is wrong with an input."""
    return error_response(error.status, error.code, error.message, where=error.where)


def install_error_handlers(app: FastAPI) -> None:
    """Make every error of the app take the one shape."""
    app.add_exception_handler(InputError, _on_input_error)
    app.add_exception_handler(Refusal, _on_refusal)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(StarletteHTTPException, _on_http_error)


async def _on_input_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InputError)
    return input_error_response(error)


async def _on_refusal(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)
    return error.response()


async def _on_validation_error(_: Request, error: Exception) -> JSONResponse:
    """Name the field; what was sent in it is not repeated."""
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    place = ".".join(str(part) for part in fault["loc"][1:])
    return error_response(422, "bad_field", f"{place or 'the body'}: {fault['msg']}", where=place)


def is_multipart(request: Request) -> bool:
    """Say whether a request calls its body multipart/form-data."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "multipart/form-data"


async def _on_http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException)
    code = OF_FRAMEWORK.get(error.status_code, "internal_error" if error.status_code >= 500 else "malformed_request")
    return error_response(error.status_code, code, FAULTS[code].message(), headers=error.headers)
