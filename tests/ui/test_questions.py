"""Which questions are of the page, and what reaches Gradio of them."""

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from glam_ui.questions import MAX_TOKEN_CHARS, Questions

PATIENT = "DOE^JANE.dcm"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of uploads."""
    monkeypatch.setitem(os.environ, "GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def questions() -> Questions:
    """Of a page with one handler, number 0, that is given what a session holds, a choice, a text and files."""

    async def in_loop() -> Questions:  # otherwise Gradio makes its own loops, and leaves them open
        with gr.Blocks() as page:
            inputs = [gr.State(()), gr.Dropdown(["CC", "MLO"]), gr.Textbox(), gr.File(file_count="multiple")]
            gr.Button().click(lambda *_: None, inputs, None)
        return Questions.of(page)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(in_loop())).result()


def question(*data: object, **others: object) -> bytes:
    """Return a question to that handler, as the page writes it."""
    whole = {"data": list(data), "event_data": None, "fn_index": 0, "trigger_id": 5, "session_hash": "a1b2"}
    return json.dumps(whole | others).encode()


def data_of(body: bytes) -> list[Any]:
    return json.loads(body)["data"]


def test_a_question_of_the_page_is_asked_as_it_is(questions: Questions, folder: Path):
    path = str(folder / "of-content" / PATIENT)
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    asked = questions.asked(question(None, "CC", "a sentence", [file, file]))
    assert json.loads(asked) == {
        "data": [None, "CC", "a sentence", [file, file]],
        "fn_index": 0,
        "trigger_id": 5,
        "session_hash": "a1b2",
    }
    assert data_of(questions.asked(question(None, None, None, None))) == [None, None, "", None]


def test_what_no_handler_needs_is_left_out(questions: Questions, folder: Path):
    file = {"path": str(folder / "of-content" / "x.dcm"), "url": "http://a.example/x", "is_stream": True, "size": "x"}
    more = {
        "event_id": "x",
        "batched": True,
        "simple_format": True,
        "request": {},
        "event_data": [1],
        "trigger_id": "x",
    }
    asked = json.loads(questions.asked(question({"held": 1}, "CC", "", [file], **more)))
    assert set(asked) == {"data", "fn_index", "trigger_id", "session_hash"}
    assert asked["trigger_id"] is None
    assert asked["data"][0] is None, "a session's own is at the server"
    assert set(asked["data"][3][0]) == {"path", "meta"}


@pytest.mark.parametrize("data", [(), ("CC",), (None,) * 5, (None, "AT", "", None), (None, ["CC"], "", None)], ids=repr)
def test_a_question_of_another_shape_is_refused(questions: Questions, data: tuple[object, ...]):
    with pytest.raises(ValueError, match="not"):
        questions.asked(question(*data))


@pytest.mark.parametrize("text", [5, 1e308, ["x"], {"x": 1}, True, "half \ud800"], ids=repr)
def test_what_is_no_text_is_refused(questions: Questions, text: object):
    with pytest.raises(ValueError, match="not a text"):
        questions.asked(question(None, "CC", text, None))


@pytest.mark.parametrize("number", [1, -1, 999, 10**400, "0", 0.0, True, None, [0]], ids=lambda number: str(number)[:5])
def test_a_handler_that_is_not_there_is_not_asked(questions: Questions, number: object):
    with pytest.raises(ValueError, match="not a question of this page"):
        questions.asked(question(None, "CC", "", None, fn_index=number))


@pytest.mark.parametrize(
    "name", ["", None, 5, ["a"], "a b", "../a", "ä", "\ud800", "a" * (MAX_TOKEN_CHARS + 1)], ids=repr
)
def test_a_session_has_a_name_as_the_page_makes_them(questions: Questions, name: object):
    """Half a character in one name had Gradio fail at its statistics ever after."""
    with pytest.raises(ValueError, match="letters and digits"):
        questions.asked(question(None, "CC", "", None, session_hash=name))


def test_what_names_a_question_that_is_to_end_is_all_that_is_said_of_it(questions: Questions):
    named = {"event_id": "0f3a", "session_hash": "a1b2", "fn_index": 0}
    assert json.loads(questions.ended(json.dumps(named | {"data": [PATIENT]}).encode())) == named
    assert json.loads(questions.ended(b'{"event_id": "0f3a"}')) == {
        "event_id": "0f3a",
        "session_hash": None,
        "fn_index": None,
    }


@pytest.mark.parametrize(
    "name", ["", 5, float("nan"), ["a"], {}, "a b", "\ud800", "a" * (MAX_TOKEN_CHARS + 1)], ids=repr
)
@pytest.mark.parametrize("field", ["event_id", "session_hash", "fn_index"])
def test_a_question_that_is_to_end_has_a_name(questions: Questions, field: str, name: object):
    """Gradio sends back what it does not understand: it failed at half a character and at NaN, which it logs."""
    named = {"event_id": "0f3a", "session_hash": "a1b2", "fn_index": 0} | {field: name}
    with pytest.raises(ValueError, match=r"not a question of this page|short names"):
        questions.ended(json.dumps(named).encode())


@pytest.mark.parametrize("body", [b"{}", b"[]", b"NaN", b'"\\ud800"', b"[" * 100_000, b'{"event_id": null}'], ids=len)
def test_nothing_ends_without_a_name(questions: Questions, body: bytes):
    with pytest.raises(ValueError, match=r"JSON|short names"):
        questions.ended(body)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"null", b"[]", b'"x"', b"9" * 5000], ids=len)
def test_what_is_no_object_of_json_is_refused(questions: Questions, body: bytes):
    with pytest.raises(ValueError, match="JSON"):
        questions.asked(body)


def test_a_refusal_says_nothing_of_what_was_sent(questions: Questions, folder: Path):
    for data in ((None, PATIENT, "", None), (None, "CC", [PATIENT], None), (None, "CC", "", [{"path": PATIENT}])):
        with pytest.raises(ValueError, match="not") as refusal:
            questions.asked(question(*data))
        assert "DOE" not in str(refusal.value)
        assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


@pytest.mark.parametrize(
    "path",
    ["/etc/hostname", "http://a.example/x", "/dev/zero", "../uploads", "", "\0", "x" * 5000, None, ["/etc"], "\ud800"],
)
def test_a_question_names_no_file_but_an_upload(questions: Questions, folder: Path, path: object):
    for files in ([{"path": path}], {"path": path}, [[{"path": path}]], [path]):
        with pytest.raises(ValueError, match="not"):
            questions.asked(question(None, "CC", "", files))


def test_a_path_that_no_file_can_have_is_not_followed(
    questions: Questions, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """One of half a million folders held the viewer up for minutes."""
    monkeypatch.setattr(Path, "resolve", lambda path: pytest.fail(f"{len(str(path))} letters are followed"))
    with pytest.raises(ValueError, match="names a file that was not sent"):
        questions.asked(question(None, "CC", "", [{"path": f"{folder}/" + "a/" * 2500}]))


def test_an_upload_may_be_there_or_gone_and_its_neighbours_are_none(questions: Questions, folder: Path):
    of_content = folder / "of-content"
    of_content.mkdir()
    (of_content / "to-elsewhere").symlink_to("/etc/hostname")
    assert data_of(questions.asked(question(None, "CC", "", [{"path": str(of_content / "gone.dcm")}])))
    for name in ("to-elsewhere", "../a-part-of-an-upload", "../../../etc/hostname", ".", ".."):
        with pytest.raises(ValueError, match="names a file that was not sent"):
            questions.asked(question(None, "CC", "", [{"path": f"{of_content}/{name}"}]))
