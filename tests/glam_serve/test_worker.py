"""What crosses to a worker, and what comes back."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from glam.bundle import Bundle
from glam.config import FrameConfig
from glam.pair import PreparedBreast, prepare_breast
from glam.predict import Interpreter, Predictor
from glam.prediction import DEFAULT_INCLUDE
from glam.reading.read import read_view
from glam.runtime import Runtime
from glam_serve.hub import Hub
from glam_serve.limits import Limits, Workers
from glam_serve.server import make_server
from glam_serve.vitals import Vitals
from glam_serve.worker import GlamAPI, ModelAnswer, ModelRequest
from tests.samples.served import SECRET, dcm, error_of


def worker(bundle: Bundle, predictor: Predictor) -> GlamAPI:
    """A worker past its setup."""
    api = GlamAPI(bundle, Vitals(num_apis=1, num_workers=1), Workers(threads=1))
    api.runtime = predictor.runtime
    return api


def breast_of(bundle: Bundle, path: Path, *prompts: str) -> PreparedBreast:
    return prepare_breast(bundle.model.frame, read_view(path, FrameConfig()), None, prompts=prompts)


def question(bundle: Bundle, path: Path) -> ModelRequest:
    return ModelRequest(breasts=(breast_of(bundle, path).squares,))


def test_what_crosses_to_the_worker_is_small_and_says_nothing_of_the_patient(
    random_bundle: Bundle, mammograms: dict[str, Path]
):
    sent = pickle.dumps(question(random_bundle, mammograms["L_CC"]))
    assert len(sent) < 4 * 126**2 + 1000
    view = read_view(mammograms["L_CC"], FrameConfig())
    assert view.patient_id.encode() not in sent
    assert view.study_uid.encode() not in sent


def test_the_worker_answers_what_the_predictor_answers(
    random_bundle: Bundle, predictor: Predictor, mammograms: dict[str, Path]
):
    interpreter = Interpreter(random_bundle)
    breast = breast_of(random_bundle, mammograms["L_CC"], "a zebra", "dense")
    tokens = interpreter.tokens(breast.prompts)
    asked = pickle.loads(pickle.dumps(ModelRequest(breasts=(breast.squares,), tokens=tokens)))
    answer = pickle.loads(pickle.dumps(worker(random_bundle, predictor).predict(asked)))
    assert (answer.batch_views, answer.model_s > 0) == (1, True)
    texts = dict(zip(breast.prompts, answer.texts, strict=True))
    expected = predictor.predict(mammograms["L_CC"], prompts=breast.prompts).as_json()
    assert interpreter.prediction(breast, answer.breasts[0], texts).as_json() == expected


def test_requests_that_run_together_answer_as_alone(
    random_bundle: Bundle, predictor: Predictor, mammograms: dict[str, Path]
):
    api = worker(random_bundle, predictor)
    requests = [question(random_bundle, mammograms[name]) for name in ("L_CC", "R_CC")]
    together = api.predict(api.batch(requests))
    for answer, request in zip(api.unbatch(together), requests, strict=True):
        assert answer.batch_views == 2
        alone = api.predict(request).breasts[0].embeddings["cc"]
        np.testing.assert_allclose(answer.breasts[0].embeddings["cc"], alone, atol=1e-5)


class Broken:
    """A runtime that fails for the squares it is told to fail for."""

    def __init__(self, runtime: Runtime, poison: float) -> None:
        self.runtime = runtime
        self.poison = poison

    def vision(self, images: np.ndarray) -> Any:
        if images.max() >= self.poison:
            raise RuntimeError(SECRET)
        return self.runtime.vision(images)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.runtime, name)


def test_a_model_that_fails_answers_nothing_says_no_secret_and_hurts_nobody(
    random_bundle: Bundle, predictor: Predictor, mammograms: dict[str, Path], log: pytest.LogCaptureFixture
):
    api = worker(random_bundle, predictor)
    api.runtime = Broken(predictor.runtime, poison=2.0)
    good = question(random_bundle, mammograms["L_CC"])
    poisoned = ModelRequest(breasts=({"cc": np.full((126, 126), 2, np.float32)},))
    assert api.predict(poisoned) is None
    first, second, third = api.predict([good, poisoned, good])
    assert second is None
    assert isinstance(first, ModelAnswer)
    np.testing.assert_array_equal(first.breasts[0].embeddings["cc"], third.breasts[0].embeddings["cc"])
    assert "the model failed: RuntimeError at" in log.text
    assert SECRET not in log.text


def test_a_model_that_failed_is_a_500_of_the_one_shape(
    random_bundle: Bundle, mammograms: dict[str, Path], log: pytest.LogCaptureFixture
):
    server = make_server(random_bundle, limits=Limits(max_upload_mb=64))

    async def ask(payload: Any, *, timeout_s: float) -> None:
        return None

    server.ask = ask
    answer = TestClient(server.app).post("/predict", files={"cc": dcm(mammograms["L_CC"])})
    assert error_of(answer) == (500, "internal_error", "")


@pytest.fixture(scope="module")
def answering(random_bundle: Bundle, predictor: Predictor) -> TestClient:
    """The app with a worker in its own process: what a request puts in the queue is pickled, and answered at once."""
    server = make_server(random_bundle, limits=Limits(max_upload_mb=64))
    api = worker(random_bundle, predictor)

    async def ask(payload: Any, *, timeout_s: float) -> Any:
        return pickle.loads(pickle.dumps(api.predict(pickle.loads(pickle.dumps(payload)))))

    server.ask = ask
    server._hub = Hub(1, 1)
    return TestClient(server.app)


def test_a_whole_exam_is_answered_as_the_predictor_answers_it_in_any_order(
    answering: TestClient, predictor: Predictor, mammograms: dict[str, Path]
):
    paths = [mammograms[name] for name in ("R_MLO", "L_CC", "R_CC", "L_MLO")]
    answer = answering.post("/predict", files=[("images", dcm(path)) for path in paths])
    assert answer.status_code == 200
    expected = json.loads(json.dumps(predictor.predict_exam(paths).as_json(DEFAULT_INCLUDE)))
    assert {key: value for key, value in answer.json().items() if key in expected} == expected
    assert answer.json().keys() - expected == {"result_id", "timings_ms"}
    backward = answering.post("/predict", files=[("images", dcm(path)) for path in reversed(paths)]).json()
    assert backward["breasts"] == answer.json()["breasts"]
    assert SECRET not in answer.text


def test_an_exam_tells_what_it_left_out_and_why(answering: TestClient, mammograms: dict[str, Path]):
    files = [("images", dcm(mammograms["L_CC"])), ("images", (f"{SECRET}.txt", b"hello"))]
    answer = answering.post("/predict", files=files).json()
    assert [(entry["image"], entry["code"]) for entry in answer["left_out"]] == [(2, "not_dicom")]
    assert answer["used"] == [{"image": 1, "laterality": "L", "view": "CC"}]
    assert answer["missing"] == ["L_MLO", "R_CC", "R_MLO"]
    assert "lone_breast" in [finding["code"] for finding in answer["findings"]]
