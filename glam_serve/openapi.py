"""The published schema: forms with binary files, one shape of errors, and examples."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from glam.exam import MAX_IMAGES
from glam.prediction import AGGREGATIONS, INCLUDES
from glam.view import SPACING_MM
from glam_serve.guard import OPEN_PATHS
from glam_serve.schema import ErrorBody
from glam_serve.vector_schema import EmbedTextsRequest, SimilarRequest, ZeroShotRequest

Json = dict[str, Any]
SCHEMAS = "#/components/schemas/"
BINARY = {"type": "string", "format": "binary"}

IMAGE_FIELDS: Json = {
    "cc": BINARY | {"description": "The CC view of one breast: DICOM, PNG, JPEG or TIFF."},
    "mlo": BINARY | {"description": "Its MLO view."},
    "images": {
        "type": "array",
        "items": BINARY,
        "minItems": 1,
        "maxItems": MAX_IMAGES,
        "description": "In place of cc and mlo: a whole exam, in any order, each image routed by its header.",
    },
    "laterality": {"type": "string", "enum": ["L", "R"], "description": "Of the breast, where the headers lack it."},
    "spacing_mm": {
        "type": "number",
        "minimum": SPACING_MM[0],
        "maximum": SPACING_MM[1],
        "description": "Pixel spacing, where a file has none.",
        "example": 0.07,
    },
    "aggregation": {
        "type": "string",
        "enum": list(AGGREGATIONS),
        "default": AGGREGATIONS[0],
        "description": "What of the two views of a breast is averaged.",
    },
}
WORD_FIELDS: Json = {
    "prompts": {
        "type": "array",
        "items": {"type": "string"},
        "description": 'Sentences; or one text of JSON, {"set": NAME} or {"classes": {CLASS: [SENTENCE, ...], ...}}.',
        "example": ["A mass is present", "No mass is present"],
    },
    "include": {
        "type": "array",
        "items": {"type": "string", "enum": list(INCLUDES)},
        "description": "Parts of the answer; left out: embedding, attention, frame and findings.",
    },
}
FORM_SCHEMAS: Json = {
    "PredictForm": {
        "type": "object",
        "title": "PredictForm",
        "description": "One breast by cc, mlo or both, or an exam by images.",
        "properties": IMAGE_FIELDS | WORD_FIELDS,
        "additionalProperties": False,
    },
    "ImagesForm": {
        "type": "object",
        "title": "ImagesForm",
        "description": "One breast by cc, mlo or both, or an exam by images.",
        "properties": IMAGE_FIELDS,
        "additionalProperties": False,
    },
}
SEPARATE = {name: {"explode": True} for name in ("images", "prompts", "include")}
"""Arrays of a form are repeated fields."""


def _body(media_type: str, name: str, **more: object) -> Json:
    content = {media_type: {"schema": {"$ref": SCHEMAS + name}} | more}
    return {"requestBody": {"required": True, "content": content}}


FORMS = {name: _body("multipart/form-data", name, encoding=SEPARATE) for name in ("PredictForm",)} | {
    "ImagesForm": _body("multipart/form-data", "ImagesForm", encoding={"images": {"explode": True}})
}
EXAMPLES: Json = {
    "EmbedTextsRequest": {"texts": ["A mass is present"]},
    "ZeroShotRequest": {"result_id": "the result_id of an answer", "prompts": {"set": "glam-short"}},
    "SimilarRequest": {"result_id": "the result_id of an answer", "k": 5},
}
JSON_BODIES = {name: _body("application/json", name, example=example) for name, example in EXAMPLES.items()}
REQUESTS: tuple[type[BaseModel], ...] = (EmbedTextsRequest, ZeroShotRequest, SimilarRequest)


KEY_SCHEMES: Json = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "A key that the operator gave."},
    "Bearer": {"type": "http", "scheme": "bearer", "description": "The same key, as Authorization: Bearer."},
}
"""Ways to send a key, of which a request uses one (`glam_serve.keys`)."""


def response_of(model: Any, *, status: int = 200, npz: bool = False) -> dict[int | str, Json]:
    """Return what a route publishes of its answer."""
    published: Json = {"model": model, "description": "The answer"}
    if npz:
        published["content"] = {"application/x-npz": {"schema": BINARY}}
    return {status: published}


def publish_schema(app: FastAPI, *, asks_for_keys: bool) -> None:
    """Let `/openapi.json` tell the forms, the one error shape, where a key is asked for, and no error of FastAPI's."""

    def openapi() -> Json:
        """Return the schema, made when it is first asked for."""
        if app.openapi_schema is None:
            schema = _completed(
                get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            )
            app.openapi_schema = _with_keys(schema) if asks_for_keys else schema
        return app.openapi_schema

    app.openapi = openapi


def _completed(schema: Json) -> Json:
    schemas = schema["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas |= FORM_SCHEMAS | {"ErrorBody": ErrorBody.model_json_schema()}
    schemas |= {model.__name__: model.model_json_schema(ref_template=SCHEMAS + "{model}") for model in REQUESTS}
    error = {"application/json": {"schema": {"$ref": f"{SCHEMAS}ErrorBody"}}}
    for path in schema["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = {"description": "Any error", "content": error}
    schema["components"]["schemas"] = dict(sorted(schemas.items()))
    return schema


def _with_keys(schema: Json) -> Json:
    """Say which paths ask for a key, and how it is sent."""
    schema["components"]["securitySchemes"] = KEY_SCHEMES
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            operation["security"] = [] if path in OPEN_PATHS else [{name: []} for name in KEY_SCHEMES]
    return schema
