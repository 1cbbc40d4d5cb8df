"""Requests that go wrong, in one process and at a real port: the one shape of an error, and nothing of theirs kept."""

import json
import logging
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from glam.bundle import Bundle
from glam.client import Client
from glam.local_server import free_port, local_server
from glam_serve.limits import Limits
from glam_serve.server import make_server
from tests.samples.mammograms import file_of

SECRET = "DOE^JANE"
DISPOSITION = b'--b\r\nContent-Disposition: form-data; name="cc"; filename="a"'
FORM = {"content-type": "multipart/form-data; boundary=b"}
SPACING_RULE = "spacing_mm must be one number of mm from 0.01 to 2, with a point, such as 0.07"


@pytest.fixture(scope="module")
def client(random_bundle: Bundle) -> TestClient:
    """The app without its worker: whatever is asked of the model fails with 500."""
    server = make_server(random_bundle, limits=Limits(max_upload_mb=4))
    return TestClient(server.app, raise_server_exceptions=False, follow_redirects=False)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What every logger of the server writes, its libraries' included; the test's own client is kept quiet."""
    for name in ("httpx", "httpx2"):
        caplog.set_level(logging.WARNING, name)
    caplog.set_level(logging.DEBUG)  # the last one counts for the handler
    own = logging.getLogger("glam_serve")
    own.addHandler(caplog.handler)
    yield caplog
    own.removeHandler(caplog.handler)


def error_of(answer) -> tuple[int, str, str]:
    """Status, code and place of an error, whose shape is checked and which repeats nothing of a patient."""
    assert sorted(answer.json()) == ["code", "message", "where"]
    assert SECRET not in answer.text + str(answer.headers)
    return answer.status_code, answer.json()["code"], answer.json()["where"]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", SECRET])
def test_another_method_is_refused_in_the_one_shape(client: TestClient, log: pytest.LogCaptureFixture, method: str):
    answer = client.request(method, "/predict")
    assert error_of(answer) == (405, "method_not_allowed", "")
    assert answer.headers["allow"] == "POST"
    assert SECRET not in log.text


@pytest.mark.parametrize("path", ["/predict/", "/v1/predict", "/v1/predict/"])
def test_every_spelling_of_the_path_answers_alike_and_none_redirects(client: TestClient, path: str):
    answer = client.post(path, files={"cc": ("a", b"x")}, headers={"host": "elsewhere.example"})
    assert error_of(answer) == (415, "not_dicom", "cc")
    assert "location" not in answer.headers
    assert error_of(client.post(f"{path}//", files={"cc": ("a", b"x")})) == (404, "not_found", "")


@pytest.mark.parametrize("field", ["CC", "cc[]", " cc", "cc ", "", "file", "view", "_charset_", SECRET, "c\u0441"])
def test_an_unknown_field_is_refused(client: TestClient, field: str):
    answer = client.post("/predict", files=[("cc", ("a", file_of())), (field, ("a", b"x"))])
    assert error_of(answer) == (422, "unknown_field", "")
    assert client.post("/predict", files={"cc": ("a", b"x")}, data={field: "x"}).json()["code"] == "unknown_field"


@pytest.mark.parametrize(
    "text", ["0,07", "nan", "inf", "-1", "0", "1e9", "1_0", "0.07mm", " ", "0x1", "true", "9" * 5000]
)
def test_a_spacing_that_is_none_names_its_field_and_its_rule(client: TestClient, text: str):
    answer = client.post("/predict", files={"cc": ("a", file_of())}, data={"spacing_mm": text})
    assert error_of(answer) == (422, "bad_field", "spacing_mm")
    assert answer.json()["message"] == SPACING_RULE


@pytest.mark.parametrize("text", ["l", "left", " L", "B", "LR", "\uff2c", "L,R", "x" * 100_000, SECRET])
def test_a_side_that_is_none_names_its_field_and_its_rule(client: TestClient, text: str):
    answer = client.post("/predict", files={"cc": ("a", file_of())}, data={"laterality": text})
    assert error_of(answer) == (422, "bad_field", "laterality")
    assert answer.json()["message"] == "laterality must be L or R, the side of the breast"


@pytest.mark.parametrize(("field", "values"), [("laterality", ["L", "R"]), ("spacing_mm", ["0.07", "0.07"])])
def test_a_field_that_is_said_twice_is_refused_whatever_it_says(client: TestClient, field: str, values: list[str]):
    answer = client.post("/predict", files={"cc": ("a", file_of())}, data={field: values})
    assert error_of(answer) == (422, "repeated_field", field)
    assert answer.json()["message"] == f"{field} was sent more than once: send it once"


def test_two_files_under_one_name_are_refused(client: TestClient):
    same = [("cc", ("a", file_of()))] * 2
    assert error_of(client.post("/predict", files=same)) == (422, "repeated_field", "cc")
    assert error_of(client.post("/predict", files=[*same, ("mlo", ("b", b""))])) == (422, "repeated_field", "cc")


@pytest.mark.parametrize("field", ["cc", "mlo"])
def test_an_empty_file_is_told_as_such(client: TestClient, field: str):
    answer = client.post("/predict", files={field: (SECRET, b"")})
    assert error_of(answer) == (422, "bad_field", field)
    assert answer.json()["message"] == f"{field} is an empty file: send the mammogram itself"


def test_of_several_images_the_empty_one_is_named_by_its_place(client: TestClient):
    files = [("images", ("a", file_of())), ("images", (SECRET, b"")), ("images", ("c", file_of()))]
    answer = client.post("/predict", files=files)
    assert error_of(answer) == (422, "bad_field", "images")
    assert answer.json()["message"] == "image 2 is an empty file: send the mammogram itself"


@pytest.mark.parametrize("field", ["prompts", "include", "laterality", "spacing_mm"])
def test_a_file_in_place_of_a_text_is_refused(client: TestClient, field: str):
    answer = client.post("/predict", files={"cc": ("a", file_of()), field: (SECRET, SECRET.encode())})
    assert error_of(answer) == (422, "bad_field", field)


def test_a_text_in_place_of_a_file_is_refused_with_what_to_type(client: TestClient):
    answer = client.post("/predict", files={"cc": (None, SECRET)})
    assert error_of(answer) == (422, "bad_field", "cc")
    assert answer.json()["message"] == "cc must be a file with a name: curl -F cc=@FILE"


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/mixed; boundary=b", "text/plain", ""])
def test_a_body_of_another_kind_is_refused_before_its_fields(client: TestClient, kind: str):
    for body in (b"cc=x&spacing_mm=wide", b"--b--\r\n", b"", bytes(2 << 20)):
        answer = client.post("/predict", content=body, headers={"content-type": kind})
        assert error_of(answer) == (415, "not_multipart", "")


PROMPT = b'--b\r\nContent-Disposition: form-data; name="prompts"\r\n\r\n'


@pytest.mark.parametrize(
    ("head", "body", "problem"),
    [
        (FORM, b"", "it is empty"),
        ({"content-type": "multipart/form-data"}, b"--b--", "its Content-Type names no boundary"),
        ({"content-type": "multipart/form-data; boundary="}, b"--b--", "a boundary or the headers"),
        ({"content-type": b"multipart/form-data; boundary=\xff"}, b"--\xff--", "the boundary of its Content-Type"),
        (
            {"content-type": "multipart/form-data; boundary=c"},
            PROMPT + b"a\r\n--b--",
            "the boundary of its Content-Type",
        ),
        ({"content-type": "multipart/form-data; boundary=" + "b" * 3000}, b"--" + b"b" * 3000 + b"--", "a boundary or"),
        (FORM, PROMPT + b"a", "its last boundary is missing"),
        (FORM, b"--b\r\n\r\nx\r\n--b--\r\n", "a part has no name"),
        (FORM, b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", "a part has no name"),
        (FORM, DISPOSITION + b"\r\nX: " + b"y" * 100_000 + b"\r\n\r\nx\r\n--b--\r\n", "a boundary or the headers"),
        (FORM, DISPOSITION + b"\r\nX: y" * 5000 + b"\r\n\r\nx\r\n--b--\r\n", "a boundary or the headers"),
        (FORM, PROMPT + b"a" * (2 << 20) + b"\r\n--b--\r\n", "a field of text is longer than 1 MB"),
        (FORM, (PROMPT + b"a\r\n") * 2000 + b"--b--\r\n", "it has more than 128 files or 128 fields"),
    ],
)
def test_a_form_that_cannot_be_read_is_refused_with_the_reason(
    client: TestClient, head: dict, body: bytes, problem: str
):
    answer = client.post("/predict", content=body, headers=head)
    assert error_of(answer) == (400, "malformed_request", "")
    assert answer.json()["message"].startswith(f"the body cannot be read as multipart/form-data: {problem}")


def test_a_text_of_a_megabyte_is_refused_by_its_rule(client: TestClient):
    answer = client.post("/predict", files={"cc": ("a", file_of())}, data={"prompts": "a" * 1_000_000})
    assert error_of(answer) == (422, "bad_prompt", "prompts")


@pytest.mark.parametrize("length", ["9" * 18, "9" * 5000])
def test_a_length_that_no_body_has_is_refused_unread(client: TestClient, length: str):
    answer = client.post("/predict", content=b"", headers=FORM | {"content-length": length})
    assert error_of(answer) == (413, "body_too_large", "")


def test_nothing_that_a_caller_types_is_logged(client: TestClient, log: pytest.LogCaptureFixture):
    files = {"cc": (f"{SECRET}.dcm", file_of(PatientName=SECRET, ViewPosition="XCC", SeriesDescription=SECRET))}
    for field in ("prompts", "laterality", "spacing_mm", "include", SECRET):
        assert SECRET not in client.post(f"/predict?{SECRET}", files=files, data={field: SECRET}).text
    client.post("/predict", files={"cc": (SECRET, SECRET.encode())}, headers={"user-agent": SECRET, "cookie": SECRET})
    client.get(f"/{SECRET}/predict")
    assert "POST /predict 422" in log.text
    assert SECRET not in log.text


@pytest.fixture(scope="module")
def port(random_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real server; when it has ended, its log names no secret and holds no trace."""
    number, log = free_port(0), tmp_path_factory.mktemp("hostile") / "log"
    with local_server(number, log=log, bundle=random_bundle.folder):
        yield number
    text = log.read_text()
    assert "POST /predict 499" in text
    assert "the caller left before the request was whole" in text
    for word in (SECRET, "DOE", "Traceback", "ERROR", ".dcm", "POST /predict 500"):
        assert word not in text


