"""One shape for every error, FastAPI's and LitServe's own included."""

from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from glam.findings import InputError, input_error
from glam.view import SPACING_MM, VIEW_KEYS

# What the frameworks raise by status alone: code and sentence.
BY_STATUS: Mapping[int, tuple[str, str]] = {
    400: (
        "malformed_request",
        "the body could not be read as multipart/form-data: it is cut short, a field of text is too long, or there are"
        " too many fields",
    ),
    404: ("not_found", "there is nothing here: GET /openapi.json lists what there is"),
    405: ("method_not_allowed", "this path takes another method: GET /openapi.json lists them"),
    413: ("body_too_large", "the request is larger than this server takes"),
    415: ("not_multipart", "send multipart/form-data, as in: curl -F cc=@CC.dcm -F mlo=@MLO.dcm"),
    500: ("internal_error", "the server failed on this request; its log says where"),
    503: ("not_ready", "the model is still loading"),
    504: ("timed_out", "the request waited too long for the model"),
}
FIELD_RULES: Mapping[str, str] = {
    **{field: f"must be a file with a name: curl -F {field}=@FILE" for field in (*VIEW_KEYS, "images")},
    "laterality": "must be L or R, the side of the breast",
    "spacing_mm": "must be one number of mm from {:g} to {:g}, with a point, such as 0.07".format(*SPACING_MM),
    **dict.fromkeys(("prompts", "include"), "must be a text, not a file"),
}
"""What a field of the form must hold, as FastAPI checks it."""


def error_response(
    status: int, code: str, message: str, *, where: str = "", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return the one shape of an error."""
    return JSONResponse({"code": code, "message": message, "where": where}, status, headers)


def status_response(status: int, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the error that a bare HTTP status stands for."""
    fault = ("refused", "the request was refused") if status < 500 else BY_STATUS[500]
    code, message = BY_STATUS.get(status, fault)
    return error_response(status, code, message, headers=headers)


def is_multipart(request: Request) -> bool:
    """Say whether a request calls its body multipart/form-data."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "multipart/form-data"


def install_error_handlers(app: FastAPI) -> None:
    """Make every error of the app take the one shape."""
    app.add_exception_handler(InputError, _on_input_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(StarletteHTTPException, _on_http_error)


async def _on_input_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InputError)
    return error_response(error.status, error.code, error.message, where=error.where)


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    """Name the field and its rule; what was sent in it is not repeated."""
    assert isinstance(error, RequestValidationError)
    if not is_multipart(request):
        return status_response(415)
    field = next(str(part) for part in error.errors()[0]["loc"] if part in FIELD_RULES)
    return await _on_input_error(request, input_error("bad_field", field, problem=f"{field} {FIELD_RULES[field]}"))


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    """Answer a bare status; a body of another kind is refused as such, whatever its parser said of it."""
    assert isinstance(error, StarletteHTTPException)
    is_of_kind = error.status_code != 400 or is_multipart(request)
    return status_response(error.status_code if is_of_kind else 415, error.headers)
