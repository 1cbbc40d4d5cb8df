"""What is settled before a worker is asked: forms, files and errors, in one process."""

import json
import logging
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from glam.bundle import Bundle
from glam.config import FrameConfig
from glam.findings import InputError
from glam.pair import PreparedBreast, prepare_breast
from glam.predict import Interpreter, Predictor
from glam.prediction import DEFAULT_INCLUDE
from glam.reading.read import read_view
from glam.runtime import Runtime
from glam_serve.hub import Hub
from glam_serve.limits import Limits, Workers
from glam_serve.log import PlainFormatter, where_raised
from glam_serve.routes import parse_include
from glam_serve.server import check_permission, make_server, model_body
from glam_serve.vitals import Vitals
from glam_serve.worker import GlamAPI, ModelAnswer, ModelRequest
from tests.samples.mammograms import file_of

SECRET = "DOE^JANE"


@pytest.fixture(scope="module")
def client(random_bundle: Bundle) -> TestClient:
    """The app without its worker: whatever reaches the queue fails, and nothing here does."""
    server = make_server(random_bundle, limits=Limits(max_upload_mb=1))
    return TestClient(server.app, raise_server_exceptions=False)


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


def error_of(answer) -> tuple[int, str, str]:
    """Status, code and place of an error, whose shape is checked."""
    assert answer.headers["content-type"] == "application/json"
    assert sorted(answer.json()) == ["code", "message", "where"]
    return answer.status_code, answer.json()["code"], answer.json()["where"]


def dcm(path: Path) -> tuple[str, bytes]:
    return (f"{SECRET}.dcm", path.read_bytes())


def test_importing_the_api_brings_no_torch():
    code = "import glam_serve.worker, sys; print('torch' in sys.modules or 'scipy' in sys.modules)"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout == "False\n"


def test_a_file_that_is_no_dicom_is_the_callers_fault(client: TestClient):
    answer = client.post("/predict", files={"cc": (f"{SECRET}.txt", b"hello")})
    assert error_of(answer) == (415, "not_dicom", "cc")


@pytest.mark.parametrize(
    ("form", "code", "where"),
    [
        ({"prompts": "a mass"}, "missing_view", ""),
        ({"spacing_mm": "wide"}, "bad_field", "spacing_mm"),
        ({"cc": "L_CC.dcm"}, "bad_field", "cc"),
        ({"laterality": "X"}, "bad_field", "laterality"),
        ({"DOE^JANE": "x"}, "unknown_field", ""),
        ({"include": "embedding,pixels"}, "bad_include", "include"),
    ],
)
def test_a_form_that_cannot_be_followed_names_its_field(client: TestClient, form: dict, code: str, where: str):
    answer = client.post("/predict", data=form, files={"prompts": (None, "a mass")})
    assert error_of(answer) == (422, code, where)
    assert SECRET not in answer.text


def test_a_fault_of_ours_in_the_grey_values_is_not_the_callers(client: TestClient, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object) -> None:
        raise TypeError(SECRET)

    monkeypatch.setattr("glam.reading.tone.modality_values", broken)
    answer = client.post("/predict", files={"cc": ("cc.dcm", file_of())})
    assert error_of(answer)[:2] == (500, "internal_error")
    assert SECRET not in answer.text


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


def test_an_exam_of_which_nothing_can_be_used_is_the_callers_fault(client: TestClient):
    answer = client.post("/predict", files=[("images", (SECRET, b"x"))])
    assert error_of(answer) == (422, "no_usable_image", "images")
    assert answer.json()["message"].startswith("none of the images can be used; image 1: this is not a DICOM file")
    many = [("images", ("a", b"x"))] * 9
    assert error_of(client.post("/predict", files=many)) == (422, "bad_images", "images")


@pytest.mark.parametrize("field", ["cc", "mlo", "laterality"])
def test_what_belongs_to_one_breast_does_not_go_with_an_exam(client: TestClient, field: str):
    value = (None, "L") if field == "laterality" else ("a", b"x")
    answer = client.post("/predict", files=[("images", ("a", b"x")), (field, value)])
    assert error_of(answer) == (422, "bad_field", field)
    assert answer.json()["message"].startswith(f"{field} and images exclude each other")


