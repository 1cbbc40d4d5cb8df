import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from glam.config import FrameConfig
from glam.predict import Predictor
from glam.prediction import INCLUDES, Prediction
from glam.reading.read import read_view
from glam_serve.schema import ErrorBody, PredictionBody


@pytest.fixture(scope="module")
def prediction(predictor: Predictor, mammograms: dict[str, Path]) -> Prediction:
    views = read_view(mammograms["L_CC"], FrameConfig()), read_view(mammograms["L_MLO"], FrameConfig())
    return predictor.predict(*views, prompts=["a zebra"])


def body(answer: dict) -> PredictionBody:
    return PredictionBody.model_validate_json(json.dumps(answer))


@pytest.mark.parametrize("include", [(), *((name,) for name in INCLUDES), INCLUDES])
def test_every_answer_is_of_the_published_shape(prediction: Prediction, include: tuple[str, ...]):
    answer = prediction.as_json(include)
    sent = body(answer).model_dump(exclude_unset=True)
    assert json.loads(json.dumps(sent)) == json.loads(json.dumps(answer))


def test_a_lone_views_answer_is_of_the_published_shape(predictor: Predictor, mammograms: dict[str, Path]):
    answer = predictor.predict(read_view(mammograms["R_CC"], FrameConfig()), None).as_json(INCLUDES)
    assert body(answer).attention is None


def test_every_field_of_the_shape_is_answered_by_some_include(prediction: Prediction):
    served = {"result_id", "timings_ms"}  # the server's own
    assert set(prediction.as_json(INCLUDES)) | served == set(PredictionBody.model_fields)


def test_the_shape_has_no_room_for_more(prediction: Prediction):
    with pytest.raises(ValidationError, match="patient_id"):
        body(prediction.as_json() | {"patient_id": "1"})
    with pytest.raises(ValidationError, match="detail"):
        ErrorBody.model_validate({"code": "a", "message": "b", "where": "", "detail": "c"})
