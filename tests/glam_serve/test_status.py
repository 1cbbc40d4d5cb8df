"""What a server says of itself, without a worker."""

import subprocess
import sys
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from glam.bundle import Bundle
from glam.config import FrameConfig
from glam_serve.server import check_permission, model_body
from tests.samples.served import error_of


def test_importing_the_api_brings_no_torch():
    code = "import glam_serve.worker, sys; print('torch' in sys.modules or 'scipy' in sys.modules)"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout == "False\n"


def test_paths_and_methods_that_are_not_there_have_the_same_shape(bare: TestClient):
    for path in ("/nothing", "/", "/redoc", "/health", "/info"):
        assert error_of(bare.get(path)) == (404, "not_found", "")
    answer = bare.get("/predict")
    assert error_of(answer) == (405, "method_not_allowed", "")
    assert answer.headers["allow"] == "POST"


def test_a_server_without_a_loaded_model_lives_but_is_not_ready(bare: TestClient):
    assert bare.get("/livez").json() == {"status": "alive"}
    assert error_of(bare.get("/readyz")) == (503, "not_ready", "")


def test_the_model_says_what_it_is(bare: TestClient, random_bundle: Bundle):
    model = bare.get("/v1/model").json()
    assert model["bundle"] == random_bundle.sha256
    assert model["classes"]["density"] == ["a", "b", "c", "d"]
    assert (model["image_size"], model["grid"], model["side"], model["pooling"]) == (126, 9, 3, "anchored")
    assert (model["compares_views"], model["keys"]) == (True, "slice")
    assert FrameConfig(**model["frame"]) == random_bundle.model.frame
    assert model["variant"] == random_bundle.variant
    assert model["notice"] == "research use only, not for diagnosis"


def test_the_model_says_which_of_the_bundles_graphs_answer(random_bundle: Bundle):
    chosen = replace(random_bundle, variant="int8")
    assert model_body(chosen, on_loopback=True).variant == "int8"


def test_the_published_schema_has_the_form_the_answer_and_the_one_error(bare: TestClient):
    schema = bare.get("/openapi.json").json()
    assert {"/livez", "/predict", "/readyz", "/v1/model"} <= schema["paths"].keys()
    predict = schema["paths"]["/predict"]["post"]
    form = schema["components"]["schemas"][
        predict["requestBody"]["content"]["multipart/form-data"]["schema"]["$ref"].rsplit("/")[-1]
    ]
    assert {"cc", "mlo", "laterality", "prompts", "include"} <= form["properties"].keys()
    answer = predict["responses"]["200"]["content"]["application/json"]["schema"]
    assert [option["$ref"].rpartition("/")[2] for option in answer["anyOf"]] == ["PredictionBody", "ExamBody"]
    assert predict["responses"]["default"]["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorBody")
    assert "ValidationError" not in str(schema)


def test_what_may_not_be_served_stays_on_this_machine(random_bundle: Bundle):
    own = replace(random_bundle, may_serve=False)
    check_permission(own, "127.0.0.1")
    check_permission(random_bundle, "0.0.0.0")
    with pytest.raises(ValueError, match="may not be served on a network"):
        check_permission(own, "0.0.0.0")
