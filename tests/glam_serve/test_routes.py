"""The routes of a server in one process: the model answers in place of a worker, a Hub in place of its process."""

import asyncio
import base64
import io
import json
import shutil
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from glam.bundle import Bundle, read_bundle
from glam.exam import MAX_IMAGES
from glam.predict import Predictor
from glam.prediction import INCLUDES
from glam.words.prompt_sets import packaged_sets, unnamed_set
from glam_serve.api import ModelAnswer, ModelRequest, answer_together
from glam_serve.dispatch import DispatchServer
from glam_serve.hub import Hub
from glam_serve.limits import Limits, ServerOptions
from glam_serve.openapi import FORM_SCHEMAS
from glam_serve.schema import ErrorBody, ExamBody, JobBody, PredictionBody
from glam_serve.server import make_server
from glam_serve.uploads import FIELD_RULES
from glam_serve.vector_schema import EmbeddedImagesBody, EmbeddedTextsBody, ZeroShotBody

pytestmark = pytest.mark.filterwarnings("ignore:The LitServer has both batch and unbatch")

SECRET = "DOE^JANE"
CLASSES = {"no": ["No mass is present", "Negative"], "yes": ["A mass is present"]}
SHORT = packaged_sets()["glam-short"]


class Served(TestClient):
    """A client of an app, and what its model was asked."""

    server: DispatchServer
    asked: list[ModelRequest]


def serve(bundle: Bundle, predictor: Predictor, **options) -> Served:
    server = make_server(bundle, limits=Limits(), **options)
    server._hub = Hub(1, 1)
    asked: list[ModelRequest] = []

    async def ask(payload: ModelRequest, *, timeout_s: float) -> ModelAnswer:
        asked.append(payload)
        return answer_together(predictor.runtime, [payload])[0]

    @asynccontextmanager
    async def without_workers(_: object) -> AsyncIterator[None]:
        yield

    server.ask = ask
    server.app.router.lifespan_context = without_workers
    client = Served(server.app, raise_server_exceptions=False, base_url="http://127.0.0.1", client=("127.0.0.1", 1))
    client.server, client.asked = server, asked
    return client


@pytest.fixture(scope="module")
def client(random_bundle: Bundle, predictor: Predictor) -> Served:
    return serve(random_bundle, predictor)


@pytest.fixture(scope="module")
def files(mammograms: dict[str, Path]) -> Callable[..., list]:
    """A function: field=name of a mammogram -> the files of a form."""

    def form(*images: str, **views: str) -> list:
        named = [*(("images", name) for name in images), *views.items()]
        return [(field, (f"{SECRET}.dcm", mammograms[name].read_bytes())) for field, name in named]

    return form


def error_of(answer) -> tuple[int, str, str]:
    ErrorBody.model_validate(answer.json())
    assert SECRET not in answer.text
    return answer.status_code, answer.json()["code"], answer.json()["where"]


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


# npz


def arrays_of(answer) -> dict[str, np.ndarray]:
    assert answer.headers["content-type"] == "application/x-npz"
    with np.load(io.BytesIO(answer.content), allow_pickle=False) as arrays:
        return dict(arrays)


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


# Words


def test_a_set_is_asked_by_name_and_answered_with_its_hash(client: Served, files):
    form = {"prompts": '{"set": "glam-short"}', "include": "findings"}
    answer = client.post("/predict", files=files(cc="L_CC", mlo="L_MLO"), data=form).json()
    told = answer["prompt_set"]
    assert (told["name"], told["version"], told["sha256"]) == (SHORT.name, SHORT.version, SHORT.sha256)
    assert told["tasks"]["density"] == pytest.approx(answer["density"], abs=1e-4)
    assert answer["prompts"] == {}


def test_classes_come_with_the_request(client: Served, files, predictor: Predictor, mammograms):
    form = {"prompts": json.dumps({"classes": CLASSES})}
    told = client.post("/predict", files=files(cc="L_CC"), data=form).json()["prompt_set"]
    asked = unnamed_set(CLASSES)
    expected = predictor.predict(mammograms["L_CC"], prompts=asked).prompt_set
    assert (told["name"], told["sha256"]) == (None, asked.sha256)
    assert told["tasks"]["classes"] == pytest.approx(expected.tasks["classes"], abs=1e-5)


