import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from glam.client import Client, ServerError
from glam.client_answers import FindingAnswer, LeftOutImage, PromptAnswer, UsedImage

MATCH = {"similarity": 0.5, "probability": 0.25, "unknown_words": ["keine"]}
PLAIN = {"birads": {"0": 1.0}, "density": {"a": 1.0}}
FINDING = {"code": "film", "severity": "warning", "message": "m"}
BREAST = PLAIN | {
    "laterality": "L",
    "views": {"cc": PLAIN | {"view": "CC", "laterality": "L", "embedding": None, "findings": [FINDING]}},
    "calibrated": False,
    "aggregation": "probabilities",
    "prompts": {"a mass": MATCH},
    "prompt_set": {"name": None, "version": None, "sha256": "s", "tasks": {"classes": {"a": 1.0}}, "unknown_words": []},
    "embedding": [0.6, 0.8],
    "missing": ["mlo"],
    "bundle": "b",
    "prepare_sha": "p",
    "notice": "n",
    "result_id": "r",
}
EXAM = PLAIN | {
    "breasts": {"L": BREAST},
    "calibrated": False,
    "aggregation": "probabilities",
    "prompt_set": None,
    "used": [{"image": 1, "laterality": "L", "view": "CC"}],
    "left_out": [{"image": 2, "code": "not_dicom", "message": "m"}],
    "missing": ["L_MLO"],
    "findings": [FINDING],
    "bundle": "b",
    "notice": "n",
}


class Recorder(BaseHTTPRequestHandler):
    """Answers by path, and keeps the fields of the last form."""

    fields: ClassVar[list[tuple[str, str | None, bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        message = message_from_bytes(f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode() + body)
        type(self).fields = [
            (part.get_param("name", header="content-disposition"), part.get_filename(), part.get_payload(decode=True))
            for part in message.get_payload()
        ]
        is_exam = type(self).fields[0][0] == "images"
        self.send(200, EXAM if is_exam else BREAST if type(self).fields[0][0] != "mlo" else BREAST | {"views": 1})

    def do_GET(self) -> None:
        if self.path == "/v1/model":
            self.send(404, {"code": "not_found", "message": "nothing here", "where": "path"})
        else:
            self.send(503, {"detail": "something else"})

    def send(self, status: int, body: dict) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Client(url=f"http://127.0.0.1:{server.server_port}/", timeout_s=5)
        server.shutdown()
        thread.join()


def test_a_prediction_is_asked_with_a_form(client: Client, tmp_path: Path):
    file = tmp_path / "DOE^JANE.dcm"
    file.write_bytes(b"\x00\r\n--\xff")
    answer = client.predict(
        cc=file, mlo=b"mlo", laterality="L", prompts=["a mass", "keine"], include=["frame", "pooling"]
    )
    assert answer.raw == BREAST
    assert (answer.laterality, answer.embedding, answer.result_id) == ("L", (0.6, 0.8), "r")
    assert answer.prompts["a mass"] == PromptAnswer(similarity=0.5, probability=0.25, unknown_words=("keine",))
    assert answer.views["cc"].findings == (FindingAnswer(code="film", severity="warning", message="m"),)
    assert answer.views["cc"].embedding is None
    assert answer.prompt_set is not None
    assert answer.prompt_set.tasks == {"classes": {"a": 1.0}}
    assert Recorder.fields == [
        ("cc", "cc.dcm", b"\x00\r\n--\xff"),
        ("mlo", "mlo.dcm", b"mlo"),
        ("prompts", None, b"a mass"),
        ("prompts", None, b"keine"),
        ("include", None, b"frame,pooling"),
        ("laterality", None, b"L"),
    ]


def test_an_exam_is_asked_with_its_images_and_comes_typed(client: Client):
    answer = client.predict_exam([b"one", b"two"], prompts={"set": "glam-short"}, spacing_mm=0.07)
    assert Recorder.fields == [
        ("images", "images.dcm", b"one"),
        ("images", "images.dcm", b"two"),
        ("prompts", None, b'{"set": "glam-short"}'),
        ("spacing_mm", None, b"0.07"),
    ]
    assert answer.used == (UsedImage(image=1, laterality="L", view="CC"),)
    assert answer.left_out == (LeftOutImage(image=2, code="not_dicom", message="m"),)
    assert answer.breasts["L"].raw == BREAST
    assert (answer.embedding, answer.missing, answer.result_id) == (None, ("L_MLO",), None)


def test_what_is_not_given_is_not_sent(client: Client):
    client.predict(cc=b"x")
    assert Recorder.fields == [("cc", "cc.dcm", b"x")]


def test_an_answer_of_another_shape_is_told(client: Client):
    with pytest.raises(ServerError, match="not of the shape that this client knows"):
        client.predict(mlo=b"x")


def test_the_servers_error_comes_as_an_exception(client: Client):
    with pytest.raises(ServerError, match="not_found: nothing here") as error:
        client.model()
    assert (error.value.status, error.value.code, error.value.where) == (404, "not_found", "path")


def test_a_stranger_is_recognised(client: Client):
    with pytest.raises(ServerError, match="is this a GLAM server"):
        client._ask("/other")
    assert not client.is_ready()


def test_nobody_there_is_an_error_of_its_own():
    client = Client(url="http://127.0.0.1:9", timeout_s=1)
    assert not client.is_ready()
    with pytest.raises(ServerError, match="no answer from") as error:
        client.model()
    assert error.value.status == 0


class Elsewhere(Recorder):
    """Sends whoever asks to another server."""

    other: ClassVar[str] = ""

    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", type(self).other)
        self.send_header("Content-Length", "9")  # more than comes
        self.end_headers()


def test_keys_follow_no_redirection(client: Client):
    Elsewhere.other = f"{client.url}v1/model"
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with pytest.raises(ServerError) as error:
            Client(url=f"http://127.0.0.1:{server.server_port}", api_key="secret", timeout_s=5).model()
        server.shutdown()
        thread.join()
    assert error.value.status == 302


class Proxy(Recorder):
    """Notes what it is asked to fetch, and fetches nothing."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        self.send(200, {"status": "ready"})


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a proxy that the environment names for everything."""
    Proxy.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, address)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        yield address
        server.shutdown()
        thread.join()


def test_images_go_to_no_proxy_of_the_environment(proxy: str):
    """In a process of its own, which the environment is there for from its start."""
    code = (
        "from glam.client import Client; print(Client(url='http://glam.invalid', timeout_s=5).is_ready(),"
        " Client(url='http://127.0.0.1:9', timeout_s=5).is_ready())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.split() == ["False", "False"]
    assert Proxy.asked == []


def test_images_go_through_a_proxy_that_was_named(proxy: str):
    asking = Client(url="http://glam.invalid:8000", timeout_s=5, proxy=proxy)
    assert asking.is_ready()
    assert Proxy.asked == ["http://glam.invalid:8000/readyz"]
    assert proxy not in repr(asking), "it may hold a password"
