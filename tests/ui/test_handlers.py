"""What goes back to the page, without a browser: sentences, spacings, files that are gone."""

import asyncio
import re
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from glam.client import ServerError
from glam.client_vectors import SimilarAnswer
from glam_ui.answers import AskError, Upload
from glam_ui.handlers import MAX_FILES, Handlers, _messages, _mm, _need_words
from glam_ui.turns import Shares, Turns


def handlers(client: Any = None) -> Handlers:
    return Handlers(desk=SimpleNamespace(client=client), examples={})  # type: ignore[arg-type]


def shown(values: AsyncIterator[Any]) -> list[Any]:
    """Return all that is shown."""

    async def collected() -> list[Any]:
        return [value async for value in values]

    return asyncio.run(collected())


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-1", "0", "1e999", "zero", "0.07 mm", "0.07;0.08"])
def test_what_is_no_length_is_no_spacing(text: str):
    with pytest.raises(AskError, match=r"such as 0\.07"):
        _mm(text)


@pytest.mark.parametrize(("text", "mm"), [("0.07", 0.07), (" 0,07 ", 0.07), ("", None), ("  ", None)])
def test_a_spacing_may_have_a_comma_or_be_unknown(text: str, mm: float | None):
    assert _mm(text) == mm


def test_a_file_that_is_gone_before_it_is_read_is_told_in_words():
    found, files, form, *rows = handlers().come([], [{"path": "/nowhere/DOE^JANE.dcm"}])
    assert (found, files, form["visible"]) == ([], None, False)
    assert len(rows) == MAX_FILES
    (told,) = shown(handlers().show_uploaded(Turns(), found))
    assert "choose the files again" in told[2]


def test_sentences_are_not_told_of_an_exam_that_is_no_longer_asked_for():
    turns = Turns()

    class Client:
        def zero_shot(self, sentences: list[str], *, result_id: str) -> tuple[()]:
            turns.latest += 1  # another exam is asked for while the sentences are compared
            raise ServerError(404, "unknown_result", "of the exam before")

    assert asyncio.run(handlers(Client()).in_words(turns, "A mass is present", ("r",))) == gr.skip()
    assert "Write a sentence" in asyncio.run(handlers().in_words(turns, " \n", ("r",)))
    assert "Choose an exam first" in asyncio.run(handlers().in_words(turns, "A mass is present", ()))


def test_a_server_that_is_gone_is_told_without_its_address():
    class Client:
        def zero_shot(self, sentences: list[str], *, result_id: str) -> tuple[()]:
            raise ServerError(0, "no_answer", "no answer from http://10.1.2.3:8000: refused")

    told = asyncio.run(handlers(Client()).in_words(Turns(), "A mass is present", ("r",)))
    assert "try again in a moment" in told
    assert "10.1.2.3" not in told


def test_similar_cases_are_not_told_of_an_exam_that_is_no_longer_asked_for():
    turns = Turns()

    class Client:
        def similar(self, *, result_id: str, k: int) -> SimilarAnswer:
            if result_id == "slow":
                turns.latest += 1
            return SimilarAnswer(answers=(), patient_known=True, level="breast", rows=9)

    assert asyncio.run(handlers(Client()).similar(turns, ("slow",))) == gr.skip()
    assert "The most alike of 9 breasts" in asyncio.run(handlers(Client()).similar(turns, ("r",)))
    assert "Choose an exam first" in asyncio.run(handlers(Client()).similar(turns, ()))


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

    told = asyncio.run(handlers(Client()).similar(Turns(), ("r",)))
    assert said in told
    assert "role='alert'" in told


def test_a_link_that_names_no_example_changes_nothing():
    (told,) = shown(handlers().show_link(Turns(), ""))
    assert told == (gr.skip(),) * 7


def test_a_link_to_an_example_that_is_not_here_is_refused_unless_another_was_chosen_meanwhile():
    turns = Turns()
    (told,) = shown(handlers().show_link(turns, "Nobody's <b>"))
    assert "does not have" in told[3]
    assert [*told[:3], *told[4:]] == [gr.skip()] * 6
    turns.latest = 1
    (told,) = shown(handlers().show_link(turns, "Nobody's <b>"))
    assert told == (gr.skip(),) * 7


