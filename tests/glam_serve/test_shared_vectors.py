"""A bundle whose embeddings may not be shared: what every route keeps back."""

import json

import pytest

from glam.prediction import INCLUDES
from tests.samples.served import PROXY, Served, arrays_of, error_of

pytestmark = pytest.mark.filterwarnings("ignore:The LitServer has both batch and unbatch")

VECTOR = [1.0] + [0.0] * 15


def test_embeddings_are_withheld_from_every_route_but_not_from_this_machine(kept: Served, files):
    form, npz = {"include": INCLUDES}, {"accept": "application/x-npz"}
    for images in (files(cc="L_CC", mlo="L_MLO"), files("L_CC", "R_CC")):
        away = arrays_of(kept.post("/predict", files=images, data=form, headers=PROXY | npz))
        assert not any("embedding" in name for name in away)
        assert json.loads(away["answer"].item())["embedding"] is None
        assert "embedding" in arrays_of(kept.post("/predict", files=images, data=form, headers=npz))
    images = kept.post("/v1/embed/image", files=files(cc="L_CC"), headers=PROXY).json()
    texts = kept.post("/v1/embed/text", json={"texts": ["a"]}, headers=PROXY).json()
    assert (images["images"][0]["embedding"], texts["texts"][0]["embedding"]) == (None, None)
    assert [answer["findings"][0]["code"] for answer in (images, texts)] == ["embedding_withheld"] * 2
    assert kept.post("/v1/embed/text", json={"texts": ["a"]}).json()["texts"][0]["embedding"] is not None


def test_words_are_held_against_a_result_whose_embeddings_are_withheld(kept: Served, files):
    first = kept.post("/predict", files=files(cc="L_CC"), headers=PROXY).json()
    assert first["embedding"] is None
    asked = {"result_id": first["result_id"], "prompts": ["a", "dense"]}
    again = kept.post("/v1/zero-shot", json=asked, headers=PROXY)
    assert again.status_code == 200
    assert set(again.json()["answers"][0]["prompts"]) == {"a", "dense"}


def test_vectors_from_elsewhere_are_refused_where_none_can_have_left(kept: Served):
    asked = {"embeddings": [VECTOR], "prompts": ["a"]}  # unit vectors would read the texts' vectors out
    assert error_of(kept.post("/v1/zero-shot", json=asked, headers=PROXY))[:2] == (403, "embedding_stays")
    assert kept.post("/v1/zero-shot", json=asked).status_code == 200
