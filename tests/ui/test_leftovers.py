"""What is left in Gradio of uploads and sessions that are over."""

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from gradio.queueing import LRUCache
from gradio.routes import file_upload_statuses
from starlette.routing import Mount
from starlette.testclient import TestClient

from glam_ui import leftovers
from glam_ui.app import make_app
from glam_ui.exams import Desk, ServedModel
from glam_ui.store import Store

RAW = {"name": "m", "version": "1", "bundle": "b", "may_serve": True, "provenance": {}, "side": 9, "frame": {}}


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """A viewer's app whose server is never asked; made in a thread of its own: an open browser runs a loop in this."""
    monkeypatch.setitem(os.environ, "GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(leftovers, "MAX_OVER", 3)

    async def in_loop() -> FastAPI:
        return make_app(Desk(client=None, model=ServedModel(raw=RAW), store=Store()), {})  # type: ignore[arg-type]

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(in_loop())).result()


@pytest.fixture
def page(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


def gradio_of(app: FastAPI) -> Any:
    (found,) = [route.app for route in app.routes if isinstance(route, Mount)]
    return found.get_blocks()


def sent(page: TestClient, name: str) -> str:
    """Send a file; return its path."""
    answer = page.post(f"/gradio_api/upload?upload_id={name}", files={"files": (f"DOE^{name}.dcm", name.encode())})
    return answer.json()[0]


def ask(app: FastAPI, page: TestClient, session: str) -> None:
    """Ask what needs no server."""
    number = next(number for number, fn in gradio_of(app).fns.items() if fn.fn.__name__ == "in_words")
    question = {"data": [None, "A mass is present", None], "fn_index": number, "session_hash": session}
    assert page.post("/gradio_api/queue/join", json=question).status_code == 200


def test_names_of_files_that_were_read_are_not_kept(app: FastAPI, page: TestClient):
    gradio = gradio_of(app)
    first, second = sent(page, "first"), sent(page, "second")
    assert gradio.upload_file_set == {first, second}, "Gradio keeps them, and removes such as lie too long"
    Path(first).unlink()
    ask(app, page, "a")
    assert gradio.upload_file_set == {second}
    assert any(names is gradio.upload_file_set for names in gradio.temp_file_sets)


def test_uploads_that_are_over_are_not_kept_but_for_the_last(page: TestClient):
    before = set(file_upload_statuses._statuses), set(file_upload_statuses._signals)
    for number in range(10):
        sent(page, f"u{number}")
    last = {"u7", "u8", "u9"}
    assert set(file_upload_statuses._statuses) - before[0] == last
    assert set(file_upload_statuses._signals) - before[1] == last
    assert page.get("/gradio_api/upload_progress?upload_id=u9").text.count('"done"') == 1


def test_an_upload_that_was_asked_about_and_never_came_is_not_kept(page: TestClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(leftovers, "MAX_OVER", 0)
    assert '"done"' in page.get("/gradio_api/upload_progress?upload_id=never").text
    assert "never" not in file_upload_statuses._signals


def test_questions_of_sessions_that_gradio_has_forgotten_are_not_kept(app: FastAPI, page: TestClient):
    queue = gradio_of(app)._queue
    queue.pending_messages_per_session = LRUCache(2)
    for session in ("a", "b", "c", "d"):
        ask(app, page, session)
    assert set(queue.pending_event_ids_session) == {"c", "d"}
