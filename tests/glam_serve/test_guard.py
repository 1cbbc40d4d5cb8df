"""The middleware around the app: long bodies, cut bodies, callers who hang up, and faults that nobody caught."""

import asyncio
import logging
import re
from collections.abc import Iterator

import anyio
import pytest
from fastapi import FastAPI, Request
from starlette.testclient import TestClient
from starlette.types import Message

from glam_serve.errors import install_error_handlers
from glam_serve.guard import Guard
from glam_serve.keys import ApiKeys
from glam_serve.limits import Limits
from glam_serve.vitals import SharedLoad, Vitals

SECRET = "DOE^JANE"
KEY = "a-key-of-more-than-sixteen"
MB = 1 << 20


def guarded(limits: Limits | None = None, *, keys: ApiKeys | None = None, load: SharedLoad | None = None) -> FastAPI:
    """An app that counts the bytes it gets, behind a limit of 1 MiB."""
    app = FastAPI()
    install_error_handlers(app)
    load = load or fresh_load()
    app.add_middleware(Guard, limits=limits or Limits(max_upload_mb=1), keys=keys or ApiKeys(), load=lambda: load)

    @app.post("/count")
    async def count(request: Request) -> int:
        return len(await request.body())

    @app.post("/slow")
    async def slow(request: Request) -> str:
        await request.body()
        await asyncio.sleep(60)
        return "late"

    @app.get("/livez")
    async def livez() -> str:
        return "alive"

    return app


