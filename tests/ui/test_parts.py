"""What a form of uploads may hold, looked at while it comes."""

import pytest

from glam_ui.parts import MAX_PARTS, FormError, Parts

KIND = b"multipart/form-data; boundary=X"


def part(disposition: bytes, content: bytes = b"content") -> bytes:
    return b"--X\r\nContent-Disposition: form-data; " + disposition + b"\r\n\r\n" + content + b"\r\n"


FILE = part(b'name="files"; filename="a.dcm"')


def is_taken(kind: bytes, body: bytes) -> bool:
    """Say whether a form is let through to Gradio."""
    try:
        Parts(kind).look(body)
    except FormError:
        return False
    return True


@pytest.mark.parametrize("files", [FILE, FILE * MAX_PARTS, part(b'name="files"; filename=""')])
def test_files_are_let_through(files: bytes):
    assert is_taken(KIND, files + b"--X--\r\n")
    assert not is_taken(KIND, files + part(b'name="files"') + b"--X--\r\n")


@pytest.mark.parametrize(
    "disposition", [b'name="files"', b"name=filename", b'name="x"; file_name="a"', b"name=files; filename*=UTF-8''a"]
)
def test_a_text_is_refused_at_its_first_byte(disposition: bytes):
    """Gradio keeps it in memory, and fails where it is asked how far the upload is."""
    parts = Parts(KIND)
    parts.look(FILE)
    with pytest.raises(FormError, match="not a form of files"):
        parts.look(part(disposition).removesuffix(b"content\r\n"))


def test_a_part_that_says_nothing_of_itself_is_refused():
    with pytest.raises(FormError, match="not a form of files"):
        Parts(KIND).look(FILE + b"--X\r\nContent-Type: text/plain\r\n\r\ncontent")


def test_more_files_than_anybody_means_to_send_are_refused():
    parts = Parts(KIND)
    parts.look(FILE * MAX_PARTS)
    with pytest.raises(FormError, match=f"more than {MAX_PARTS} files at once: choose those of one exam"):
        parts.look(FILE)


def test_a_header_is_read_wherever_its_bytes_are_cut():
    parts, text = Parts(KIND), (FILE + part(b'name="files"', b"")).removesuffix(b"\r\n")
    for place in range(len(text) - 2):
        parts.look(text[place : place + 1])
    with pytest.raises(FormError, match="not a form of files"):
        parts.look(text[-2:])


@pytest.mark.parametrize("kind", [b"", b"text/plain", b"multipart/form-data", b"multipart/form-data; boundary="])
def test_what_gradio_refuses_by_its_kind_is_left_to_it(kind: bytes):
    assert is_taken(kind, FILE)
    assert is_taken(kind, part(b'name="files"'))