def request_of(port: int, body: bytes, *, length: int | None = None) -> bytes:
    """The bytes of a POST request whose body may be shorter than it says."""
    size = len(body) if length is None else length
    lines = ("POST /predict HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Content-Length: {size}", f"X-Name: {SECRET}")
    return "\r\n".join((*lines, f"Content-Type: {FORM['content-type']}", "", "")).encode() + body


def test_callers_that_hang_up_hurt_nobody(port: int, mammograms: dict[str, Path]):
    whole = DISPOSITION + b"\r\n\r\n" + mammograms["L_CC"].read_bytes() + b"\r\n--b--\r\n"
    early = [request_of(port, whole[:end], length=len(whole)) for end in (0, 30, 5000, len(whole) - 3)]
    for content in (b"", b"POST", *early, request_of(port, whole), b"\x16\x03\x01\x02\x00\x01\x00"):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as caller:
            caller.sendall(content)
    client = Client(url=f"http://127.0.0.1:{port}")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.predict(cc=mammograms["L_CC"]), range(8)))
    first = answers[0]
    assert all((answer.embedding, answer.density) == (first.embedding, first.density) for answer in answers)
    assert first.laterality == "L"


def curl(port: int, *words: str, cwd: Path) -> dict:
    command = ["curl", "-sS", *words, f"http://127.0.0.1:{port}/predict"]
    return json.loads(subprocess.run(command, cwd=cwd, capture_output=True, check=True, timeout=60).stdout)


