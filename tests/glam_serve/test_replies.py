"""Answers as .npz."""

import json

import numpy as np
import pytest

from glam.predict import Predictor
from glam.prediction import INCLUDES
from glam_serve.schema import PredictionBody
from tests.samples.served import Served, arrays_of

pytestmark = pytest.mark.filterwarnings("ignore:The LitServer has both batch and unbatch")


def test_npz_holds_every_array_unrounded_and_the_json(client: Served, files, predictor: Predictor, mammograms):
    answer = client.post(
        "/predict",
        files=files(cc="L_CC", mlo="L_MLO"),
        data={"include": INCLUDES},
        headers={"accept": "application/x-npz"},
    )
    arrays = arrays_of(answer)
    expected = predictor.predict(mammograms["L_CC"], mammograms["L_MLO"])
    assert expected.attention is not None
    body = json.loads(arrays.pop("answer").item())
    PredictionBody.model_validate_json(json.dumps(body))
    np.testing.assert_allclose(arrays["embedding"], expected.embedding, atol=1e-6)
    np.testing.assert_allclose(arrays["cc_to_mlo"], expected.attention.cc_to_mlo, atol=1e-6)
    assert not np.array_equal(arrays["cc_to_mlo"], arrays["cc_to_mlo"].round(4))
    np.testing.assert_array_equal(arrays["cells_mlo"].round(2), body["views"]["mlo"]["cells"])
    names = ["embedding", "cc_to_mlo", "mlo_to_cc"]
    of_views = [f"{name}_{key}" for name in ("embedding", "pooling", "to_square", "cells") for key in ("cc", "mlo")]
    assert sorted(arrays) == sorted([*names, *of_views])


def test_npz_of_an_exam_names_the_breast(client: Served, files):
    form, accept = {"include": "embedding,attention"}, {"accept": "application/*;q=0.2, application/x-npz"}
    answer = client.post("/predict", files=files("L_CC", "R_CC", "R_MLO"), data=form, headers=accept)
    names = ["answer", "embedding", "L_embedding", "L_embedding_cc", "R_embedding", "R_embedding_cc", "R_embedding_mlo"]
    assert sorted(arrays_of(answer)) == sorted([*names, "R_cc_to_mlo", "R_mlo_to_cc"])
