"""The one DICOM file in the body of an answer: multipart/related (RFC 2387), or bare as some services send it."""

import re
from email.message import Message

from glam.reading.source import OwnBytes

DICOM = "application/dicom"
FILE_TYPES = ("", DICOM, "application/octet-stream")
"""Types of a part that may be a DICOM file; some services do not say."""
MAX_HEADER_BYTES = 16_384
END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")


class NotWholeError(ValueError):
    """A body that ends before its closing delimiter."""


class NotOneFileError(ValueError):
    """A body that holds something else than one DICOM file, however often it is asked for."""


def only_file(body: OwnBytes, content_type: str) -> OwnBytes:
    """Return the file in a body, which is taken apart for it.

    NotWholeError: the end is missing. NotOneFileError: it has another type, no part, or several.
    """
    head = Message()
    head["Content-Type"] = content_type
    if head.get_content_type() == DICOM:
        return body
    boundary = str(head.get_boundary("") or "")
    if head.get_content_type() != "multipart/related" or not boundary:
        raise NotOneFileError("an answer of another type than multipart/related or application/dicom")
    start, end = _part(body, b"--" + boundary.encode("ascii", "replace"))
    del body[end:]
    del body[:start]
    return body


def _part(body: OwnBytes, delimiter: bytes) -> tuple[int, int]:
    """Return where the content of the only part begins and ends."""
    first = _delimiter_at(body, delimiter, 0)
    if first is None:
        raise NotWholeError("an answer without a part")
    if first[2]:
        raise NotOneFileError("an answer of no parts")
    start, headers = _headers(body, first[1])
    if headers.get_content_type() not in FILE_TYPES and "Content-Type" in headers:
        raise NotOneFileError("a part of another type than application/dicom")
    length = headers.get("Content-Length", "")
    told = start + int(length) if re.fullmatch("[0-9]{1,12}", length) else None
    last = told is not None and _delimiter_at(body, delimiter, told)  # what it says, if a delimiter does follow there
    if not last or last[0] != told:
        last = _delimiter_at(body, delimiter, start)
    if last is None or (not last[2] and last[1] == len(body)):
        raise NotWholeError("an answer that ends within a part")
    if not last[2]:
        raise NotOneFileError("an answer of several parts")
    return start, last[0]


def _headers(body: OwnBytes, place: int) -> tuple[int, Message]:
    """Return where the content behind a part's headers begins, and the headers. A part may have none."""
    if (empty := re.compile(rb"\r?\n\r?\n").match(body, place)) is not None:
        return empty.end(), Message()
    end = END_OF_HEADERS.search(body, place, place + MAX_HEADER_BYTES)
    if end is None:
        raise NotWholeError("an answer that ends within the headers of a part")
    headers = Message()
    for line in bytes(body[place : end.start()]).decode("latin-1").splitlines():
        name, colon, value = line.partition(":")
        if colon and name.strip() not in headers:
            headers[name.strip()] = value.strip()
    return end.end(), headers


def _delimiter_at(body: OwnBytes, delimiter: bytes, place: int) -> tuple[int, int, bool] | None:
    """Return the next delimiter at the beginning of a line: where its line end before it begins, its end, is it last.

    RFC 2046 5.1.1. Lines that end without a carriage return are taken too.
    """
    found = body.find(delimiter, place)
    while found >= 0:
        begin = found
        if body[found - 2 : found] == b"\r\n" and found - 2 >= place:
            begin = found - 2
        elif body[found - 1 : found] == b"\n" and found - 1 >= place:
            begin = found - 1
        following = re.compile(rb"(--)?[ \t]*(?=\r?\n|\Z)").match(body, found + len(delimiter))
        if following is not None and (begin < found or found == 0):
            return begin, following.end(), following[1] is not None
        found = body.find(delimiter, found + 1)
    return None
