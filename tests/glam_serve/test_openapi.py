"""The published schema, and its page."""

import json

import pytest

from glam.bundle import Bundle
from glam.predict import Predictor
from glam_serve.keys import ApiKeys
from glam_serve.openapi import FORM_SCHEMAS
from glam_serve.uploads import FIELD_RULES
from tests.samples.served import Served, serve_in_process

KEY = "key-of-sixteen-characters"

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
        *("/v1/model", "/v1/similar", "/v1/zero-shot"),
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


def test_a_server_without_keys_publishes_no_way_to_send_one(client: Served):
    schema = client.get("/openapi.json").json()
    assert "securitySchemes" not in schema["components"]
    assert "security" not in json.dumps(schema["paths"])
    assert "Needs a key" not in client.get("/docs").text


def test_a_key_is_published_where_it_is_asked_for_and_nowhere_else(random_bundle: Bundle, predictor: Predictor):
    client = serve_in_process(random_bundle, predictor, keys=ApiKeys([KEY]))
    with client:
        schema = client.get("/openapi.json").json()
        schemes = schema["components"]["securitySchemes"]
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                ways = [name for way in operation["security"] for name in way]
                is_refused = client.request(method, path).status_code == 401
                assert is_refused == bool(ways), path
                for name in ways:
                    answer = client.request(method, path, headers=key_header(schemes[name]))
                    assert answer.status_code not in (401, 500), path
        assert client.get("/docs").text.count("Needs a key.") == 10


def key_header(scheme: dict) -> dict[str, str]:
    """The header that a security scheme of OpenAPI asks for."""
    if scheme["type"] == "apiKey":
        assert scheme["in"] == "header"
        return {scheme["name"]: KEY}
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    return {"Authorization": f"Bearer {KEY}"}


def test_the_page_of_the_schema_needs_nothing_from_anywhere(client: Served):
    page = client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for path in client.get("/openapi.json").json()["paths"]:
        assert f"<code>{path}</code>" in page.text
    for word in ("<script", "http://", "https://", "src=", "@import", "url("):
        assert word not in page.text
