"""What is asked of the server, and refusals in the words of the page."""

from typing import Any

import pytest

from glam.client import ServerError
from glam_ui.answers import AskError, Upload, ask, compared

PNG = b"\x89PNG\r\n\x1a\n"


class Client:
    """A server that has forgotten every answer, and is asked about no image."""

    def __init__(self, code: str) -> None:
        self.code = code

    def zero_shot(self, sentences: list[str], *, result_id: str) -> tuple[Any, ...]:
        raise ServerError(404, self.code, "there is no result of this id: send the images again", "result_id")


def test_an_exam_that_the_server_forgot_is_to_be_chosen_again():
    with pytest.raises(ServerError, match="choose it again, then compare"):
        compared(Client("no_such_result"), ["A mass is present"], ("r",))  # type: ignore[arg-type]


def test_another_refusal_is_told_as_it_came():
    with pytest.raises(ServerError, match="send the images again"):
        compared(Client("bad_prompt"), ["A mass is present"], ("r",))  # type: ignore[arg-type]


@pytest.mark.parametrize("good", [b"\x00DICM", PNG])
def test_an_empty_file_is_named_to_whoever_sent_it(good: bytes):
    uploads = [Upload(content=good, name="good"), Upload(content=b"", name="empty.dcm"), Upload(content=b"")]
    with pytest.raises(AskError, match=r"No bytes are in empty\.dcm, file 3: choose the files again"):
        ask(Client(""), uploads)  # type: ignore[arg-type]


@pytest.mark.parametrize("spacing_mm", [0.001, 5.0])
def test_a_spacing_that_no_mammogram_has_is_refused_in_words_of_the_page(spacing_mm: float):
    upload = Upload(content=PNG, name="L.png", laterality="L", view="CC")
    with pytest.raises(AskError, match=r"0\.01 to 2 mm apart: leave the spacing empty") as refused:
        ask(Client(""), [upload], spacing_mm=spacing_mm)  # type: ignore[arg-type]
    assert "spacing_mm" not in str(refused.value)
