"""Words before and behind the parts of a form, however the body is cut into pieces."""

import pytest

from glam_serve.edges import FormEdges

PARTS = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\none --b-- \n--b--\r\n-\r\n--b--'
BEFORE = [b"", b"\r\n", b"a preamble\r\n", b"a --b in a line, a --b--\r\n\r\n", b"\r\n--\r\n-" + b"x" * 5000 + b"\r\n"]
BEHIND = [b"", b"\r\n", b"\r\nan epilogue\r\n" * 500, b"\r\n--b\r\n\r\nno part\r\n--b--\r\n"]


def edges(kind: str = "multipart/form-data; boundary=b") -> FormEdges:
    return FormEdges({"headers": [(b"content-type", kind.encode())]})


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 10_000])
@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("before", BEFORE)
def test_a_parser_gets_what_lies_between_the_edges(before: bytes, behind: bytes, size: int):
    form, body = edges(), before + PARTS + behind
    inner = b"".join(form.inner(body[start : start + size]) for start in range(0, len(body), size))
    assert inner == PARTS
    assert form.is_whole


@pytest.mark.parametrize("size", [1, 4, 10_000])
@pytest.mark.parametrize("body", [b"", b"words", PARTS[:-1], PARTS[:-2], b"x --b--"])
def test_a_form_without_its_end_is_not_whole(body: bytes, size: int):
    form = edges()
    for start in range(0, len(body), size):
        form.inner(body[start : start + size])
    assert not form.is_whole


@pytest.mark.parametrize("kind", ["application/json", "multipart/mixed; boundary=b", "multipart/form-data", ""])
def test_another_body_passes_as_it_is(kind: str):
    form = edges(kind)
    assert form.inner(b"before\r\n--b--\r\nbehind") == b"before\r\n--b--\r\nbehind"
    assert form.is_whole