def test_the_ways_of_curl(port: int, mammograms: dict[str, Path], tmp_path: Path):
    name = f"{SECRET}, left; cc.dcm"
    (tmp_path / name).symlink_to(mammograms["L_CC"])
    (tmp_path / "none").touch()
    whole = curl(port, "-F", f'cc=@"{name}"', "-F", "laterality=L", "--form-string", "prompts=a mass; no", cwd=tmp_path)
    assert (whole["laterality"], list(whole["prompts"])) == ("L", ["a mass; no"])
    typed = curl(port, "-F", f'cc=@"{name}";type=application/dicom;filename=x', cwd=tmp_path)
    assert typed["views"]["cc"]["embedding"] == whole["views"]["cc"]["embedding"]
    expecting = curl(port, "-H", "Expect: 100-continue", "-F", f'cc=@"{name}"', cwd=tmp_path)
    assert expecting["laterality"] == "L"
    chunked = curl(port, "-H", "Transfer-Encoding: chunked", "-F", f'cc=@"{name}"', cwd=tmp_path)
    assert chunked["laterality"] == "L"
    refused = {
        ("-F", "cc=@none"): ("bad_field", "cc"),
        ("-F", f'cc=<"{name}"'): ("malformed_request", ""),
        ("-F", "cc=scan.dcm"): ("bad_field", "cc"),
        ("-F", f'cc=@"{name}"', "-F", "spacing_mm=0,07"): ("bad_field", "spacing_mm"),
        ("-F", f'cc=@"{name}"', "-F", f'cc=@"{name}"'): ("repeated_field", "cc"),
        ("-d", "cc=@none"): ("not_multipart", ""),
        ("--data-binary", f"@{name}"): ("not_multipart", ""),
    }
    for words, expected in refused.items():
        answer = curl(port, *words, cwd=tmp_path)
        assert (answer["code"], answer["where"]) == expected


def test_a_method_that_is_a_name_is_not_logged(port: int):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as caller:
        caller.sendall(f"{SECRET} /{SECRET} HTTP/1.1\r\nHost: {SECRET}\r\nConnection: close\r\n\r\n".encode())
        assert caller.recv(1000).split()[1] in {b"400", b"404", b"405"}
    time.sleep(0.2)
