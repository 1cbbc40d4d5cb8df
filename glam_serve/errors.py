"""One shape for every error, FastAPI's and LitServe's own included."""

from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from glam.findings import InputError, input_error

# What the frameworks raise by status alone: code and sentence.
BY_STATUS: Mapping[int, tuple[str, str]] = {
    400: ("malformed_request", "the body could not be read as multipart/form-data"),
    404: ("not_found", "there is nothing here: GET /openapi.json lists what there is"),
    405: ("method_not_allowed", "this path takes another method: GET /openapi.json lists them"),
    413: ("body_too_large", "the request is larger than this server takes"),
    415: ("not_multipart", "send multipart/form-data, as in: curl -F cc=@CC.dcm -F mlo=@MLO.dcm"),
    500: ("internal_error", "the server failed on this request; its log says where"),
    503: ("not_ready", "the model is still loading"),
    504: ("timed_out", "the request waited too long for the model"),
}
FILES = ("cc", "mlo", "images")


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


def install_error_handlers(app: FastAPI) -> None:
    """Make every error of the app take the one shape."""
    app.add_exception_handler(InputError, _on_input_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(StarletteHTTPException, _on_http_error)


async def _on_input_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InputError)
    return error_response(error.status, error.code, error.message, where=error.where)


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    """Name the field; what was sent in it is not repeated."""
    assert isinstance(error, RequestValidationError)
    field = next((str(part) for part in error.errors()[0]["loc"][1:]), "")
    message = f"{field} must be a file: curl -F {field}=@FILE" if field in FILES else f"{field} cannot be read"
    return await _on_input_error(request, input_error("bad_field", field, what=message))


async def _on_http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException)
    return status_response(error.status_code, error.headers)
