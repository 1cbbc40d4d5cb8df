"""The middleware around the app: long bodies, cut bodies, callers who hang up, and faults that nobody caught."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Message

from glam_serve.account import add_seconds, note_codes
from glam_serve.audit import AuditLog, verify
from glam_serve.errors import install_error_handlers
from glam_serve.guard import Guard
from glam_serve.keys import ApiKeys
from glam_serve.limits import Limits
from glam_serve.metrics import Metrics, make_metrics
from glam_serve.records import Records

SECRET = "DOE^JANE"
KEY = "key-of-sixteen-characters"
MEGABYTE = 1 << 20
UUID = "6f1ab6a0-6a0e-4c6e-9d0c-3d2a1e9f7b11"


class Load:
    """What the server holds, as a test sets it."""

    def __init__(self) -> None:
        self.num_waiting = 0
        self.num_bytes = 0
        self.of_caller: dict[int, list[int]] = {}

    def waiting(self) -> int:
        return self.num_waiting

    def spooled(self) -> int:
        return self.num_bytes

    def waiting_of(self, caller: int) -> int:
        return self.of_caller.get(caller, [0, 0])[0]

    def spooled_of(self, caller: int) -> int:
        return self.of_caller.get(caller, [0, 0])[1]

    def add(self, caller: int, *, waiting: int = 0, spooled: int = 0) -> None:
        self.num_waiting += waiting
        self.num_bytes += spooled
        before = self.of_caller.get(caller, [0, 0])
        self.of_caller[caller] = [before[0] + waiting, before[1] + spooled]


class House:
    """An app behind a guard, and what the guard keeps."""

    def __init__(self, *, limits: Limits | None = None, keys: tuple[str, ...] = (), audit: Path | None = None) -> None:
        self.load = Load()
        self.metrics: Metrics = make_metrics()
        log = None if audit is None else AuditLog(audit)
        self.app = FastAPI()
        install_error_handlers(self.app)
        self.app.add_middleware(
            Guard,
            limits=limits or Limits(max_upload_mb=1, max_spool_mb=2),
            keys=ApiKeys(keys),
            load=lambda: self.load,
            records=Records(metrics=self.metrics, audit=log, bundle="b" * 64),
        )
        self.client = TestClient(self.app, raise_server_exceptions=False)
        self.app.add_api_route("/count", count, methods=["POST"])
        self.app.add_api_route("/predict/{identity}", predict, methods=["GET"])
        self.app.add_api_route("/readyz", ready, methods=["GET"])
        self.app.add_api_route("/boom", boom, methods=["GET"])
        self.app.add_api_route("/slow", slow, methods=["GET"])

    def counted(self, route: str, status: int) -> float:
        """How many requests of a route were counted with a status."""
        labels = {"route": route, "status": str(status)}
        return self.metrics.registry.get_sample_value("glam_requests_total", labels) or 0.0


async def count(request: Request) -> int:
    return len(await request.body())


async def predict(identity: str) -> str:
    add_seconds("model", 0.25)
    note_codes(["film", "film"])
    return "answer"


async def ready() -> str:
    return "ready"


def boom() -> None:
    raise RuntimeError(SECRET)


async def slow() -> None:
    await anyio.sleep(60)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    caplog.set_level(logging.INFO, "glam_serve")
    logger = logging.getLogger("glam_serve")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def code_of(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_a_body_up_to_the_limit_passes_and_a_longer_one_does_not():
    client = House().client
    assert client.post("/count", content=b"0" * MEGABYTE).json() == MEGABYTE
    assert client.post("/count", content=iter([b"0" * (MEGABYTE // 2)] * 2)).json() == MEGABYTE
    for content in (b"0" * (MEGABYTE + 1), iter([b"0" * MEGABYTE, b"0"])):
        assert code_of(client.post("/count", content=content)) == (413, "body_too_large")


@pytest.mark.parametrize("length", [str(MEGABYTE + 1), "9" * 18, "9" * 19, "9" * 5000])
def test_a_declared_length_beyond_the_limit_is_refused_unread(length: str):
    answer = House().client.post("/count", content=b"", headers={"content-length": length})
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")


def test_a_form_without_its_end_is_cut_short():
    client, form = House().client, {"content-type": "multipart/form-data; boundary=b"}
    for content, status in ((b"--b\r\n\r\nx\r\n--b--", 200), (b"--b\r\n\r\nx\r\n--b-", 400), (b"", 400)):
        assert client.post("/count", content=content, headers=form).status_code == status


def test_an_answer_that_its_caller_does_not_take_in_time_is_no_200():
    house = House()
    scope = {"type": "http", "method": "GET", "path": "/slow", "headers": [], "app": house.app}

    async def receive() -> Message:
        await anyio.sleep_forever()
        return {}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await anyio.sleep_forever()  # what the HTTP layer does while the client takes nothing

    records = Records(metrics=house.metrics, audit=None, bundle="")
    answer = PlainTextResponse("answer")
    guard = Guard(answer, limits=Limits(deadline_s=0.1), keys=ApiKeys(), load=lambda: house.load, records=records)
    anyio.run(guard, scope, receive, send)
    assert (house.counted("/slow", 200), house.counted("/slow", 499)) == (0, 1)


def test_a_caller_without_a_key_is_refused_and_a_probe_needs_none():
    house = House(keys=(KEY,))
    answer = house.client.post("/count", content=b"0")
    assert code_of(answer) == (401, "no_key")
    assert (answer.headers["www-authenticate"], answer.headers["connection"]) == ("Bearer", "close")
    assert house.client.post("/count", content=b"0", headers={"x-api-key": KEY}).status_code == 200
    assert house.client.get("/readyz").status_code == 200
    assert house.counted("/count", 401) == 1


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
def test_how_to_ask_can_be_read_without_a_key_in_a_browser(path: str):
    house = House(keys=(KEY,))  # FastAPI's own pages, which stand at the same paths
    assert house.client.get(path).status_code == 200
    assert code_of(house.client.get(f"{path}/more")) == (401, "no_key")
    house.load.num_waiting = 10**6
    assert house.client.get(path).status_code == 200  # it runs no model
    assert house.counted(path, 200) == 2


def test_what_the_server_holds_bounds_what_it_takes_and_everything_is_let_go():
    house = House(limits=Limits(max_upload_mb=1, max_spool_mb=1, max_waiting=3))
    house.load.num_waiting = 3
    answer = house.client.post("/count", content=b"0")
    assert code_of(answer) == (429, "too_many_requests")
    assert answer.headers["retry-after"] == "1"
    assert house.client.get("/readyz").status_code == 200  # a probe is answered whatever the load
    house.load.num_waiting, house.load.num_bytes = 0, MEGABYTE
    answer = house.client.post("/count", content=b"0")
    assert code_of(answer) == (503, "busy")
    house.load.num_bytes = 0
    for content in (b"0" * 1000, iter([b"0" * 600] * 2), iter([b"0" * MEGABYTE] * 2)):
        house.client.post("/count", content=content)
    assert (house.load.num_waiting, house.load.num_bytes) == (0, 0)


def test_a_late_answer_is_504():
    house = House(limits=Limits(deadline_s=0.1))
    answer = house.client.get("/slow")
    assert code_of(answer) == (504, "timed_out")
    assert answer.headers["retry-after"] == "5"
    assert house.load.num_waiting == 0


def test_head_answers_as_get_does_without_the_body():
    house = House()
    answer = house.client.head("/readyz")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "7")
    assert house.client.head("/predict/1").status_code == 200
    assert house.client.head("/count").status_code == 405


def test_what_reads_only_is_answered_while_the_model_is_asked_too_much():
    house = House(limits=Limits(max_upload_mb=1, max_spool_mb=1, max_waiting=1))
    house.load.num_waiting = 1
    assert house.client.get("/predict/1", headers={"content-length": "1000"}).status_code == 200
    assert code_of(house.client.post("/count", content=b"0")) == (429, "too_many_requests")
    assert (house.load.num_waiting, house.load.num_bytes) == (1, 0)


def test_a_request_keeps_its_uuid_and_nothing_else_that_the_caller_calls_it():
    client = House().client
    assert client.get("/readyz", headers={"x-request-id": UUID}).headers["x-request-id"] == UUID
    for sent in (SECRET, UUID + "0", "", f"{UUID}, {UUID}"):
        assert client.get("/readyz", headers={"x-request-id": sent}).headers["x-request-id"] not in (sent, UUID)


def test_a_caller_who_hangs_up_early_is_no_failure_in_the_log(log: pytest.LogCaptureFixture):
    messages: list[Message] = [{"type": "http.request", "body": b"0", "more_body": True}, {"type": "http.disconnect"}]
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    async def read_all(scope: object, receive, send) -> None:
        while (await receive())["type"] == "http.request":
            pass

    house = House()
    scope = {"type": "http", "method": SECRET, "path": "/" + SECRET, "headers": [], "app": house.app}
    records = Records(metrics=house.metrics, audit=None, bundle="")
    guard = Guard(read_all, limits=Limits(), keys=ApiKeys(), load=lambda: house.load, records=records)
    anyio.run(guard, scope, receive, send)
    assert "(other) (no route) 499" in log.text
    assert SECRET not in log.text
    assert house.counted("(no route)", 499) == 1


def test_what_nobody_caught_is_a_500_without_a_trace(log: pytest.LogCaptureFixture):
    answer = House().client.get("/boom")
    assert code_of(answer) == (500, "internal_error")
    assert "RuntimeError at" in log.text
    assert "test_guard.py" in log.text
    assert SECRET not in log.text + answer.text


def test_a_request_is_counted_by_the_apps_path_and_not_by_the_callers(log: pytest.LogCaptureFixture):
    house = House()
    answer = house.client.get(f"/predict/{SECRET}")
    house.client.get(f"/{SECRET}")
    assert answer.headers["server-timing"] == "model;dur=250.0"
    assert house.counted("/predict/{identity}", 200) == 1
    assert house.counted("(no route)", 404) == 1
    sample = house.metrics.registry.get_sample_value
    assert sample("glam_stage_seconds_sum", {"stage": "model"}) == 0.25
    assert sample("glam_findings_total", {"code": "film"}) == 2
    assert sample("glam_findings_total", {"code": "not_found"}) == 1
    assert sample("glam_request_seconds_count", {"route": "/predict/{identity}"}) == 1
    values = [str(labels) for metric in house.metrics.registry.collect() for _, labels, *_ in metric.samples]
    assert SECRET not in log.text + "".join(values)


def test_the_times_of_one_request_are_not_those_of_another():
    house = House()
    for _ in range(2):
        assert house.client.get("/predict/1").headers["server-timing"] == "model;dur=250.0"
    assert "server-timing" not in house.client.get("/readyz").headers


def test_probes_that_are_answered_leave_no_line(log: pytest.LogCaptureFixture):
    client = House().client
    client.get("/readyz")
    assert log.text == ""
    client.post("/readyz")
    assert "POST /readyz 405" in log.text


def test_answers_of_the_model_are_audited_before_they_are_sent(tmp_path: Path):
    house = House(audit=tmp_path / "audit")
    house.client.get("/predict/1", headers={"x-request-id": UUID})
    for path in ("/readyz", "/boom", "/nowhere"):
        house.client.get(path)
    (line,) = (tmp_path / "audit").read_text().splitlines()
    written = json.loads(line)
    assert [written[key] for key in ("request_id", "bundle", "route", "status")] == [
        UUID, "b" * 64, "/predict/{identity}", 200
    ]  # fmt: skip
    assert verify(tmp_path / "audit").num_lines == 1


def removed(audit: Path) -> None:
    audit.unlink()


def cut(audit: Path) -> None:
    audit.write_text("half a line")


@pytest.mark.parametrize("damage", [removed, cut])
def test_what_cannot_be_audited_is_not_answered(
    tmp_path: Path, log: pytest.LogCaptureFixture, damage: Callable[[Path], None]
):
    house = House(audit=tmp_path / "audit")
    damage(tmp_path / "audit")
    answer = house.client.get("/predict/1")
    assert code_of(answer) == (500, "audit_failed")
    assert "answer" not in answer.text.replace(answer.json()["message"], "")
    assert "audit_failed" in log.text
    assert house.counted("/predict/{identity}", 500) == 1
    assert house.client.get("/readyz").status_code == 200
