"""Addresses and credentials of a PACS."""

import base64
import json
import shutil
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest

from glam_serve.cohort.faults import SourceGoneError
from glam_serve.pacs.access import PacsAccess, read_access
from glam_serve.pacs.answer import Patience
from glam_serve.pacs.connection import JSON_TYPES, Connection
from glam_serve.pacs.query import read_filters
from tests.samples.pacs import stand_in

SECRET = "open-sesame-4711"


def auth_file(folder: Path, **content: str) -> Path:
    path = folder / "auth.json"
    path.write_text(json.dumps(content))
    path.chmod(0o600)
    return path


def status_of(access: PacsAccess) -> int:
    patience = Patience(deadline=time.monotonic() + 1, stop=threading.Event())
    return Connection(access).ask("/studies", lambda answer: answer.status, accept=JSON_TYPES, patience=patience)


def test_a_user_a_token_and_the_environment_make_the_header(tmp_path: Path):
    url = "https://pacs.example/dicom-web/"
    basic = read_access(url, auth_file(tmp_path, user="ann", password=SECRET), {})
    assert base64.b64decode((basic.authorization or "")[6:]).decode() == f"ann:{SECRET}"
    assert basic.url == "https://pacs.example/dicom-web"
    assert read_access(url, auth_file(tmp_path, token=SECRET), {}).authorization == f"Bearer {SECRET}"
    assert read_access(url, None, {"GLAM_DICOMWEB_TOKEN": SECRET}).authorization == f"Bearer {SECRET}"
    assert read_access(url, None, {}).authorization is None
    assert SECRET not in repr(basic)


@pytest.mark.parametrize(
    "url",
    [
        *("pacs.example", "ftp://pacs", "http://", "https://a:b@pacs/x", "https://pacs/x?y=1"),
        *("http://h:0", "http://h:x"),
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(url: str):
    with pytest.raises(ValueError, match="--dicomweb") as raised:
        read_access(url, None, {})
    assert "a:b" not in str(raised.value)


@pytest.mark.parametrize(
    "content",
    [{"user": "x"}, {"password": SECRET}, {"user": "x", "password": "y", "token": SECRET}, {"pasword": SECRET},
     {"token": f"{SECRET}\n"}, {"user": "a:b", "password": SECRET}, {"token": ""}, {"ca": "nowhere.pem"},
     {"certificate": "nowhere.pem"}],
)  # fmt: skip
def test_credentials_that_cannot_be_used_are_refused_without_repeating_them(tmp_path: Path, content: dict):
    with pytest.raises(ValueError, match=r"\w+") as raised:
        read_access("https://pacs.example", auth_file(tmp_path, **content), {})
    assert SECRET not in str(raised.value)


def test_a_file_that_is_no_json_is_refused_without_repeating_it(tmp_path: Path):
    (tmp_path / "auth").write_text(SECRET)
    with pytest.raises(ValueError, match="no JSON object") as raised:
        read_access("https://pacs.example", tmp_path / "auth", {})
    assert SECRET not in str(raised.value)


def test_credentials_go_over_plain_http_to_this_machine_alone(tmp_path: Path):
    path = auth_file(tmp_path, token=SECRET)
    with pytest.raises(ValueError, match="unencrypted"):
        read_access("http://pacs.example/dicom-web", path, {})
    assert read_access("http://127.0.0.1:8042/dicom-web", path, {}).authorization
    assert read_access("http://pacs.example/dicom-web", None, {}).authorization is None


@pytest.mark.parametrize("url", ["HTTP://pacs.example/dicom-web", " http://pacs.example", "hTtp://PACS.example:80/"])
def test_no_spelling_of_http_lets_credentials_go_unencrypted(tmp_path: Path, url: str):
    with pytest.raises(ValueError, match="unencrypted"):
        read_access(url, auth_file(tmp_path, token=SECRET), {})


def test_every_spelling_of_https_is_checked_by_the_certificates_that_are_named(tmp_path: Path):
    access = read_access("HTTPS://pacs.example/dicom-web/", auth_file(tmp_path, token=SECRET), {})
    assert access.url == "https://pacs.example/dicom-web"
    assert access.tls() is not None


def test_a_file_that_others_can_read_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = auth_file(tmp_path, token=SECRET)
    path.chmod(0o644)
    read_access("https://pacs.example", path, {})
    assert "chmod 600" in capsys.readouterr().err


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    options = ["-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *options, "-out", certificate, "-keyout", key], check=True, capture_output=True)
    return certificate, key


def test_certificates_are_checked_on_both_sides(tmp_path: Path, mammograms: dict[str, Path]):
    if not shutil.which("openssl"):
        pytest.skip("no openssl: apt-get install openssl")
    ours, our_key = make_certificate(tmp_path, "client")
    theirs, their_key = make_certificate(tmp_path, "server")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(theirs, their_key)
    tls.load_verify_locations(ours)
    tls.verify_mode = ssl.CERT_REQUIRED
    with stand_in([mammograms["L_CC"]], tls=tls) as pacs:
        both = auth_file(tmp_path, certificate=ours.name, key=our_key.name, ca=theirs.name)
        assert status_of(read_access(pacs.url, both, {})) == 200
        strange = auth_file(tmp_path, certificate=ours.name, key=our_key.name)
        with pytest.raises(SourceGoneError, match="who it should be"):
            status_of(read_access(pacs.url, strange, {}))
        without = auth_file(tmp_path, ca=theirs.name)
        with pytest.raises(SourceGoneError):
            status_of(read_access(pacs.url, without, {}))


def test_filters_become_queries(tmp_path: Path):
    (tmp_path / "patients").write_text("# mine\nPatientID=1\n\nPatientID=2\n")
    queries = read_filters(["StudyDate=20240101-20241231", f"@{tmp_path / 'patients'}"])
    date = {"StudyDate": "20240101-20241231", "ModalitiesInStudy": "MG"}
    assert queries == [{**date, "PatientID": "1"}, {**date, "PatientID": "2"}]
    assert read_filters(["00080061=CR", "00091001=x"]) == [{"ModalitiesInStudy": "CR", "00091001": "x"}]
    for text in ("StudyDate", "StudyDate=", "NoSuchThing=1", "@nowhere"):
        with pytest.raises(ValueError, match="--query"):
            read_filters([text])
