"""The middleware around the app: long bodies, cut bodies, callers who hang up, and faults that nobody caught."""

import logging
from collections.abc import Iterator

import anyio
import pytest
from fastapi import FastAPI, Request
from starlette.testclient import TestClient
from starlette.types import Message

from glam_serve.errors import install_error_handlers
from glam_serve.guard import Guard

SECRET = "DOE^JANE"


def guarded() -> FastAPI:
    """An app that counts the bytes it gets, behind a limit of 100 bytes."""
    app = FastAPI()
    install_error_handlers(app)
    app.add_middleware(Guard, max_bytes=100)

    @app.post("/count")
    async def count(request: Request) -> int:
        return len(await request.body())

    return app


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    caplog.set_level(logging.INFO, "glam_serve")
    logger = logging.getLogger("glam_serve")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def test_a_body_up_to_the_limit_passes_and_a_longer_one_does_not():
    client = TestClient(guarded())
    assert client.post("/count", content=b"0" * 100).json() == 100
    assert client.post("/count", content=iter([b"0" * 50] * 2)).json() == 100
    for content in (b"0" * 101, iter([b"0" * 50, b"0" * 51])):
        answer = client.post("/count", content=content)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("length", ["101", "9" * 18, "9" * 19, "9" * 5000])
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
    anyio.run(Guard(read_all, max_bytes=100), scope, receive, send)
    assert "(other) (no route) 499" in log.text
    assert SECRET not in log.text


def test_what_nobody_caught_is_a_500_without_a_trace(log: pytest.LogCaptureFixture):
    app = FastAPI()
    install_error_handlers(app)
    app.add_middleware(Guard, max_bytes=100)

    @app.get("/boom")
    def boom() -> None:
        raise RuntimeError(SECRET)

    answer = TestClient(app).get("/boom")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "RuntimeError at" in log.text
    assert "test_guard.py" in log.text
    assert SECRET not in log.text + answer.text
