"""Predictions of a server in one process: its routes answer as the Predictor does."""

import base64
import json

import numpy as np
import pytest

from glam.exam import MAX_IMAGES
from glam.predict import Predictor
from glam.prediction import INCLUDES
from glam_serve.schema import ExamBody, PredictionBody
from tests.samples.served import SECRET, Served, error_of

pytestmark = pytest.mark.filterwarnings("ignore:The LitServer has both batch and unbatch")


def test_a_breast_is_answered_as_the_predictor_does(client: Served, files, predictor: Predictor, mammograms):
    answer = client.post(
        "/predict", files=files(cc="L_CC", mlo="L_MLO"), data={"prompts": ["a zebra", "dense"], "include": INCLUDES}
    ).json()
    PredictionBody.model_validate_json(json.dumps(answer))
    expected = predictor.predict(mammograms["L_CC"], mammograms["L_MLO"], prompts=["a zebra", "dense"]).as_json(
        INCLUDES
    )
    assert answer.keys() == expected.keys() | {"result_id", "timings_ms"}
    np.testing.assert_allclose(answer["embedding"], expected["embedding"], atol=1e-5)
    same = ("views", "birads", "density", "missing", "aggregation", "maps", "pooling", "notice")
    assert {key: answer[key] for key in same} == {key: expected[key] for key in same}


@pytest.mark.parametrize("path", ["/predict", "/predict/", "/v1/predict", "/v1/predict/"])
def test_the_aliases_answer_alike(client: Served, files, path: str):
    answer = client.post(path, files=files(cc="L_CC"), data={"include": "findings"})
    assert (answer.status_code, answer.json()["laterality"]) == (200, "L")


def test_an_exam_is_answered_as_the_predictor_does(client: Served, files, predictor: Predictor, mammograms):
    names = ("R_MLO", "L_CC", "R_CC")
    answer = client.post("/predict", files=files(*names), data={"include": INCLUDES}).json()
    ExamBody.model_validate_json(json.dumps(answer))
    expected = predictor.predict_exam([mammograms[name] for name in names]).as_json(INCLUDES)
    assert answer.keys() == expected.keys() | {"result_id", "timings_ms"}
    for key in ("used", "left_out", "missing", "findings", "aggregation"):
        assert answer[key] == expected[key]
    assert answer["density"] == pytest.approx(expected["density"], abs=1e-5)


def test_the_views_of_an_exam_run_together(client: Served, files):
    client.asked.clear()
    client.post("/predict", files=files("L_CC", "L_MLO", "R_CC", "R_MLO"))
    (asked,) = client.asked
    assert [sorted(breast) for breast in asked.breasts] == [["cc", "mlo"], ["cc", "mlo"]]


def test_a_bad_file_of_an_exam_is_left_out_and_told(client: Served, files):
    form = [*files("L_CC"), ("images", ("x", SECRET.encode()))]
    answer = client.post("/predict", files=form).json()
    assert [(entry["image"], entry["code"]) for entry in answer["left_out"]] == [(2, "not_dicom")]
    assert SECRET not in json.dumps(answer)


def test_an_exam_that_cannot_be_used_is_refused(client: Served, files):
    assert error_of(client.post("/predict", files=[("images", ("x", b"x"))])) == (422, "no_usable_image", "images")
    many = files(*["L_CC"] * (MAX_IMAGES + 1))
    assert error_of(client.post("/predict", files=many)) == (422, "bad_images", "images")
    mixed = [*files("L_CC"), *files(mlo="L_MLO")]
    assert error_of(client.post("/predict", files=mixed)) == (422, "bad_field", "mlo")
    sided = client.post("/predict", files=files("L_CC"), data={"laterality": "L"})
    assert error_of(sided) == (422, "bad_field", "laterality")


def test_embeddings_are_averaged_on_request(client: Served, files, predictor: Predictor, mammograms):
    form = {"aggregation": "embeddings", "include": "findings"}
    answer = client.post("/predict", files=files(cc="L_CC", mlo="L_MLO"), data=form).json()
    expected = predictor.predict(mammograms["L_CC"], mammograms["L_MLO"], aggregation="embeddings")
    assert answer["aggregation"] == "embeddings"
    assert answer["density"] == pytest.approx(expected.density, abs=1e-5)
    wrong = client.post("/predict", files=files(cc="L_CC"), data={"aggregation": SECRET})
    assert error_of(wrong) == (422, "bad_field", "aggregation")


def test_a_map_of_the_answer_is_a_picture(client: Served, files):
    answer = client.post("/predict", files=files(cc="L_CC", mlo="L_MLO"), data={"include": "maps"}).json()
    assert [base64.b64decode(sent["png"])[:4] for sent in answer["maps"]] == [b"\x89PNG"] * 2
