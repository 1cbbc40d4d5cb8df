"""Jobs: submitted, looked at, answered, forgotten."""

import asyncio
import json
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from glam.bundle import Bundle
from glam.predict import Predictor
from glam.prediction import INCLUDES
from glam_serve.limits import ServerOptions
from glam_serve.schema import JobBody
from glam_serve.worker import ModelAnswer, ModelRequest
from tests.samples.served import PROXY, SECRET, Served, arrays_of, error_of, serve_in_process

pytestmark = pytest.mark.filterwarnings("ignore:The LitServer has both batch and unbatch")


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
        result_id, times = job["answer"].pop("result_id"), job["answer"].pop("timings_ms")
        assert list(times) == ["upload", "queue", "read", "model", "wait", "answer"]
        assert job["answer"] == {key: value for key, value in direct.items() if key not in ("result_id", "timings_ms")}
        assert client.post("/v1/zero-shot", json={"result_id": result_id, "prompts": ["a"]}).status_code == 200
        assert client.delete(location).status_code == 204
        assert error_of(client.get(location))[:2] == (404, "no_such_job")
        assert error_of(client.delete(location))[:2] == (404, "no_such_job")
        assert sum(client.server.vitals.spooled) == 0


@pytest.mark.parametrize("images", [("L_CC", "L_MLO", "R_CC"), ("L_CC",)])
def test_the_answer_of_a_job_comes_as_the_npz_that_predict_would_have_sent(
    client: Served, files, images: tuple[str, ...]
):
    npz, form = {"accept": "application/x-npz"}, {"include": INCLUDES, "prompts": "dense"}
    with client:
        location = client.post("/v1/jobs", files=files(*images), data=form).headers["location"]
        body = finished(client, location)
        later = client.get(location, headers=npz)
        assert later.headers["vary"] == "accept"
        arrays = arrays_of(later)
        direct = arrays_of(client.post("/predict", files=files(*images), data=form, headers=npz))
        assert json.loads(arrays.pop("answer").item()) == body["answer"]
        direct.pop("answer")
        assert sorted(arrays) == sorted(direct)
        for name, array in direct.items():
            assert array.dtype == arrays[name].dtype
            np.testing.assert_array_equal(array, arrays[name])
        both_alike = {"accept": "application/x-npz, application/json"}
        assert client.get(location, headers=both_alike).json() == body


def test_a_job_without_an_answer_is_json_whatever_is_accepted(client: Served):
    npz = {"accept": "application/x-npz"}
    with client:
        taken = client.post("/v1/jobs", files=[("cc", ("x", b"x"))], headers=npz)
        assert taken.json()["state"] == "queued"
        job = finished(client, taken.headers["location"], headers=npz)
        assert (job["state"], job["error"]["code"]) == ("failed", "not_dicom")
        assert error_of(client.get("/v1/jobs/none", headers=npz))[:2] == (404, "no_such_job")


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
    client = serve_in_process(random_bundle, predictor, options=ServerOptions(audit=audit))
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
        npz = {"accept": "application/x-npz"}
        assert "embedding" in arrays_of(kept.get(location, headers=npz))
        for headers in (PROXY, PROXY | npz):
            assert error_of(kept.get(location, headers=headers))[:2] == (403, "embedding_stays")
        location = kept.post("/v1/jobs", files=files(cc="L_CC"), headers=PROXY).headers["location"]
        assert finished(kept, location, headers=PROXY)["answer"]["embedding"] is None
        assert "embedding" not in str(list(arrays_of(kept.get(location, headers=PROXY | npz))))


def test_a_job_whose_caller_leaves_while_it_is_taken_runs_and_gives_its_place_back(
    client: Served, files, monkeypatch: pytest.MonkeyPatch
):
    hub, begun, may_go_on = client.server.hub, threading.Event(), threading.Event()
    submit_job, keys = hub.submit_job, list[str]()

    def slow_submit(key: str, *about: Any) -> object:
        keys.append(key)
        begun.set()
        may_go_on.wait(30)
        return submit_job(key, *about)

    async def leave_meanwhile() -> None:
        transport = httpx.ASGITransport(client.server.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as caller:
            asking = asyncio.create_task(caller.post("/v1/jobs", files=files("L_CC")))
            await asyncio.to_thread(begun.wait, 30)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            may_go_on.set()
            deadline = time.monotonic() + 30
            while (job := hub.job(keys[0])) is None or job.is_open:
                assert time.monotonic() < deadline, f"the job is {job and job.state}"
                await asyncio.sleep(0.02)
            assert job.state == "done"

    monkeypatch.setattr(hub, "submit_job", slow_submit)
    asyncio.run(leave_meanwhile())


@pytest.mark.parametrize("call", ["submit_job", "job", "forget_job", "keep_result", "result"])
def test_a_hub_that_ends_while_it_is_asked_is_a_503(client: Served, files, monkeypatch: pytest.MonkeyPatch, call: str):
    def ended(*_: object) -> None:
        raise EOFError

    monkeypatch.setattr(client.server.hub, call, ended)
    ask = {
        "submit_job": lambda: client.post("/v1/jobs", files=files("L_CC")),
        "job": lambda: client.get("/v1/jobs/x"),
        "forget_job": lambda: client.delete("/v1/jobs/x"),
        "keep_result": lambda: client.post("/predict", files=files("L_CC")),
        "result": lambda: client.post("/v1/zero-shot", json={"result_id": "x", "prompts": ["a"]}),
    }
    assert error_of(ask[call]())[:2] == (503, "worker_lost")
