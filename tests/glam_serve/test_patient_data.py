"""Markers stand in every header field, file name and prompt of requests: nothing that a server writes holds one."""

import http.client
import os
import re
import secrets
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset
from pydicom.datadict import DicomDictionary, keyword_for_tag
from starlette.testclient import TestClient

from glam.bundle import Bundle
from glam_serve.limits import Limits
from glam_serve.server import make_server
from tests.samples.mammograms import encoded, file_of, mammogram
from tests.samples.serving import RealServer, running

MARK = "QZMARK"
"""Begins every marker; a number follows."""
TEXT_VRS = {"LO": 60, "SH": 16, "PN": 60, "ST": 60, "LT": 60, "UT": 60, "UC": 60, "AE": 16, "CS": 16, "UR": 60}
MEANT_BY_READING = {
    "Modality",
    "PhotometricInterpretation",
    "PresentationIntentType",
    "ImageLaterality",
    "ViewPosition",
    "SpecificCharacterSet",
}
"""What a mammogram cannot do without; each is marked by itself below."""


def marked(**changes: object) -> bytes:
    """A mammogram with a marker in every text attribute of the dictionary that a file may hold."""
    dataset = mammogram(**changes)
    for number, (tag, entry) in enumerate(sorted(DicomDictionary.items())):
        vr, keyword = entry[0], keyword_for_tag(tag)
        is_free = keyword and keyword not in MEANT_BY_READING and tag >> 16 not in {0x0000, 0x0002}
        if vr in TEXT_VRS and is_free and keyword not in dataset:
            _mark(dataset, keyword, f"{MARK}{number}"[: TEXT_VRS[vr]])
    for keyword in ("PatientName", "PatientID"):
        _mark(dataset, keyword, f"{MARK}{keyword.upper()}"[:16])
    dataset.add_new(0x00091010, "LO", f"{MARK}PRIVATE")
    return encoded(dataset)


def _mark(dataset: Dataset, keyword: str, text: str) -> None:
    setattr(dataset, keyword, text)


def requests() -> Iterator[tuple[str, list[tuple[str, str, bytes]], dict[str, str], dict[str, str]]]:
    """Path, files (field, name, content), texts and headers of requests that carry markers, good ones and bad ones."""
    name = f"{MARK}FILE^NAME.dcm"
    whole = marked()
    yield "/predict", [("cc", name, whole)], {}, {}
    yield "/predict", [("images", name, whole), ("images", name, marked(ImageLaterality="R"))], {}, {}
    yield "/predict", [("cc", name, whole)], {"prompts": f"{MARK}PROMPT a mass"}, {}
    yield "/predict", [("cc", name, whole[: len(whole) // 2])], {}, {}
    yield "/predict", [("cc", name, whole[:900])], {}, {}
    yield "/predict", [("cc", name, MARK.encode() * 100)], {}, {}
    for keyword in sorted(MEANT_BY_READING):
        yield "/predict", [("cc", name, _wrong(keyword))], {}, {}
    for field in ("prompts", "laterality", "spacing_mm", "include", f"{MARK}FIELD"):
        yield "/predict", [("cc", name, whole)], {field: f"{MARK}TEXT" * (1 if field != "prompts" else 400)}, {}
    yield f"/predict?name={MARK}QUERY", [("cc", name, whole)], {}, {}
    yield f"/{MARK}PATH", [("cc", name, whole)], {}, {}
    headers = {"User-Agent": f"{MARK}AGENT", "Cookie": f"{MARK}COOKIE", "X-Request-ID": f"{MARK}ID"}
    yield "/predict", [("cc", name, whole)], {}, headers | {"X-API-Key": f"{MARK}KEY", "Referer": f"{MARK}REFERER"}


def _wrong(keyword: str) -> bytes:
    """A mammogram of which one attribute that reading needs is a marker."""
    if keyword == "SpecificCharacterSet":  # which pydicom would not write
        return file_of(SpecificCharacterSet="ISO_IR 100").replace(b"ISO_IR 100", f"{MARK}CHAR".encode())
    return file_of(**{keyword: f"{MARK}{keyword[:8].upper()}"[:16]})


def post(port: int, path: str, files: list, texts: dict[str, str], headers: dict[str, str]) -> bytes:
    """Head and body of the answer."""
    edge = secrets.token_hex(8)
    parts = [
        f'--{edge}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'.encode() + content
        for field, name, content in files
    ]
    parts += [
        f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}'.encode()
        for name, text in texts.items()
    ]
    body = b"\r\n".join([*parts, f"--{edge}--\r\n".encode()])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, body, {"Content-Type": f"multipart/form-data; boundary={edge}"} | headers)
        answer = connection.getresponse()
        return repr(answer.getheaders()).encode() + answer.read()
    finally:
        connection.close()


def strays(folder: Path) -> list[str]:
    """Files below a folder whose name or content holds a marker."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_socket()]
    return [str(path) for path in files if MARK in str(path.relative_to(folder)) or MARK.encode() in path.read_bytes()]


def test_the_markers_are_in_the_file():
    dataset = pydicom.dcmread(BytesIO(marked()))
    values = [str(element.value) for element in dataset if MARK in str(element.value)]
    assert len(values) > 400
    assert MARK in str(dataset.PatientName)


@pytest.fixture(scope="module")
def marked_server(random_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RealServer, Path]]:
    """A real server whose temporary and home folders are of its own."""
    folder = tmp_path_factory.mktemp("marked")
    before = dict(os.environ)
    for variable, name in (("TMPDIR", "tmp"), ("HOME", "home"), ("XDG_CACHE_HOME", "home/cache")):
        (folder / name).mkdir(exist_ok=True)
        os.environ[variable] = str(folder / name)
    try:
        with running(random_bundle.folder, folder / "log", "--threads", "1") as server:
            yield server, folder
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.mark.slow
def test_a_real_server_writes_no_marker_anywhere(marked_server: tuple[RealServer, Path]):
    server, folder = marked_server
    statuses = []
    for path, files, texts, headers in requests():
        answer = post(server.port, path, files, texts, headers)
        if "prompts" in texts:
            answer = answer.replace(f"{MARK}PROMPT a mass".encode(), b"").replace(f"{MARK}PROMPT".encode(), b"")
            answer = re.sub(MARK.lower().encode() + b"prompt", b"", answer)  # its own words, as unknown ones
        assert MARK.encode() not in answer, (path, texts.keys(), answer[-400:])
        statuses.append(answer)
    assert any(b'"birads"' in answer for answer in statuses)
    assert sum(b'"code"' in answer for answer in statuses) > 10
    log = server.log.read_text()
    assert MARK not in log
    assert log.count("POST /predict") >= len(statuses) - 2
    assert strays(folder) == []
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for path in ("/metrics", "/v1/model", "/openapi.json", "/readyz"):
        connection.request("GET", path)
        assert MARK.encode() not in connection.getresponse().read()
    connection.close()
    for pid in server.rss():
        assert (
            MARK.encode() not in Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        )


@pytest.mark.parametrize("keyword", sorted(MEANT_BY_READING))
def test_no_error_quotes_an_attribute(random_bundle: Bundle, keyword: str):
    client = TestClient(make_server(random_bundle, limits=Limits(max_upload_mb=4)).app, raise_server_exceptions=False)
    answer = client.post("/predict", files={"cc": ("cc.dcm", _wrong(keyword))})
    assert MARK not in answer.text
    if answer.status_code == 500:  # it can be read, and there is no model here to ask
        assert client.post("/predict", files={"cc": ("cc.dcm", file_of())}).status_code == 500