@pytest.mark.parametrize(
    "prompts",
    [
        ['{"set": "DOE^JANE"}'],
        ['{"set": 1}'],
        ['{"set": "glam-short", "classes": {}}'],
        ['{"classes": {"DOE^JANE": ["a"]}}'],
        ['{"classes": {"DOE^JANE": ["a"], "b": []}}'],
        ['{"classes": {"a": ["DOE^JANE", "DOE^JANE"], "b": ["x"]}}'],
        ['{"classes": {"a": ["x"], "a": ["y"]}}'],
        ['{"classes": {"a": ["\\ud800"], "b": ["x"]}}'],
        ['{"DOE^JANE": 1}'],
        ["{DOE^JANE"],
        ['{"set": "glam-short"}', "DOE^JANE"],
        ["a", '{"set": "glam-short"}'],
        ["[" * 100_000],
        ["{" * 100_000],
        [""],
    ],
)
def test_prompts_that_cannot_be_followed_are_refused_and_not_repeated(client: Served, files, prompts: list[str]):
    answer = client.post("/predict", files=files(cc="L_CC"), data={"prompts": prompts})
    assert error_of(answer) == (422, "bad_prompt", "prompts")


def test_sentences_are_embedded_once(client: Served, files):
    form = {"prompts": ["a sentence nobody asked", "another one"]}
    client.asked.clear()
    for _ in range(2):
        assert client.post("/predict", files=files(cc="L_CC"), data=form).status_code == 200
    assert [request.tokens is not None for request in client.asked].count(True) == 1


def test_a_server_that_started_reads_no_file_of_its_bundle_any_more(
    random_bundle: Bundle, predictor: Predictor, files, tmp_path: Path
):
    copied = shutil.copytree(random_bundle.folder, tmp_path / "bundle")
    client = serve(read_bundle(copied), predictor)
    shutil.rmtree(copied)
    asked = [{"prompts": "a zebra"}, {"prompts": '{"set": "glam-short"}'}]
    answers = [client.post("/predict", files=files(cc="L_CC", mlo="L_MLO"), data=data) for data in asked]
    answers.append(client.post("/v1/embed/text", json={"texts": ["a mass"]}))
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[0].json()["prompts"]["a zebra"]["unknown_words"] == ["zebra"]


def test_sets_of_a_folder_take_the_place_of_others(random_bundle: Bundle, predictor: Predictor, files, tmp_path: Path):
    lines = json.dumps({"format": 1, "name": "glam-short", "version": "7", "tasks": {"classes": CLASSES}})
    (tmp_path / "own.yaml").write_text(lines)  # JSON is YAML
    client = serve(random_bundle, predictor, options=ServerOptions(prompt_sets=tmp_path))
    answer = client.post("/predict", files=files(cc="L_CC"), data={"prompts": '{"set": "glam-short"}'})
    assert answer.json()["prompt_set"]["version"] == "7"
    assert client.post("/predict", files=files(cc="L_CC"), data={"prompts": '{"set": "none"}'}).status_code == 422


# Vectors


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


VECTOR = [1.0] + [0.0] * 15


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


# The licence


PROXY = {"via": "1.1 proxy"}


@pytest.fixture
def kept(kept_bundle: Bundle, predictor: Predictor) -> Served:
    return serve(kept_bundle, predictor, host="127.0.0.1")


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


# Jobs


def finished(client: Served, location: str, **options) -> dict:
    deadline = time.monotonic() + 30
    while (body := client.get(location, **options).json())["state"] in {"queued", "running"}:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    JobBody.model_validate_json(json.dumps(body))
    return body


def test_a_job_is_submitted_looked_at_and_forgotten(client: Served, files):
    with client:
        form = {"include": "findings", "prompts": "dense"}
        taken = client.post("/v1/jobs", files=files("L_CC", "L_MLO"), data=form)
        assert (taken.status_code, taken.json()["state"]) == (202, "queued")
        location = taken.headers["location"]
        assert location == f"/v1/jobs/{taken.json()['job_id']}"
        job = finished(client, location)
        direct = client.post("/predict", files=files("L_CC", "L_MLO"), data=form).json()
        assert (job["state"], job["error"]) == ("done", None)
        result_id = job["answer"].pop("result_id")
        assert job["answer"] == {key: value for key, value in direct.items() if key not in ("result_id", "timings_ms")}
        assert client.post("/v1/zero-shot", json={"result_id": result_id, "prompts": ["a"]}).status_code == 200
        assert client.delete(location).status_code == 204
        assert error_of(client.get(location))[:2] == (404, "no_such_job")
        assert error_of(client.delete(location))[:2] == (404, "no_such_job")
        assert sum(client.server.vitals.spooled) == 0


