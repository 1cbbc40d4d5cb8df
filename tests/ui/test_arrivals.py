"""Uploads on their way: the room for them, and what is left of those that came to nothing."""

import asyncio
import os
from pathlib import Path

import pytest
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from glam_ui import arrivals
from glam_ui.arrivals import Arrivals, waiting_bytes


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of uploads, with room for 100 bytes, of which the smallest file takes one."""
    monkeypatch.setitem(os.environ, "GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(arrivals, "MAX_WAITING_BYTES", 100)
    monkeypatch.setattr(arrivals, "MIN_FILE_BYTES", 1)
    return tmp_path


def upload(folder: Path, name: str, content: bytes) -> Path:
    """Put a file of a name into its folder, as Gradio does at the end."""
    path = folder / f"of-{name}" / name
    path.parent.mkdir()
    path.write_bytes(content)
    return path


async def kept(scope: Scope, receive: Receive, send: Send) -> None:
    """Take an upload as Gradio does: into a file without a name, which stays where nobody finishes it."""
    path = Path(os.environ["GRADIO_TEMP_DIR"]) / f"tmp{scope['path'][1:]}"
    with path.open("wb") as file:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            file.write(message["body"])
            file.flush()
            if not message.get("more_body"):
                break
    await PlainTextResponse("yes")(scope, receive, send)


class Sender:
    """Sends an upload bit by bit."""

    def __init__(self, app: Arrivals, name: str, length: int) -> None:
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.status = 0
        headers = [(b"content-length", str(length).encode())]
        scope = {"type": "http", "method": "POST", "path": f"/{name}", "headers": headers}
        self.answer = asyncio.create_task(app(scope, self.messages.get, self._send))

    async def _send(self, message: Message) -> None:
        self.status = message.get("status", self.status)

    async def say(self, **message: object) -> None:
        """Send a part, and give the app time to take it."""
        self.messages.put_nowait({"type": "http.request", "more_body": True, **message})
        await asyncio.sleep(0.01)

    async def end(self) -> int:
        """Wait for the answer; return its status, 0 where there is none."""
        await asyncio.wait_for(self.answer, 5)
        return self.status


def test_uploads_beyond_the_room_for_them_are_refused(folder: Path):
    page = TestClient(Arrivals(PlainTextResponse("yes")))
    assert page.post("/", content=b"x" * 101).status_code == 413
    assert page.post("/", content=b"x" * 60).status_code == 200
    upload(folder, "file", b"x" * 50)
    assert page.post("/", content=b"x" * 60).status_code == 503
    assert page.post("/", content=b"x" * 50).status_code == 200
    assert page.post("/", content=iter([b"x"])).status_code == 411


def test_an_upload_holds_the_room_that_it_announced_until_it_has_come(folder: Path):
    async def both() -> list[int]:
        app = Arrivals(kept)
        first = Sender(app, "first", 60)
        await first.say(body=b"x" * 20)
        statuses = [await Sender(app, "second", 50).end()]
        third = Sender(app, "third", 40)
        await third.say(body=b"x" * 40, more_body=False)
        await first.say(body=b"x" * 40, more_body=False)
        return [*statuses, await third.end(), await first.end()]

    assert asyncio.run(both()) == [503, 200, 200]


def test_nothing_is_left_of_an_upload_that_was_cancelled(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(arrivals, "CLOCK_S", 0.02)
    of_somebody = upload(folder, "of-somebody", b"1")

    async def cancelled() -> int:
        app = Arrivals(kept)
        sender = Sender(app, "cancelled", 90)
        await sender.say(body=b"x" * 30)
        assert waiting_bytes() == 31
        await asyncio.sleep(0.05)
        other = Sender(app, "other", 9)
        await other.say(body=b"y")
        await sender.say(type="http.disconnect")
        status = await sender.end()
        assert (folder / "tmpother").exists(), "it still comes"
        await other.say(type="http.disconnect")
        await other.end()
        return status

    assert asyncio.run(cancelled()) == 0
    assert [path for path in folder.rglob("*") if path.is_file()] == [of_somebody]


def test_an_upload_that_takes_too_long_is_cut_and_gone(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(arrivals, "WAITING_S", 0.05)

    async def slow() -> int:
        sender = Sender(Arrivals(kept), "slow", 100)
        await sender.say(body=b"x")
        return await sender.end()

    assert asyncio.run(slow()) == 408
    assert list(folder.iterdir()) == []


def test_what_nobody_reads_makes_room_in_the_end(folder: Path, monkeypatch: pytest.MonkeyPatch):
    page = TestClient(Arrivals(PlainTextResponse("yes")))
    left = upload(folder, "left", b"x" * 90)
    assert page.post("/", content=b"x" * 60).status_code == 503
    monkeypatch.setattr(arrivals, "WAITING_S", 0)
    assert page.post("/", content=b"x" * 60).status_code != 503
    assert not left.parent.exists()


def test_files_of_a_few_bytes_take_room_too(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(arrivals, "MIN_FILE_BYTES", 10)
    page = TestClient(Arrivals(PlainTextResponse("yes")))
    for number in range(9):
        upload(folder, str(number), b"")
    assert page.post("/", content=b"x" * 10).status_code == 200
    upload(folder, "tenth", b"x")
    assert page.post("/", content=b"x" * 10).status_code == 503


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (TypeError("File is not an instance of GradioUploadFile"), 400),
        (ValueError("Boundary length 5000 exceeds maximum of 256"), 400),
        (OSError(28, "No space left on device", "/uploads/DOE^JANE.dcm"), 507),
    ],
)
@pytest.mark.parametrize("is_answered", [False, True])
def test_what_gradio_cannot_take_is_refused_without_its_name_in_the_log(
    folder: Path, caplog: pytest.LogCaptureFixture, fault: Exception, status: int, is_answered: bool
):
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        if is_answered:  # as by Starlette's own middleware, within Gradio's app
            await PlainTextResponse("Internal Server Error", 500)(scope, receive, send)
        raise fault

    answer = TestClient(Arrivals(failing)).post("/", content=b"x")
    assert answer.status_code == status
    assert "DOE" not in answer.text + caplog.text
    assert ("No space left" in caplog.text) == (status == 507)


def test_an_upload_that_fails_after_its_answer_is_answered_once(folder: Path, caplog: pytest.LogCaptureFixture):
    """Gradio moves a file after it has answered, where the folder went meanwhile."""

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("taken")(scope, receive, send)
        raise OSError(2, "No such file or directory", "/uploads/DOE^JANE.dcm")

    answer = TestClient(Arrivals(failing)).post("/", content=b"x")
    assert (answer.status_code, answer.text) == (200, "taken")
    assert "DOE" not in caplog.text


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data; boundary=X", b"--X\r\nContent-Disposition: form-data; name=a\r\n\r\n"),
        ("multipart/form-data; boundary=X", b"garbage"),
        (f"multipart/form-data; boundary={'X' * 300}", b"garbage"),
    ],
)
def test_a_form_that_the_page_does_not_send_is_refused_before_gradio_has_it(folder: Path, kind: str, body: bytes):
    answer = TestClient(Arrivals(kept)).post("/a", content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.text) == (400, "not a form of files")
    assert list(folder.iterdir()) == [], "nothing of it was kept"
