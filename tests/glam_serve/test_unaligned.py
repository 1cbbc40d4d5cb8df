"""A server and a cohort of a model that does not compare its views."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from glam.bundle import Bundle
from glam.client_answers import breast_answer
from glam.predict import Predictor
from glam.prediction import INCLUDES
from glam.store.read import read_rows, vectors
from glam.store.verify import verify_store
from glam_serve.model_schema import ModelBody
from glam_serve.schema import ExamBody, PredictionBody
from tests.samples.served import Served, arrays_of, serve_in_process
from tests.samples.serving import Serve

pytestmark = pytest.mark.filterwarnings("ignore:The LitServer has both batch and unbatch")

OF_MAPS = ("attention", "pooling", "maps")


@pytest.fixture(scope="module")
def client(unaligned_bundle: Bundle, unaligned_predictor: Predictor) -> Served:
    return serve_in_process(unaligned_bundle, unaligned_predictor)


def test_the_model_says_that_it_does_not_compare_views(client: Served):
    answer = client.get("/v1/model").json()
    ModelBody.model_validate_json(json.dumps(answer))
    assert answer["compares_views"] is False
    assert [answer[name] for name in ("side", "pooling", "keys")] == [None, None, None]
    assert answer["grid"] == 9


def test_parts_that_need_maps_are_null_and_no_error(client: Served, files, unaligned_predictor: Predictor, mammograms):
    sent = files(cc="L_CC", mlo="L_MLO")
    answer = client.post("/predict", files=sent, data={"prompts": ["dense"], "include": INCLUDES})
    assert answer.status_code == 200
    body = answer.json()
    PredictionBody.model_validate_json(answer.text)
    assert [body[name] for name in OF_MAPS] == [None, None, None]
    assert [view["cells"] for view in body["views"].values()] == [None, None]
    expected = unaligned_predictor.predict(mammograms["L_CC"], mammograms["L_MLO"], prompts=["dense"])
    np.testing.assert_allclose(body["embedding"], expected.embedding, atol=1e-5)
    assert body["density"] == pytest.approx(expected.density, abs=1e-5)
    assert body["prompts"]["dense"]["similarity"] == pytest.approx(expected.prompts["dense"].similarity, abs=1e-5)
    typed = breast_answer(body)
    assert (typed.missing, typed.raw["attention"]) == ((), None)


@pytest.mark.parametrize("name", [*OF_MAPS, "cells"])
def test_each_of_them_may_be_asked_for_alone(client: Served, files, name: str):
    body = client.post("/predict", files=files(cc="L_CC", mlo="L_MLO"), data={"include": name}).json()
    holders = body["views"].values() if name == "cells" else [body]
    assert [holder[name] for holder in holders] == [None] * len(holders)


def test_the_published_schema_lets_them_be_null(client: Served):
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    of = [("ModelBody", name) for name in ("side", "pooling", "keys")]
    of += [("PredictionBody", name) for name in OF_MAPS] + [("ViewBody", "cells")]
    for body, name in of:
        assert {"type": "null"} in schemas[body]["properties"][name]["anyOf"], (body, name)
    assert schemas["ModelBody"]["properties"]["compares_views"]["type"] == "boolean"


def test_an_exam_and_its_arrays_hold_no_maps(client: Served, files):
    sent = files("L_CC", "L_MLO", "R_CC", "R_MLO")
    answer = client.post("/predict", files=sent, data={"include": INCLUDES})
    ExamBody.model_validate_json(answer.text)
    for breast in answer.json()["breasts"].values():
        assert [breast[name] for name in OF_MAPS] == [None, None, None]
    as_npz = client.post("/predict", files=sent, data={"include": INCLUDES}, headers={"accept": "application/x-npz"})
    arrays = arrays_of(as_npz)
    assert {"embedding", "L_embedding", "L_embedding_cc", "R_to_square_mlo"} < arrays.keys()
    assert not [name for name in arrays if name.partition("_")[2].startswith(("cc_to", "mlo_to", "pooling", "cells"))]


@pytest.mark.slow
def test_a_server_of_it_starts_and_answers_the_typed_client(
    serve: Serve, unaligned_bundle: Bundle, mammograms: dict[str, Path]
):
    client = serve(bundle=unaligned_bundle).client
    assert client.model()["compares_views"] is False
    exam = client.predict_exam(list(mammograms.values()), include=INCLUDES)
    assert [breast.raw["attention"] for breast in exam.breasts.values()] == [None, None]
    assert exam.result_id is not None
    assert {answer.laterality for answer in client.zero_shot(["dense"], result_id=exam.result_id)} == {"L", "R"}


@pytest.mark.parametrize("level", ["image", "breast", "exam"])
def test_a_cohort_has_the_rows_that_a_predictor_would_give(
    level: str,
    mammograms: dict[str, Path],
    unaligned_bundle: Bundle,
    unaligned_predictor: Predictor,
    embed: Callable[..., int],
    tmp_path: Path,
):
    manifest = next(iter(mammograms.values())).parents[2] / "manifest.csv"
    assert embed(manifest, tmp_path / "s", bundle=unaligned_bundle.folder, level=level) == 0
    rows = read_rows(tmp_path / "s")
    assert rows.num_rows == {"image": 4, "breast": 2, "exam": 1}[level]
    predict = {
        "image": lambda names: unaligned_predictor.predict_exam([mammograms[name] for name in names]),
        "breast": lambda names: unaligned_predictor.predict(*(mammograms[name] for name in names)),
        "exam": lambda names: unaligned_predictor.predict_exam([mammograms[name] for name in names]),
    }[level]
    for row, vector in zip(rows.to_pylist(), vectors(rows), strict=True):
        names = ["_".join(image.split("-")[-2:]) for image in row["images"]]
        expected = predict(names)
        np.testing.assert_allclose(vector, expected.embedding, atol=1e-5)
        assert row["density_a"] == pytest.approx(expected.density["a"], abs=1e-5)
    assert verify_store(tmp_path / "s").problems == ()
