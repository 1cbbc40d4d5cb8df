"""What the viewer keeps to itself, asked of the whole app without a browser."""

import asyncio
import io
import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.routing import Mount
from starlette.testclient import TestClient

from glam.bundle import Bundle
from glam.client_answers import ExamAnswer, exam_answer
from glam.predict import Predictor
from glam.prediction import INCLUDES
from glam_serve.server import model_body
from glam_ui import layout, privacy
from glam_ui.admission import ByPassword, ByProxy
from glam_ui.answers import Upload
from glam_ui.app import make_app
from glam_ui.exams import Desk, ServedModel
from glam_ui.guard import LOOPBACK
from glam_ui.privacy import SWITCHES
from glam_ui.store import Store


class LocalClient:
    """A server in this process."""

    def __init__(self, predictor: Predictor, bundle: Bundle) -> None:
        self.predictor, self.bundle = predictor, bundle

    def model(self) -> dict:
        return model_body(self.bundle, on_loopback=True).model_dump()

    def predict_exam(self, images: list[bytes], *, include: tuple[str, ...]) -> ExamAnswer:
        answer = self.predictor.predict_exam([io.BytesIO(image) for image in images])
        return exam_answer(answer.as_json(INCLUDES) | {"result_id": "r"})


@pytest.fixture(scope="module")
def client(predictor: Predictor, random_bundle: Bundle) -> LocalClient:
    return LocalClient(predictor, random_bundle)


@pytest.fixture(scope="module")
def page(client: LocalClient) -> TestClient:
    return TestClient(app_of(client))


def app_of(client: LocalClient, store: Store | None = None, **options: Any) -> FastAPI:
    """Return a viewer's app; made within a loop, for otherwise Gradio makes its own and leaves them open.

    In a thread of its own: an open browser runs a loop in this one.
    """

    async def in_loop() -> FastAPI:
        return make_app(desk(client, store or Store()), {}, **options)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(in_loop())).result()


def desk(client: LocalClient, store: Store) -> Desk:
    return Desk(client=client, model=ServedModel(raw=client.model()), store=store)  # type: ignore[arg-type]


def pair(mammograms: dict[str, Path]) -> list[Upload]:
    return [Upload(content=mammograms[name].read_bytes()) for name in ("L_CC", "L_MLO")]


def test_every_answer_forbids_what_is_not_of_this_server(page: TestClient):
    for path in ("/", "/config", "/glam-static/viewer.mjs", "/kept/none", "/nowhere"):
        policy = page.get(path).headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "http" not in policy
        assert "frame-ancestors 'none'" in policy


def test_no_page_of_another_site_may_read_an_answer(page: TestClient):
    """Gradio permits it to any, with passwords, where the page has another name than localhost."""
    for path in ("/", "/theme.css", "/gradio_api/app_id", "/glam-static/viewer.mjs"):
        answer = page.get(path, headers={"origin": "http://a.example", "sec-fetch-site": "none"})
        assert answer.status_code == 200
        assert [name for name in answer.headers if name.startswith("access-control")] == []