def test_a_view_given_twice_is_refused(client: TestClient):
    answer = client.post("/predict", files=[("cc", ("a", b"x")), ("cc", ("b", b"y"))])
    assert error_of(answer) == (422, "repeated_field", "cc")


def test_a_body_that_is_no_form_is_refused(client: TestClient):
    assert error_of(client.post("/predict", json={"cc": 1})) == (415, "not_multipart", "")
    assert error_of(client.post("/predict")) == (415, "not_multipart", "")
    broken = client.post("/predict", content=b"abc", headers={"content-type": "multipart/form-data"})
    assert error_of(broken) == (400, "malformed_request", "")


def test_a_form_that_is_cut_short_is_refused(client: TestClient, mammograms: dict[str, Path]):
    form = {"content-type": "Multipart/Form-Data; boundary=b"}
    heads = {
        name: f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="a"\r\n\r\n' for name in ("cc", "mlo")
    }
    body = heads["cc"].encode() + b"hello\r\n" + heads["mlo"].encode() + bytes(5000)
    for cut in (body, body + b"\r\n--b", body + b"\r\n--b-", body[:30], b""):
        assert error_of(client.post("/predict", content=cut, headers=form)) == (400, "malformed_request", "")
        chunks = iter([cut[:200], cut[200:]])
        assert error_of(client.post("/predict", content=chunks, headers=form)) == (400, "malformed_request", "")
    for end in (b"\r\n--b--\r\n", b"\r\n--b--", b"\r\n--b--\r\nepilogue"):
        whole = client.post("/predict", content=body + end, headers=form)
        assert error_of(whole) == (415, "not_dicom", "cc")


def test_the_side_of_a_lone_view_is_contradicted_in_fitting_words(random_bundle: Bundle, mammograms: dict[str, Path]):
    server = make_server(random_bundle, limits=Limits(max_upload_mb=64))
    files = {"cc": dcm(mammograms["L_CC"])}
    answer = TestClient(server.app).post("/predict", files=files, data={"laterality": "R"})
    assert error_of(answer) == (422, "side_mismatch", "cc")
    assert "two views" not in answer.json()["message"]


def test_a_view_in_the_others_place_is_refused(random_bundle: Bundle, mammograms: dict[str, Path]):
    server = make_server(random_bundle, limits=Limits(max_upload_mb=64))
    client = TestClient(server.app)
    files = {"cc": dcm(mammograms["L_MLO"]), "mlo": dcm(mammograms["L_CC"])}
    assert error_of(client.post("/predict", files=files)) == (422, "view_mismatch", "cc")
    files = {"cc": dcm(mammograms["L_CC"]), "mlo": dcm(mammograms["R_MLO"])}
    assert error_of(client.post("/predict", files=files)) == (422, "side_mismatch", "")


def test_a_body_that_is_too_large_is_refused_declared_or_not(client: TestClient):
    large = b"0" * (2 << 20)
    assert error_of(client.post("/predict", files={"cc": ("a", large)})) == (413, "body_too_large", "")
    form = {"content-type": "multipart/form-data; boundary=b"}
    head = b'--b\r\nContent-Disposition: form-data; name="cc"; filename="a"\r\n\r\n'
    chunked = client.post("/predict", content=iter([head, large, b"\r\n--b--\r\n"]), headers=form)
    assert error_of(chunked) == (413, "body_too_large", "")


def test_paths_and_methods_that_are_not_there_have_the_same_shape(client: TestClient):
    for path in ("/nothing", "/", "/redoc", "/health", "/info"):
        assert error_of(client.get(path)) == (404, "not_found", "")
    answer = client.get("/predict")
    assert error_of(answer) == (405, "method_not_allowed", "")
    assert answer.headers["allow"] == "POST"