def test_a_job_that_cannot_be_answered_says_why(client: Served, files, monkeypatch: pytest.MonkeyPatch):
    with client:
        assert error_of(client.post("/v1/jobs", files=files(cc="L_CC"), data={"include": "x"}))[0] == 422
        taken = client.post("/v1/jobs", files=[("cc", ("x", SECRET.encode()))])
        job = finished(client, taken.headers["location"])
        assert (job["state"], job["error"]["code"], job["error"]["where"]) == ("failed", "not_dicom", "cc")

        async def broken(*_: object, **__: object) -> None:
            raise RuntimeError(SECRET)

        monkeypatch.setattr(client.server, "ask", broken)
        taken = client.post("/v1/jobs", files=files(cc="L_CC"))
        job = finished(client, taken.headers["location"])
        assert job["error"]["code"] == "internal_error"
        assert SECRET not in json.dumps(job)


def test_the_form_of_a_job_that_waits_is_given_back_when_it_is_forgotten(
    client: Served, files, monkeypatch: pytest.MonkeyPatch
):
    go_on, answer = threading.Event(), client.server.ask

    async def after_a_while(payload: ModelRequest, **options) -> ModelAnswer:
        await asyncio.to_thread(go_on.wait, 30)
        return await answer(payload, **options)

    def spooled_falls_to(num_bytes: int) -> None:
        deadline = time.monotonic() + 10
        while sum(client.server.vitals.spooled) != num_bytes:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    monkeypatch.setattr(client.server, "ask", after_a_while)
    form = files(cc="L_CC")
    size = len(form[0][1][1])
    with client:
        first, second, third = (client.post("/v1/jobs", files=form).headers["location"] for _ in range(3))
        assert sum(client.server.vitals.spooled) == 3 * size
        assert client.delete(second).status_code == 204
        spooled_falls_to(2 * size)
        assert client.server.hub.forget_job(third.rpartition("/")[2])  # as another API process does
        spooled_falls_to(size)
        go_on.set()
        assert finished(client, first)["state"] == "done"
        spooled_falls_to(0)


def test_the_audit_log_has_one_line_for_a_job_that_was_answered_by_the_request_that_submitted_it(
    random_bundle: Bundle, predictor: Predictor, files, tmp_path: Path
):
    audit = tmp_path / "audit"
    client = serve(random_bundle, predictor, options=ServerOptions(audit=audit))
    ids = [str(uuid.uuid4()) for _ in range(2)]
    with client:
        taken = client.post("/v1/jobs", files=files(cc="L_CC"), headers={"X-Request-ID": ids[0]})
        finished(client, location := taken.headers["location"])
        assert client.get(location).json()["state"] == "done"
        assert client.delete(location).status_code == 204
        assert client.get(location).status_code == 404
        failing = client.post("/v1/jobs", files=[("cc", ("x", b"x"))])
        assert finished(client, failing.headers["location"])["state"] == "failed"
        assert client.post("/predict", files=files(cc="L_CC"), headers={"X-Request-ID": ids[1]}).status_code == 200
        lines = [json.loads(line) for line in audit.read_text().splitlines()]
        told = [(line["request_id"], line["route"], line["status"]) for line in lines]
        assert told == [(ids[0], "/v1/jobs", 200), (ids[1], "/predict", 200)]
        audit.unlink()
        job = finished(client, client.post("/v1/jobs", files=files(cc="L_CC")).headers["location"])
        assert (job["answer"], job["error"]["code"]) == (None, "audit_failed")


def test_an_answer_with_embeddings_that_stay_is_fetched_here_alone(kept: Served, files):
    with kept:
        location = kept.post("/v1/jobs", files=files(cc="L_CC")).headers["location"]
        assert finished(kept, location)["answer"]["embedding"] is not None
        assert error_of(kept.get(location, headers=PROXY))[:2] == (403, "embedding_stays")
        location = kept.post("/v1/jobs", files=files(cc="L_CC"), headers=PROXY).headers["location"]
        assert finished(kept, location, headers=PROXY)["answer"]["embedding"] is None


# The schema


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
        *("/v1/model", "/v1/zero-shot"),
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


def test_the_page_of_the_schema_needs_nothing_from_anywhere(client: Served):
    page = client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for path in client.get("/openapi.json").json()["paths"]:
        assert f"<code>{path}</code>" in page.text
    for word in ("<script", "http://", "https://", "src=", "@import", "url("):
        assert word not in page.text


def test_a_map_of_the_answer_is_a_picture(client: Served, files):
    answer = client.post("/predict", files=files(cc="L_CC", mlo="L_MLO"), data={"include": "maps"}).json()
    assert [base64.b64decode(sent["png"])[:4] for sent in answer["maps"]] == [b"\x89PNG"] * 2