def fresh_load() -> SharedLoad:
    return SharedLoad(Vitals(num_apis=1, num_workers=1), 0)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    caplog.set_level(logging.INFO, "glam_serve")
    logger = logging.getLogger("glam_serve")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def test_a_body_up_to_the_limit_passes_and_a_longer_one_does_not():
    client = TestClient(guarded())
    assert client.post("/count", content=b"0" * MB).json() == MB
    assert client.post("/count", content=iter([b"0" * (MB // 2)] * 2)).json() == MB
    for content in (b"0" * (MB + 1), iter([b"0" * (MB // 2), b"0" * (MB // 2 + 1)])):
        answer = client.post("/count", content=content)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("length", [str(MB + 1), "9" * 18, "9" * 19, "9" * 5000])
def test_a_declared_length_beyond_the_limit_is_refused_unread(length: str):
    answer = TestClient(guarded()).post("/count", content=b"", headers={"content-length": length})
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")


def test_a_form_without_its_end_is_cut_short():
    client, form = TestClient(guarded()), {"content-type": "multipart/form-data; boundary=b"}
    for content, status in ((b"--b\r\n\r\nx\r\n--b--", 200), (b"--b\r\n\r\nx\r\n--b-", 400), (b"", 400)):
        assert client.post("/count", content=content, headers=form).status_code == status


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

    app = FastAPI()
    scope = {"type": "http", "method": SECRET, "path": "/" + SECRET, "headers": [], "app": app}
    guard = Guard(read_all, limits=Limits(), keys=ApiKeys(), load=fresh_load)
    anyio.run(guard, scope, receive, send)
    assert "(other) (no route) 499" in log.text
    assert SECRET not in log.text


def test_what_nobody_caught_is_a_500_without_a_trace(log: pytest.LogCaptureFixture):
    app = guarded()

    @app.get("/boom")
    def boom() -> None:
        raise RuntimeError(SECRET)

    answer = TestClient(app).get("/boom")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "RuntimeError at" in log.text
    assert "test_guard.py" in log.text
    assert SECRET not in log.text + answer.text


def test_a_request_without_a_key_is_refused_unread_and_probes_need_none():
    client = TestClient(guarded(keys=ApiKeys([KEY, KEY[::-1]])))
    for headers in ({}, {"x-api-key": KEY[:-1]}, {"authorization": f"Basic {KEY}"}, {"authorization": "Bearer"}):
        answer = client.post("/count", content=b"0", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "no_key")
        assert (answer.headers["connection"], answer.headers["www-authenticate"]) == ("close", "Bearer")
        assert KEY[:-1] not in answer.text
    for headers in ({"x-api-key": KEY}, {"authorization": f"bearer {KEY[::-1]}"}):
        assert client.post("/count", content=b"0", headers=headers).json() == 1
    assert client.get("/livez").json() == "alive"


def test_beyond_the_queue_a_request_is_429_with_a_time_to_wait_and_probes_answer():
    load = fresh_load()
    client = TestClient(guarded(Limits(max_upload_mb=1, max_waiting=2), load=load))
    load.add(waiting=2)
    answer = client.post("/count", content=b"0")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (429, "too_many_requests", "1")
    assert client.get("/livez").status_code == 200
    load.add(waiting=-1)
    assert client.post("/count", content=b"0").status_code == 200
    assert load.waiting() == 1


def test_beyond_the_spool_an_upload_is_busy_before_it_is_read_and_what_was_held_is_let_go():
    load = fresh_load()
    client = TestClient(guarded(Limits(max_upload_mb=1, max_spool_mb=1), load=load))
    load.add(spooled=MB - 10)
    answer = client.post("/count", content=b"0" * 11)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "busy", "5")
    assert client.post("/count", content=b"0" * 10).json() == 10
    assert load.spooled() == MB - 10


def test_what_is_late_is_504_and_counts_no_more():
    load = fresh_load()
    client = TestClient(guarded(Limits(max_upload_mb=1, deadline_s=0.2), load=load))
    answer = client.post("/slow", content=b"0")
    assert (answer.status_code, answer.json()["code"]) == (504, "timed_out")
    assert (load.waiting(), load.spooled()) == (0, 0)


@pytest.mark.parametrize(("limits", "pause_s"), [({"body_idle_s": 0.2}, 5.0), ({"upload_s": 0.3}, 0.1)])
def test_an_upload_that_stalls_is_408(limits: dict[str, float], pause_s: float):
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.sleep(pause_s)
        return {"type": "http.request", "body": b"0", "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    app = guarded(Limits(max_upload_mb=1, **limits))
    scope = {"type": "http", "method": "POST", "path": "/count", "raw_path": b"/count", "headers": []}
    scope |= {"query_string": b"", "http_version": "1.1", "scheme": "http"}
    asyncio.run(asyncio.wait_for(app(scope, receive, send), 4))
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]
    assert b'"upload_stalled"' in sent[1]["body"]


def test_a_caller_who_leaves_after_the_upload_ends_the_work(log: pytest.LogCaptureFixture):
    ended = asyncio.Event()

    async def endless(scope: object, receive, send) -> None:
        await receive()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async def call() -> None:
        gone = asyncio.Event()
        messages: list[Message] = [{"type": "http.request", "body": b"0"}]

        async def receive() -> Message:
            if messages:
                return messages.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            raise AssertionError("nobody is there")

        scope = {"type": "http", "method": "POST", "path": "/x", "headers": [], "app": FastAPI()}
        load = fresh_load()
        guard = Guard(endless, limits=Limits(), keys=ApiKeys(), load=lambda: load)
        asyncio.get_running_loop().call_later(0.2, gone.set)
        await asyncio.wait_for(guard(scope, receive, send), 5)
        assert (load.waiting(), load.spooled()) == (0, 0)

    asyncio.run(call())
    assert ended.is_set()
    assert "POST (no route) 499" in log.text


def test_every_answer_bears_a_request_id_of_its_own_or_the_callers_uuid(log: pytest.LogCaptureFixture):
    client = TestClient(guarded())
    mine = "0f3c2b1a-0000-4000-8000-00000000000a"
    for path in ("/count", "/nothing"):
        assert client.post(path, headers={"x-request-id": mine.upper()}).headers["x-request-id"] == mine
        other = client.post(path, headers={"x-request-id": SECRET}).headers["x-request-id"]
        assert re.fullmatch(r"[0-9a-f-]{36}", other)
        assert other in log.text
    assert SECRET not in log.text
