"""What the page's server refuses, whoever asks."""

import os
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from glam_ui import guard
from glam_ui.guard import GRADIO, Guard


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A page that answers everything, behind the guard; its uploads wait in `tmp_path`."""
    monkeypatch.setitem(os.environ, "GRADIO_TEMP_DIR", str(tmp_path))
    everything = Route("/{path:path}", lambda _: PlainTextResponse("yes"), methods=["GET", "POST"])
    return TestClient(Guard(Starlette(routes=[everything])))


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_pages_of_other_sites_ask_in_vain(page: TestClient, site: str):
    headers = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}
    for path in ("/", "/config", "/kept/x", f"{GRADIO}upload"):
        assert page.get(path, headers=headers).status_code == 403
        assert page.post(path, headers=headers).status_code == 403
    form = {"sec-fetch-site": site, "sec-fetch-mode": "navigate"}
    assert page.post(f"{GRADIO}upload", headers=form).status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", "same-origin"])
def test_a_link_to_the_page_may_be_followed_from_anywhere(page: TestClient, site: str):
    assert page.get("/", headers={"sec-fetch-site": site, "sec-fetch-mode": "navigate"}).status_code == 200


@pytest.mark.parametrize(
    "path", ["file=/etc/passwd", "file/x", "proxy=http://a.example", "stream/x", "run/x", "call/x", "process_recording"]
)
def test_what_the_page_does_not_use_of_gradio_is_not_there(page: TestClient, path: str):
    assert page.get(GRADIO + path).status_code == 404
    assert page.post(GRADIO + path).status_code == 404


@pytest.mark.parametrize("path", ["app_id", "heartbeat/x", "queue/join", "queue/data?session_hash=x", "upload"])
def test_what_the_page_uses_is_there(page: TestClient, path: str):
    """By `app_id` a page that lost its server finds out that it is back: without an answer it waits for ever."""
    assert page.get(GRADIO + path).status_code == 200


def test_an_app_behind_the_guard_begins_and_ends(page: TestClient):
    with page:  # its lifespan, which has no path
        assert page.get("/").status_code == 200


def test_an_upload_that_was_refused_is_over():
    progress = {"known": PlainTextResponse("data: 1"), "refused": PlainTextResponse("Upload not found", 404)}
    route = Route(f"{GRADIO}upload_progress", lambda request: progress[request.query_params["upload_id"]])
    page = TestClient(Guard(Starlette(routes=[route])))
    assert page.get(f"{GRADIO}upload_progress?upload_id=known").text == "data: 1"
    over = page.get(f"{GRADIO}upload_progress?upload_id=refused")
    assert (over.status_code, over.text) == (200, guard.UPLOAD_IS_OVER)
    assert over.headers["content-type"].startswith("text/event-stream")


OF_GRADIO = {"meta": {"_type": "gradio.FileData"}}
QUESTIONS = [
    {"path": "/etc/hostname"},
    {"path": "/etc/hostname", "is_stream": True},
    {"path": "http://a.example/x.dcm"},
    {"path": "http://a.example/x.dcm", "url": "http://a.example/x.dcm"},
    {"path": "/dev/zero"},
    {"path": "../uploads"},
    {"path": ""},
    {"path": "\0"},
    {"path": "x" * 5000},
    {"path": None},
    {"path": ["/etc/hostname"]},
]


@pytest.mark.parametrize("file", QUESTIONS, ids=str)
def test_a_question_names_no_file_but_an_upload(page: TestClient, file: dict):
    for data in ([file | OF_GRADIO], [[file | OF_GRADIO]], [{"deep": [[file]]}]):
        assert page.post(f"{GRADIO}queue/join", json={"data": data}).status_code == 403


def test_a_question_names_an_upload_that_is_there_or_gone_and_none_of_its_neighbours(page: TestClient, tmp_path: Path):
    folder = tmp_path / "of-content"
    folder.mkdir()
    (folder / "a file.dcm").touch()
    (folder / "to-elsewhere").symlink_to("/etc/hostname")
    status = {
        "a file.dcm": 200,
        "gone.dcm": 200,
        "to-elsewhere": 403,
        "../a-part-of-an-upload": 403,
        "../../../etc/hostname": 403,
        ".": 403,
        "..": 403,
    }
    asked = {
        name: page.post(f"{GRADIO}queue/join", json={"data": [[{"path": f"{folder}/{name}"} | OF_GRADIO]]})
        for name in status
    }
    assert {name: answer.status_code for name, answer in asked.items()} == status


def test_a_question_reaches_gradio_as_it_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def said(request: Request) -> PlainTextResponse:
        return PlainTextResponse(await request.body())

    page = TestClient(Guard(Starlette(routes=[Route(f"{GRADIO}queue/join", said, methods=["POST"])])))
    question = b'{"data": ["a sentence", 5, null, {"key": [1e400]}]}'
    assert page.post(f"{GRADIO}queue/join", content=question).content == question
    assert page.post(f"{GRADIO}queue/join", content=iter([question[:9], question[9:]])).content == question


@pytest.mark.parametrize("question", [b"{", b"\xff", b"[" * 100_000])
def test_a_question_that_cannot_be_read_is_refused(page: TestClient, question: bytes):
    assert page.post(f"{GRADIO}queue/join", content=question).status_code == 403


def test_a_question_that_is_too_long_is_refused(page: TestClient):
    question = b'["' + b"x" * guard.MAX_QUESTION_BYTES + b'"]'
    assert page.post(f"{GRADIO}queue/join", content=question).status_code == 413