PNG = Upload(content=b"\x89PNG\r\n\x1a\n", name="a.png")
DICOM = Upload(content=bytes(128) + b"DICM", name="b.dcm")


def test_a_bad_spacing_leaves_the_exam_that_is_shown():
    page = handlers()
    (told,) = shown(page.show_pictures(Turns(), [page.arrived.put(PNG)], "zero", "left CC"))
    assert "such as 0.07" in told[2]
    assert told[0] == gr.skip()


def test_what_is_no_exam_is_refused_before_its_reader_says_what_each_picture_shows():
    page = handlers()
    waiting = [page.arrived.put(PNG) for _ in range(9)]
    (told,) = shown(page.show_uploaded(Turns(), waiting))
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
        told = shown(page.show_pictures(Turns(), [picture], "", "left CC"))[-1]
        assert "(&#x27;a.png&#x27;, &#x27;CC&#x27;)" in told[2]
    assert "b.dcm" in shown(page.show_uploaded(Turns(), [dicom]))[-1][2]
    assert page.arrived.num_bytes() == len(PNG.content)
    page.arrived.drop([picture])
    (told,) = shown(page.show_pictures(Turns(), [picture], "", "left CC"))
    assert "choose the files again" in told[2]


def test_what_a_session_uploaded_before_goes_with_its_next_upload():
    page = handlers()
    before = [page.arrived.put(PNG), page.arrived.put(DICOM)]
    others = page.arrived.put(PNG)
    page.come(before, [])
    assert page.arrived.num_bytes() == len(PNG.content)
    assert page.arrived.uploads([others])[0].name == "a.png"


class Unhurried:
    """A desk whose exam comes when a gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.num_asked = 0

    def show(self, uploads: list[Upload], **_: object) -> list[object]:
        self.num_asked += 1
        assert self.gate.wait(10)
        raise AskError("no exam")


def test_readers_in_line_are_told_so_and_whoever_has_no_place_in_it_too():
    async def asked() -> list[list[Any]]:
        desk = Unhurried()
        page = Handlers(
            desk=desk,  # type: ignore[arg-type]
            examples={"Exam": SimpleNamespace(uploads=lambda: [DICOM], true_places=lambda: None)},  # type: ignore[dict-item]
            exams=Shares(most_under_way=1, most_waiting=1),
        )

        async def told(turns: Turns) -> list[Any]:
            return [outputs[2] async for outputs in page.show_example(turns, "Exam")]

        asks = []
        for _ in range(3):
            asks.append(asyncio.create_task(told(Turns())))
            await asyncio.sleep(0.05)
        assert asks[2].done()
        desk.gate.set()
        return await asyncio.gather(*asks)

    first, second, third = asyncio.run(asked())
    assert [("Reading" in said[0], "no exam" in said[-1]) for said in (first, second[1:])] == [(True, True)] * 2
    assert "Waiting for other readers" in second[0]
    assert "try again in a minute" in third[-1]


def test_of_sentences_that_a_session_sends_the_last_are_compared():
    asked: list[list[str]] = []
    gate = threading.Event()

    class Client:
        def zero_shot(self, sentences: list[str], *, result_id: str) -> tuple[()]:
            asked.append(sentences)
            assert gate.wait(10)
            raise ServerError(404, "x", f"of {sentences[0]}")

    async def all_of_them() -> list[Any]:
        page, turns = handlers(Client()), Turns()
        asks = []
        for number in range(20):
            asks.append(asyncio.create_task(page.in_words(turns, f"sentence {number}", ("r",))))
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        gate.set()
        return await asyncio.gather(*asks)

    told = asyncio.run(all_of_them())
    assert asked == [["sentence 0"], ["sentence 19"]]
    assert told[1:-1] == [gr.skip()] * 18
    assert "of sentence 19" in told[-1]


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
