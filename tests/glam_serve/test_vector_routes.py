"""Vectors of images and of texts, and words that are held against them."""

import json

import numpy as np
import pytest

from glam.predict import Predictor
from glam_serve.vector_schema import EmbeddedImagesBody, EmbeddedTextsBody, ZeroShotBody
from tests.samples.served import CLASSES, SECRET, Served, error_of

pytestmark = pytest.mark.filterwarnings("ignore:The LitServer has both batch and unbatch")

VECTOR = [1.0] + [0.0] * 15


def test_images_are_embedded_without_the_rest_of_the_model(client: Served, files, predictor: Predictor, mammograms):
    client.asked.clear()
    answer = client.post("/v1/embed/image", files=files(cc="L_CC", mlo="L_MLO")).json()
    EmbeddedImagesBody.model_validate_json(json.dumps(answer))
    expected = predictor.predict(mammograms["L_CC"], mammograms["L_MLO"])
    for image, view in zip(answer["images"], expected.views.values(), strict=True):
        np.testing.assert_allclose(image["embedding"], view.embedding, atol=1e-5)
    assert [sorted(breast) for breast in client.asked[0].breasts] == [["cc"], ["mlo"]]
    exam = client.post("/v1/embed/image", files=[*files("R_CC"), ("images", ("x", b"x")), *files("L_CC")]).json()
    assert [(image["image"], image["laterality"]) for image in exam["images"]] == [(3, "L"), (1, "R")]
    assert exam["left_out"][0]["image"] == 2
    refused = client.post("/v1/embed/image", files=files(cc="L_CC"), data={"prompts": "x"})
    assert error_of(refused) == (422, "bad_field", "")


def test_texts_are_embedded_in_their_order(client: Served, predictor: Predictor):
    texts = ["a zebra", "dense", "a zebra"]
    answer = client.post("/v1/embed/text", json={"texts": texts}).json()
    EmbeddedTextsBody.model_validate_json(json.dumps(answer))
    tokens = predictor.interpreter.tokens(texts)
    expected = predictor.runtime.text(tokens.ids, tokens.mask)
    np.testing.assert_allclose([entry["embedding"] for entry in answer["texts"]], expected, atol=1e-5)
    assert answer["texts"][0]["unknown_words"] == ["zebra"]


@pytest.mark.parametrize("prompts", [["a zebra", "dense"], {"set": "glam-short"}, {"classes": CLASSES}])
def test_a_result_is_asked_again_without_its_images(client: Served, files, prompts):
    form = {"prompts": prompts if isinstance(prompts, list) else json.dumps(prompts), "include": "findings"}
    first = client.post("/predict", files=files("L_CC", "L_MLO", "R_CC"), data=form).json()
    client.asked.clear()
    again = client.post("/v1/zero-shot", json={"result_id": first["result_id"], "prompts": prompts}).json()
    ZeroShotBody.model_validate_json(json.dumps(again))
    assert [entry["laterality"] for entry in again["answers"]] == ["L", "R"]
    for entry in again["answers"]:
        breast = first["breasts"][entry["laterality"]]
        assert entry["prompts"] == breast["prompts"]
        assert entry["prompt_set"] == breast["prompt_set"]
    assert all(not request.breasts for request in client.asked)


def test_embeddings_that_are_sent_are_answered_as_their_images(client: Served, files):
    form = {"prompts": ["a zebra", "dense"]}
    first = client.post("/predict", files=files(cc="L_CC"), data=form).json()
    asked = {
        "embeddings": [first["embedding"], [2 * number for number in first["embedding"]]],
        "prompts": form["prompts"],
    }
    for entry in client.post("/v1/zero-shot", json=asked).json()["answers"]:
        assert entry["laterality"] is None
        for text, match in entry["prompts"].items():
            assert match["similarity"] == pytest.approx(first["prompts"][text]["similarity"], abs=1e-5)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"prompts": ["a"]}, 422, "bad_field"),
        ({"prompts": ["a"], "result_id": "x", "embeddings": [VECTOR]}, 422, "bad_field"),
        ({"prompts": ["a"], "result_id": "x"}, 404, "no_such_result"),
        ({"prompts": [], "embeddings": [VECTOR]}, 422, "bad_prompt"),
        ({"prompts": {SECRET: 1}, "embeddings": [VECTOR]}, 422, "bad_prompt"),
        ({"prompts": [1], "embeddings": [VECTOR]}, 422, "bad_field"),
        ({"prompts": ["a"], "embeddings": []}, 422, "bad_field"),
        ({"prompts": ["a"], "embeddings": [VECTOR] * 257}, 422, "bad_field"),
        ({"prompts": ["a"], "embeddings": [VECTOR[:-1]]}, 422, "bad_field"),
        ({"prompts": ["a"], "embeddings": [[0.0] * 16]}, 422, "bad_field"),
        ({"prompts": ["a"], "embeddings": [[1e999] * 16]}, 422, "bad_field"),
        ({"prompts": ["a"], "embeddings": [[10**400] * 16]}, 422, "bad_field"),
        ({"prompts": ["a"], "embeddings": [["DOE^JANE"] * 16]}, 422, "bad_field"),
        ({"prompts": ["a"], "embeddings": [VECTOR], SECRET: 1}, 422, "bad_field"),
    ],
)
def test_questions_that_cannot_be_followed_are_refused(client: Served, body: dict, status: int, code: str):
    answer = client.post("/v1/zero-shot", content=json.dumps(body), headers={"content-type": "application/json"})
    assert error_of(answer)[:2] == (status, code)


@pytest.mark.parametrize(
    ("content", "kind", "expected"),
    [
        (b"{", "application/json", (400, "malformed_json")),
        (b"[]", "application/json", (400, "malformed_json")),
        (b"\xff", "application/json", (400, "malformed_json")),
        (b'{"texts": ["a"], "texts": ["b"]}', "application/json", (400, "malformed_json")),
        (b'{"texts": ["\\ud800"]}', "application/json", (400, "malformed_json")),
        (b'{"texts": ' + b"[" * 100_000, "application/json", (400, "malformed_json")),
        (b"{}", "text/plain", (415, "not_json")),
        (b"", "text/plain", (415, "not_json")),
        (b'{"texts": ["' + b"a" * (5 << 20) + b'"]}', "application/json", (413, "body_too_large")),
        (b'{"texts": []}', "application/json", (422, "bad_field")),
        (b'{"texts": "a"}', "application/json", (422, "bad_field")),
        (b'{"texts": [" "]}', "application/json", (422, "bad_prompt")),
        (json.dumps({"texts": ["a"] * 65}).encode(), "application/json", (422, "bad_field")),
    ],
)
def test_bodies_that_are_no_question_are_refused(client: Served, content: bytes, kind: str, expected: tuple[int, str]):
    answer = client.post("/v1/embed/text", content=content, headers={"content-type": kind})
    assert error_of(answer)[:2] == expected
