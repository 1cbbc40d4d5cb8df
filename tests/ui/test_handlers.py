"""What goes back to the page, without a browser: sentences, spacings, files that are gone."""

import re
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from glam.client import ServerError
from glam.client_vectors import SimilarAnswer
from glam_ui.answers import AskError, Upload
from glam_ui.handlers import MAX_FILES, Handlers, _messages, _mm, _need_words
from glam_ui.turns import Turns


def handlers(client: Any = None) -> Handlers:
    return Handlers(desk=SimpleNamespace(client=client), examples={})  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-1", "0", "1e999", "zero", "0.07 mm", "0.07;0.08"])
def test_what_is_no_length_is_no_spacing(text: str):
    with pytest.raises(AskError, match=r"such as 0\.07"):
        _mm(text)


@pytest.mark.parametrize(("text", "mm"), [("0.07", 0.07), (" 0,07 ", 0.07), ("", None), ("  ", None)])
def test_a_spacing_may_have_a_comma_or_be_unknown(text: str, mm: float | None):
    assert _mm(text) == mm


def test_a_file_that_is_gone_before_it_is_read_is_told_in_words():
    found, files, form, *rows = handlers().come([{"path": "/nowhere/DOE^JANE.dcm"}])
    assert (found, files, form["visible"]) == ([], None, False)
    assert len(rows) == MAX_FILES
    (shown,) = handlers().show_uploaded(Turns(), found)
    assert "choose the files again" in shown[2]


def test_sentences_are_not_told_of_an_exam_that_is_no_longer_asked_for():
    turns = Turns()

    class Client:
        def zero_shot(self, sentences: list[str], *, result_id: str) -> tuple[()]:
            list(turns.shown(["another exam"], instead=""))  # asked for while the sentences are compared
            raise ServerError(404, "unknown_result", "of the exam before")

    assert handlers(Client()).in_words(turns, "A mass is present", ("r",)) == gr.skip()
    assert "Write a sentence" in handlers().in_words(turns, " \n", ("r",))
    assert "Choose an exam first" in handlers().in_words(turns, "A mass is present", ())


def test_a_server_that_is_gone_is_told_without_its_address():
    class Client:
        def zero_shot(self, sentences: list[str], *, result_id: str) -> tuple[()]:
            raise ServerError(0, "no_answer", "no answer from http://10.1.2.3:8000: refused")

    told = handlers(Client()).in_words(Turns(), "A mass is present", ("r",))
    assert "try again in a moment" in told
    assert "10.1.2.3" not in told


def test_similar_cases_are_not_told_of_an_exam_that_is_no_longer_asked_for():
    turns = Turns()

    class Client:
        def similar(self, *, result_id: str, k: int) -> SimilarAnswer:
            if result_id == "slow":
                list(turns.shown(["another exam"], instead=""))
            return SimilarAnswer(answers=(), patient_known=True, level="breast", rows=9)

    assert handlers(Client()).similar(turns, ("slow",)) == gr.skip()
    assert "The most alike of 9 breasts" in handlers(Client()).similar(turns, ("r",))
    assert "Choose an exam first" in handlers(Client()).similar(turns, ())


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (404, "no_such_result", "choose it again"),
        (404, "no_store", "starts it with --store"),
        (0, "no_answer", "try again in a moment"),
        (503, "busy", "of the server"),
    ],
)
def test_similar_cases_that_cannot_be_had_are_refused_in_words(status: int, code: str, said: str):
    class Client:
        def similar(self, *, result_id: str, k: int) -> SimilarAnswer:
            raise ServerError(status, code, "of the server")

    told = handlers(Client()).similar(Turns(), ("r",))
    assert said in told
    assert "role='alert'" in told


def test_a_link_that_names_no_example_changes_nothing():
    (told,) = handlers().show_link(Turns(), "")
    assert told == (gr.skip(),) * 7


def test_a_link_to_an_example_that_is_not_here_is_refused_unless_another_was_chosen_meanwhile():
    turns = Turns()
    (told,) = handlers().show_link(turns, "Nobody's <b>")
    assert "does not have" in told[3]
    assert [*told[:3], *told[4:]] == [gr.skip()] * 6
    turns.latest = 1
    (told,) = handlers().show_link(turns, "Nobody's <b>")
    assert told == (gr.skip(),) * 7


PNG = Upload(content=b"\x89PNG\r\n\x1a\n", name="a.png")
DICOM = Upload(content=bytes(128) + b"DICM", name="b.dcm")


def test_a_bad_spacing_leaves_the_exam_that_is_shown():
    page = handlers()
    (told,) = page.show_pictures(Turns(), [page.arrived.put(PNG)], "zero", "left CC")
    assert "such as 0.07" in told[2]
    assert told[0] == gr.skip()


def test_what_is_no_exam_is_refused_before_its_reader_says_what_each_picture_shows():
    page = handlers()
    waiting = [page.arrived.put(PNG) for _ in range(9)]
    (told,) = page.show_uploaded(Turns(), waiting)
    assert "Choose 1 to 8 files" in told[2]
    assert _need_words(waiting[:8])
    assert not _need_words([waiting[0], page.arrived.put(DICOM)])
    assert not _need_words([])


def test_pictures_are_held_until_they_are_said_again_and_what_says_itself_is_not():
    class Shows:
        def show(self, uploads: list[Upload], **_: object) -> list[object]:
            raise AskError(f"asked about {[(upload.name, upload.view) for upload in uploads]}")

    page = Handlers(desk=Shows(), examples={})  # type: ignore[arg-type]
    picture, dicom = page.arrived.put(PNG), page.arrived.put(DICOM)
    for _ in range(2):
        assert (
            "(&#x27;a.png&#x27;, &#x27;CC&#x27;)" in list(page.show_pictures(Turns(), [picture], "", "left CC"))[-1][2]
        )
    assert "b.dcm" in list(page.show_uploaded(Turns(), [dicom]))[-1][2]
    assert page.arrived.num_bytes() == len(PNG.content)
    page.arrived.drop([picture])
    (told,) = page.show_pictures(Turns(), [picture], "", "left CC")
    assert "choose the files again" in told[2]


def test_a_finding_says_which_breast_and_view_it_is_of():
    def of(message: str) -> tuple[SimpleNamespace]:
        return (SimpleNamespace(message=message),)

    views = {"mlo": SimpleNamespace(view="MLO", findings=of("no nipple"))}
    breasts = {side: SimpleNamespace(findings=of("lengths differ"), views=views) for side in "LR"}
    answer: Any = SimpleNamespace(left_out=(), findings=(), breasts=breasts)
    assert re.findall("<li>(.*?)</li>", _messages(answer, [])) == [
        "left breast: lengths differ",
        "left MLO: no nipple",
        "right breast: lengths differ",
        "right MLO: no nipple",
    ]
