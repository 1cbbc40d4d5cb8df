"""The published schema, and its page."""

import json

import pytest

from glam_serve.openapi import FORM_SCHEMAS
from glam_serve.uploads import FIELD_RULES
from tests.samples.served import Served

pytestmark = pytest.mark.filterwarnings("ignore:The LitServer has both batch and unbatch")


def test_the_form_is_published_with_binary_files(client: Served):
    schema = client.get("/openapi.json").json()
    form = schema["components"]["schemas"]["PredictForm"]["properties"]
    assert form.keys() == FIELD_RULES.keys()
    for field in ("cc", "mlo"):
        assert (form[field]["type"], form[field]["format"]) == ("string", "binary")
    assert (form["images"]["type"], form["images"]["items"]) == ("array", {"type": "string", "format": "binary"})
    assert form["laterality"]["enum"] == ["L", "R"]
    content = schema["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert content["multipart/form-data"]["schema"] == {"$ref": "#/components/schemas/PredictForm"}
    assert FORM_SCHEMAS.keys() <= schema["components"]["schemas"].keys()


def test_every_route_is_published_with_its_answer_and_the_one_error(client: Served):
    schema = client.get("/openapi.json").json()
    assert sorted(schema["paths"]) == [
        *(
            "/livez",
            "/metrics",
            "/predict",
            "/readyz",
            "/v1/embed/image",
            "/v1/embed/text",
            "/v1/jobs",
            "/v1/jobs/{job_id}",
        ),
        *("/v1/model", "/v1/zero-shot"),
    ]
    for operations in schema["paths"].values():
        for operation in operations.values():
            error = operation["responses"]["default"]["content"]["application/json"]["schema"]
            assert error == {"$ref": "#/components/schemas/ErrorBody"}
            assert "422" not in operation["responses"]
    answer = schema["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert [option["$ref"].rpartition("/")[2] for option in answer["anyOf"]] == ["PredictionBody", "ExamBody"]
    text = json.dumps(schema)
    names = set(schema["components"]["schemas"])
    used = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used <= names


def test_the_page_of_the_schema_needs_nothing_from_anywhere(client: Served):
    page = client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for path in client.get("/openapi.json").json()["paths"]:
        assert f"<code>{path}</code>" in page.text
    for word in ("<script", "http://", "https://", "src=", "@import", "url("):
        assert word not in page.text