def test_sessions_are_forgotten_when_there_are_too_many(client: LocalClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(layout, "MAX_SESSIONS", 3)
    (gradio,) = [route.app for route in app_of(client).routes if isinstance(route, Mount)]
    for name in ("a", "b", "c", "a", "d"):
        gradio.state_holder[name]
    assert list(gradio.state_holder.session_data) == ["c", "a", "d"]


def test_questions_that_nobody_has_begun_to_answer_are_so_many_and_no_more(
    client: LocalClient, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(layout, "MAX_QUEUED", 0)
    app = app_of(client)
    (gradio,) = [route.app for route in app.routes if isinstance(route, Mount)]
    number = next(number for number, fn in gradio.get_blocks().fns.items() if fn.fn.__name__ == "in_words")
    question = {"data": [None, "A mass is present", None], "fn_index": number, "session_hash": "x"}
    answer = TestClient(app).post("/gradio_api/queue/join", json=question)
    assert (answer.status_code, answer.json()["detail"][:14]) == (503, "Queue is full.")


def test_a_text_where_a_file_should_be_is_refused(page: TestClient):
    """Gradio keeps it in memory, and fails where it tells how far an upload is."""
    for path in ("/gradio_api/upload", "/gradio_api/upload?upload_id=x1"):
        answer = page.post(path, data={"files": "text"}, files={"others": b"content"})
        assert (answer.status_code, answer.text) == (400, "not a form of files")


def test_the_page_about_a_store_runs_and_fetches_nothing(client: LocalClient, page: TestClient, tmp_path: Path):
    assert page.get("/description").status_code == 404
    told = tmp_path / "describe.html"
    told.write_text("<p>what it holds</p>")
    with_one = TestClient(app_of(client, description=told))
    answer = with_one.get("/description")
    assert answer.text == "<p>what it holds</p>"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "script-src" not in answer.headers.get_list("content-security-policy")[0]
    assert answer.headers["cache-control"] == "no-store"
    told.unlink()
    assert with_one.get("/description").status_code == 404


def test_pixels_have_names_that_cannot_be_guessed_and_are_stored_nowhere(
    client: LocalClient, mammograms: dict[str, Path]
):
    store = Store()
    page = TestClient(app_of(client, store))
    preview, exam = desk(client, store).show(pair(mammograms))
    paths = [view["picture"] for view in preview.payload["views"]] + [view["pixels"] for view in exam.payload["views"]]
    downloads = exam.payload["downloads"].values()
    for path in (*paths, *downloads):
        answer = page.get(f"/{path}")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert ("attachment" in answer.headers.get("content-disposition", "")) == (path in downloads)
    assert len({*paths, *downloads}) == 6
    assert page.get("/kept/" + "A" * 32).status_code == 404


def test_nothing_of_a_patient_goes_to_the_page(client: LocalClient, mammograms: dict[str, Path]):
    from pydicom import dcmread

    preview, exam = desk(client, Store()).show(pair(mammograms))
    header = dcmread(mammograms["L_CC"])
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "SOPInstanceUID", "StudyDate"):
        value = str(getattr(header, keyword, ""))
        assert not value or value not in str((preview.payload, exam.payload))


EVERYWHERE = [
    "/",
    "/config",
    "/glam-static/viewer.mjs",
    "/kept/x",
    "/gradio_api/info",
    "/gradio_api/upload",
    "/nowhere",
]


@pytest.mark.parametrize("path", EVERYWHERE)
def test_behind_a_proxy_nobody_comes_in_whom_it_has_not_let_in(client: LocalClient, path: str):
    page = TestClient(app_of(client, admission=ByProxy("X-Forwarded-User")))
    assert page.get(path).status_code == 401
    assert page.get(path, headers={"X-Forwarded-User": "reader"}).status_code != 401


@pytest.mark.parametrize("path", EVERYWHERE)
def test_with_passwords_nobody_comes_in_without_one(client: LocalClient, tmp_path: Path, path: str):
    file = tmp_path / "passwords"
    file.write_text("reader:correct horse battery\nother:another long one\n")
    file.chmod(0o600)
    page = TestClient(app_of(client, admission=ByPassword.from_file(file)))
    refused = page.get(path)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Basic ")
    assert page.get(path, auth=("reader", "another long one")).status_code == 401
    assert page.get(path, auth=("reader", "correct horse battery")).status_code != 401


@pytest.mark.parametrize("name", ["cli.py", "../pyproject.toml", "%2e%2e/pyproject.toml", "page.html", "nothing.mjs"])
def test_only_modules_and_styles_of_the_page_are_served(page: TestClient, name: str):
    assert page.get(f"/glam-static/{name}").status_code == 404


def test_run_history_is_off(page: TestClient):
    assert page.get("/gradio_api/runs").status_code == 404


def test_switches_are_set_and_uploads_lie_in_a_private_folder_that_goes_with_the_process(tmp_path: Path):
    code = (
        "from glam_ui.privacy import keep_to_itself; import os; folder = keep_to_itself();"
        "print(oct(folder.stat().st_mode & 0o777), folder, os.environ['GRADIO_TEMP_DIR']);"
        f"print(*(os.environ[name] for name in {list(SWITCHES)!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    first, second = done.stdout.splitlines()
    mode, folder, uploads = first.split()
    assert (mode, f"{folder}/uploads") == ("0o700", uploads)
    assert not Path(folder).exists()
    assert second.split() == list(SWITCHES.values())


def test_on_this_machine_alone_the_page_is_called_by_no_other_name(client: LocalClient):
    app = app_of(client, hosts=LOOPBACK)
    for name in ("localhost:7860", "127.0.0.1:7860", "[::1]:7860"):
        assert TestClient(app).get("/glam-static/viewer.mjs", headers={"host": name}).status_code == 200
    for name in ("evil.example:7860", "127.0.0.1.evil.example", ""):
        assert TestClient(app).get("/glam-static/viewer.mjs", headers={"host": name}).status_code == 400


def test_what_gradio_would_fetch_for_anybody_is_shut(page: TestClient, tmp_path: Path):
    for path in (
        f"/gradio_api/file={tmp_path}",
        "/gradio_api/file=/etc/hostname",
        "/gradio_api/proxy=http://a.example",
    ):
        assert page.get(path).status_code == 404


def test_no_file_of_this_machine_is_taken_for_an_upload(page: TestClient, mammograms: dict[str, Path]):
    """Gradio would copy what a path names, fetch what an address names, and hand on what is said to be a stream."""
    path = mammograms["L_CC"]
    before = path.read_bytes()
    for named in ({"path": str(path)}, {"path": str(path), "is_stream": True}, {"path": "http://127.0.0.1:1/x"}):
        file = named | {"meta": {"_type": "gradio.FileData"}}
        for data, number in itertools.product(([[file]], [file]), range(9)):
            question = {"data": data, "fn_index": number, "session_hash": "x"}
            assert page.post("/gradio_api/queue/join", json=question).status_code == 403
    assert path.read_bytes() == before


def test_uploads_lie_in_memory_only_where_it_has_room(monkeypatch: pytest.MonkeyPatch):
    class Usage:
        free = 64 << 20

    monkeypatch.setattr(privacy.shutil, "disk_usage", lambda _: Usage)
    assert privacy._memory_folder() is None