def test_a_server_without_a_loaded_model_lives_but_is_not_ready(client: TestClient):
    assert client.get("/livez").json() == {"status": "alive"}
    assert error_of(client.get("/readyz")) == (503, "not_ready", "")


def test_the_model_says_what_it_is(client: TestClient, random_bundle: Bundle):
    model = client.get("/v1/model").json()
    assert model["bundle"] == random_bundle.sha256
    assert model["classes"]["density"] == ["a", "b", "c", "d"]
    assert (model["image_size"], model["grid"], model["side"], model["pooling"]) == (126, 9, 3, "anchored")
    assert FrameConfig(**model["frame"]) == random_bundle.model.frame
    assert model["variant"] == random_bundle.variant
    assert model["notice"] == "research use only, not for diagnosis"


def test_the_model_says_which_of_the_bundles_graphs_answer(random_bundle: Bundle):
    chosen = replace(random_bundle, variant="int8")
    assert model_body(chosen, on_loopback=True).variant == "int8"


def test_the_published_schema_has_the_form_the_answer_and_the_one_error(client: TestClient):
    schema = client.get("/openapi.json").json()
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


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the server's own logger writes."""
    logger = logging.getLogger("glam_serve")
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO, "glam_serve")
    yield caplog
    logger.removeHandler(caplog.handler)


def test_the_log_has_no_file_name_and_no_path_of_the_callers(client: TestClient, log: pytest.LogCaptureFixture):
    client.post("/predict", files={"cc": (f"{SECRET}.dcm", SECRET.encode())})
    client.get(f"/{SECRET}?name={SECRET}")
    assert "POST /predict 415" in log.text
    assert "GET (no route) 404" in log.text
    assert SECRET not in log.text


def test_a_line_of_the_log_and_the_answer_bear_the_same_request_id(client: TestClient, log: pytest.LogCaptureFixture):
    mine = "0F3C2B1A-0000-4000-8000-00000000000a"
    answer = client.post("/predict", files={"cc": ("a", b"hello")}, headers={"x-request-id": mine})
    assert answer.headers["x-request-id"] == mine.lower()
    assert mine.lower() in log.text
    other = client.post("/predict", files={"cc": ("a", b"hello")}, headers={"x-request-id": SECRET})
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", other.headers["x-request-id"])
    assert other.headers["x-request-id"] in log.text


def test_a_log_line_has_no_trace():
    with pytest.raises(ValueError, match="DOE") as caught:
        int(SECRET)
    assert where_raised(caught.value).startswith("ValueError at ")
    trace = (caught.type, caught.value, caught.tb)
    record = logging.LogRecord("litserve", logging.ERROR, __file__, 1, "failed", None, trace)
    line = PlainFormatter("%(message)s").format(record)
    assert SECRET not in line
    assert line.startswith("failed\nValueError at ")


def test_includes_may_be_repeated_or_separated_by_commas():
    assert parse_include(None) == set(DEFAULT_INCLUDE)
    assert parse_include(["embedding, frame", "pooling"]) == {"embedding", "frame", "pooling"}
    assert parse_include([""]) == frozenset()
    with pytest.raises(InputError, match="unknown part in include: expected any of embedding"):
        parse_include(["pixels"])


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


def test_what_may_not_be_served_stays_on_this_machine(random_bundle: Bundle):
    own = replace(random_bundle, may_serve=False)
    check_permission(own, "127.0.0.1")
    check_permission(random_bundle, "0.0.0.0")
    with pytest.raises(ValueError, match="may not be served on a network"):
        check_permission(own, "0.0.0.0")


def test_a_prompt_that_is_too_long_for_the_model_is_the_callers_error(
    client: TestClient, random_bundle: Bundle, predictor: Predictor
):
    long = "a mass " * 60
    answer = client.post("/predict", files={"cc": ("cc.dcm", file_of())}, data={"prompts": long})
    assert error_of(answer) == (422, "bad_prompt", "prompts")
    with pytest.raises(InputError, match="tokens, the model takes 64"):
        predictor.predict(file_of(), prompts=[long])
