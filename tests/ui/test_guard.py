"""What the page's server refuses, whoever asks."""

import json
import os
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from glam_ui import guard
from glam_ui.guard import GRADIO, Guard
from glam_ui.questions import Questions


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A page that answers everything, behind the guard; its uploads wait in `tmp_path`."""
    monkeypatch.setitem(os.environ, "GRADIO_TEMP_DIR", str(tmp_path))
    everything = Route("/{path:path}", lambda _: PlainTextResponse("yes"), methods=["GET", "POST"])
    return TestClient(Guard(Starlette(routes=[everything]), Questions({})))


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_pages_of_other_sites_ask_in_vain(page: TestClient, site: str):
    headers = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}
    for path in ("/", "/theme.css", "/kept/x", f"{GRADIO}upload"):
        assert page.get(path, headers=headers).status_code == 403
        assert page.post(path, headers=headers).status_code == 403
    form = {"sec-fetch-site": site, "sec-fetch-mode": "navigate"}
    assert page.post(f"{GRADIO}upload", headers=form).status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", "same-origin"])
def test_a_link_to_the_page_may_be_followed_from_anywhere(page: TestClient, site: str):
    assert page.get("/", headers={"sec-fetch-site": site, "sec-fetch-mode": "navigate"}).status_code == 200


@pytest.mark.parametrize(
    ("origin", "others", "status"),
    [
        ("http://testserver", {}, 200),
        ("http://testserver:8080", {}, 200),  # a proxy that says the name alone
        ("https://glam.example", {"x-forwarded-host": "glam.example"}, 200),
        ("http://a.example", {"sec-fetch-site": "same-origin"}, 200),  # a proxy that says no name; the browser knows
        ("http://a.example", {}, 403),
        ("http://testserver.a.example", {}, 403),
        ("http://[::1]:7860", {}, 403),
        ("null", {}, 403),
        ("", {}, 403),
    ],
)
def test_a_browser_that_does_not_say_which_site_asks_says_by_the_origin(
    page: TestClient, origin: str, others: dict[str, str], status: int
):
    """Over plain HTTP from another machine browsers send no Fetch Metadata, and passwords all the same."""
    answer = page.post(f"{GRADIO}upload", content=b"x", headers={"origin": origin} | others)
    assert answer.status_code == status


def test_gradio_is_not_told_of_an_origin():
    """By it Gradio permits pages of other sites to read its answer, with the passwords that a browser sends along."""

    async def told(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(request.headers.get("origin")))

    page = TestClient(Guard(Starlette(routes=[Route("/theme.css", told)]), Questions({})))
    assert page.get("/theme.css", headers={"origin": "http://testserver"}).text == "None"


NOT_USED = [
    *(
        GRADIO + name
        for name in ("file=/etc/passwd", "file/x", "proxy=http://a.example", "stream/x", "run/x", "call/x")
    ),
    *(GRADIO + name for name in ("process_recording", "component_server", "info", "openapi.json", "queue/status")),
    *(GRADIO + name for name in ("startup-events", "deep_link", "uploads", "upload/", "/file=x", "queue/../file=x")),
    *("/openapi.json", "/config", "/config/", "/login", "/logout", "/monitoring", "/robots.txt", "/svelte/x", "/mcp"),
    *("//gradio_api/info", "/GRADIO_API/info", "/gradio_api", "/kept/", "/nowhere", "/x/../gradio_api/info"),
    *("/glam-static/%00.mjs", "/assets/%ED%A0%80", "/static/a%0Ab", f"/glam-static/{'x' * 300}.mjs"),
]


@pytest.mark.parametrize("path", NOT_USED)
def test_what_the_page_does_not_use_of_gradio_is_not_there(page: TestClient, path: str):
    url = f"http://testserver{path}"
    for method in ("GET", "POST", "HEAD"):
        assert page.request(method, url).status_code == 404


@pytest.mark.parametrize(
    "path", ["app_id", "heartbeat/kyk8851ida", "queue/data?session_hash=x", "upload_progress?upload_id=x"]
)
def test_what_the_page_reads_of_gradio_is_there(page: TestClient, path: str):
    """By `app_id` a page that lost its server finds out that it is back: without an answer it waits for ever."""
    assert page.get(GRADIO + path).status_code == 200
    assert page.post(GRADIO + path).status_code == 404


@pytest.mark.parametrize("path", ["upload?upload_id=x", "upload", "cancel", "reset"])
def test_what_the_page_sends_to_gradio_is_taken(page: TestClient, path: str):
    assert page.post(GRADIO + path, content=b'{"event_id": "a1"}').status_code == 200
    assert page.get(GRADIO + path).status_code == 404


@pytest.mark.parametrize("path", ["/assets/a.js", "/static/js/a.js", "/theme.css", "/kept/x", "/glam-static/a.mjs"])
def test_the_parts_of_the_page_are_read_and_nothing_else(page: TestClient, path: str):
    assert page.get(path).status_code == 200
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "HEAD"):
        assert page.request(method, path).status_code == 404


def test_an_app_behind_the_guard_begins_and_ends(page: TestClient):
    with page:  # its lifespan, which has no path
        assert page.get("/").status_code == 200


def test_an_upload_that_was_refused_is_over():
    progress = {"known": PlainTextResponse("data: 1"), "refused": PlainTextResponse("Upload not found", 404)}
    route = Route(f"{GRADIO}upload_progress", lambda request: progress[request.query_params["upload_id"]])
    page = TestClient(Guard(Starlette(routes=[route]), Questions({})))
    assert page.get(f"{GRADIO}upload_progress?upload_id=known").text == "data: 1"
    over = page.get(f"{GRADIO}upload_progress?upload_id=refused")
    assert (over.status_code, over.text) == (200, guard.UPLOAD_IS_OVER)
    assert over.headers["content-type"].startswith("text/event-stream")


class Asked(Questions):
    """Questions of a page that asks in JSON alone."""

    def __init__(self) -> None:
        super().__init__({})

    def asked(self, body: bytes) -> bytes:
        return json.dumps(json.loads(body) | {"is_of_page": True}).encode()


async def said(request: Request) -> PlainTextResponse:
    return PlainTextResponse(await request.body())


def test_a_question_reaches_gradio_as_it_was_understood():
    page = TestClient(Guard(Starlette(routes=[Route(f"{GRADIO}queue/join", said, methods=["POST"])]), Asked()))
    question, understood = b'{"data": ["a sentence"]}', {"data": ["a sentence"], "is_of_page": True}
    assert page.post(f"{GRADIO}queue/join", content=question).json() == understood
    assert page.post(f"{GRADIO}queue/join", content=iter([question[:9], question[9:]])).json() == understood


def test_a_question_that_the_page_does_not_ask_is_refused_in_words(page: TestClient):
    refused = page.post(f"{GRADIO}queue/join", content=b'{"fn_index": 0}')
    assert (refused.status_code, refused.json()) == (403, {"detail": "not a question of this page"})


@pytest.mark.parametrize("path", ["queue/join", "cancel", "reset"])
def test_a_question_that_is_too_long_is_refused_in_words(page: TestClient, path: str):
    question = b'["' + b"x" * guard.MAX_QUESTION_BYTES + b'"]'
    refused = page.post(GRADIO + path, content=question)
    assert (refused.status_code, refused.json()) == (413, {"detail": guard.TOO_LONG})


@pytest.mark.parametrize("path", ["cancel", "reset"])
def test_the_end_of_a_question_reaches_gradio_as_it_was_understood(path: str):
    page = TestClient(Guard(Starlette(routes=[Route(GRADIO + path, said, methods=["POST"])]), Questions({3: []})))
    ended = {"event_id": "a1", "session_hash": "b2", "fn_index": 3}
    assert page.post(GRADIO + path, json=ended | {"x": 1}).json() == ended
    refused = page.post(GRADIO + path, content=b'{"event_id": NaN}')
    assert (refused.status_code, refused.json()) == (403, {"detail": "questions and sessions have short names"})


@pytest.mark.parametrize("name", ["", "a%20b", "../x", "%ff", "x" * 65, "x&session_hash=a.b&upload_id=a.b"])
def test_sessions_and_uploads_have_names_as_the_page_makes_them(page: TestClient, name: str):
    for path in (f"queue/data?session_hash={name}", f"upload_progress?upload_id={name}"):
        assert page.get(GRADIO + path).status_code == 403
    assert page.post(f"{GRADIO}upload?upload_id={name}", content=b"x").status_code == 403


@pytest.mark.parametrize(
    "fault", [RuntimeError("Caught handled exception, but response already started."), KeyError("a1b2")]
)
def test_the_events_of_a_session_that_is_not_there_end(fault: Exception):
    """Gradio says so, and then raises: an answer that is cut, and a traceback in the log for each page left open."""

    async def not_there(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"data: not found", "more_body": True})
        raise fault

    page = TestClient(Guard(not_there, Questions({})))
    assert page.get(f"{GRADIO}queue/data?session_hash=x").text == "data: not found"


def test_a_query_of_the_page_does_not_reach_gradio():
    route = Route("/", lambda request: PlainTextResponse(f"asked {request.url.query}"))
    page = TestClient(Guard(Starlette(routes=[route]), Questions({})))
    assert page.get("/?deep_link=x").text == "asked "
