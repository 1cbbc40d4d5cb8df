"""The body of a WADO-RS answer."""

import pytest

from glam.reading.source import OwnBytes
from glam_serve.pacs.multipart import NotOneFileError, NotWholeError, only_file
from tests.samples.pacs import BOUNDARY, MULTIPART, multipart

CONTENT = bytes(range(256)) * 3 + b"\r\n--no boundary\r\n\n\r"


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Type: application/dicom",
        b"content-type: application/dicom; transfer-syntax=1.2.840.10008.1.2.1\r\nContent-Location: x",
        b"MIME-Version: 1.0",
        f"Content-Length: {len(CONTENT)}".encode(),
        b"Content-Length: 3",
        b"Content-Length: 99999999",
    ],
)
def test_the_content_of_the_part_is_found(headers: bytes):
    assert only_file(OwnBytes(multipart(CONTENT, headers=headers)), MULTIPART) == CONTENT


def test_a_part_without_headers_a_preamble_and_an_epilogue_are_passed_over():
    body = b"preamble\r\n--b\r\n\r\n" + CONTENT + b"\r\n--b-- \r\nepilogue"
    assert only_file(OwnBytes(body), "multipart/related; boundary=b") == CONTENT


def test_lines_that_end_without_a_carriage_return_are_taken():
    body = b"--b\nContent-Type: application/dicom\n\nDATA\n--b--"
    assert only_file(OwnBytes(body), "Multipart/Related; boundary=b") == b"DATA"


def test_a_boundary_in_the_pixels_is_no_end_where_the_part_says_its_length():
    content = f"x\r\n--{BOUNDARY}--\r\ny".encode()
    headers = f"Content-Length: {len(content)}".encode()
    assert only_file(OwnBytes(multipart(content, headers=headers)), MULTIPART) == content


def test_a_bare_file_is_taken_as_it_is():
    assert only_file(OwnBytes(CONTENT), "application/dicom") == CONTENT


def test_every_cut_of_an_answer_is_seen():
    body = multipart(b"DATA")
    whole = len(body) - len("--\r\n") + 2
    for end in range(whole):
        with pytest.raises(NotWholeError):
            only_file(OwnBytes(body[:end]), MULTIPART)
    assert only_file(OwnBytes(body[:whole]), MULTIPART) == b"DATA"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"<html>", "text/html"),
        (multipart(b"DATA"), "multipart/related"),
        (multipart(b"{}", headers=b"Content-Type: application/json"), MULTIPART),
        (f"--{BOUNDARY}--\r\n".encode(), MULTIPART),
        (multipart(b"1")[:-4] + b"\r\n\r\n2" + f"\r\n--{BOUNDARY}--".encode(), MULTIPART),
    ],
)
def test_what_is_not_one_file_is_refused(body: bytes, content_type: str):
    with pytest.raises(NotOneFileError):
        only_file(OwnBytes(body), content_type)
