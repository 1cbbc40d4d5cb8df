"""The log's lines about requests."""

import logging
import re

import pytest
from starlette.testclient import TestClient

from glam_serve.log import PlainFormatter, where_raised
from tests.samples.served import SECRET


def test_the_log_has_no_file_name_and_no_path_of_the_callers(bare: TestClient, log: pytest.LogCaptureFixture):
    bare.post("/predict", files={"cc": (f"{SECRET}.dcm", SECRET.encode())})
    bare.get(f"/{SECRET}?name={SECRET}")
    assert "POST /predict 415" in log.text
    assert "GET (no route) 404" in log.text
    assert SECRET not in log.text


def test_a_line_of_the_log_and_the_answer_bear_the_same_request_id(bare: TestClient, log: pytest.LogCaptureFixture):
    mine = "0F3C2B1A-0000-4000-8000-00000000000a"
    answer = bare.post("/predict", files={"cc": ("a", b"hello")}, headers={"x-request-id": mine})
    assert answer.headers["x-request-id"] == mine.lower()
    assert mine.lower() in log.text
    other = bare.post("/predict", files={"cc": ("a", b"hello")}, headers={"x-request-id": SECRET})
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", other.headers["x-request-id"])
    assert other.headers["x-request-id"] in log.text


def test_a_log_line_has_no_trace():
    with pytest.raises(ValueError, match="DOE") as caught:
        int(SECRET)
    assert where_raised(caught.value).startswith("ValueError at ")
    trace = (caught.type, caught.value, caught.tb)
    record = logging.LogRecord("litserve", logging.ERROR, __file__, 1, "failed", None, trace)
    line = PlainFormatter("%(message)s").format(record)
    assert SECRET not in line
    assert line.startswith("failed\nValueError at ")
