"""Questions that the page asks of its handlers, told from those that somebody wrote by hand."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from .uploads import is_upload

if TYPE_CHECKING:
    import gradio as gr
    from gradio.blocks import Block
    from gradio.components import Component

MAX_TOKEN_CHARS = 64
Taker = Callable[[object], object]
"""Returns what a component is given of a value; ValueError for one that it could not have sent."""


class Questions:
    """The handlers of a page, and what each of their components may send.

    Gradio checks little of it, and writes what it cannot use into the log, names of files included.
    """

    def __init__(self, takers: Mapping[int, Sequence[Taker]]) -> None:
        self._takers = takers

    @classmethod
    def of(cls, page: "gr.Blocks") -> Self:
        """Return the questions of a page."""
        return cls({number: [_taker(component) for component in fn.inputs] for number, fn in page.fns.items()})

    def asked(self, body: bytes) -> bytes:
        """Return a question with no more in it than its handler needs; ValueError for one that the page does not ask.

        The message says nothing of what was sent.
        """
        question = _parsed(body)
        number, data = question.get("fn_index"), question.get("data")
        takers = self._takers.get(number) if type(number) is int else None
        if takers is None or not isinstance(data, list) or len(data) != len(takers):
            raise ValueError("not a question of this page")
        if not is_token(question.get("session_hash")):
            raise ValueError("a session is named by letters and digits")
        trigger = question.get("trigger_id")
        kept = {
            "data": [take(value) for take, value in zip(takers, data, strict=True)],
            "fn_index": number,
            "trigger_id": trigger if type(trigger) is int else None,
            "session_hash": question["session_hash"],
        }
        return json.dumps(kept).encode()

    def ended(self, body: bytes) -> bytes:
        """Return what names a question that is to end, and no more; ValueError where it is no name of one.

        Gradio answers what it does not understand with what was sent, and fails where that cannot be sent back.
        """
        question = _parsed(body)
        number, event = question.get("fn_index"), question.get("event_id")
        session = question.get("session_hash")
        if not is_token(event) or not (session is None or is_token(session)):
            raise ValueError("questions and sessions have short names")
        if number is not None and (type(number) is not int or number not in self._takers):
            raise ValueError("not a question of this page")
        return json.dumps({"event_id": event, "session_hash": session, "fn_index": number}).encode()


def is_token(name: object) -> bool:
    """Return whether something is a name as Gradio's page makes them, of a session or an upload."""
    return isinstance(name, str) and name.isascii() and name.isalnum() and len(name) <= MAX_TOKEN_CHARS


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        question = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(question, dict):
        raise ValueError("not an object of JSON")
    return question


def _taker(component: "Block") -> Taker:
    return TAKERS[component.get_block_name()](component)


def _nothing(_: "Component") -> Taker:
    """Of what the page does not send: the server has it."""
    return lambda _: None


def _choice(component: "gr.Dropdown") -> Taker:
    names = {value for _, value in component.choices}

    def take(value: object) -> object:
        if value is None or (isinstance(value, str) and value in names):
            return value
        raise ValueError("not one of the names in a list")

    return take


def _text(_: "Component") -> Taker:
    def take(value: object) -> object:
        if value is None:
            return ""
        if isinstance(value, str) and _is_unicode(value):
            return value
        raise ValueError("not a text")

    return take


def _files(_: "Component") -> Taker:
    """Of files that were sent: no address, which Gradio would fetch, and no path elsewhere, which it would read."""

    def take(value: object) -> object:
        if value is None:
            return None
        if not isinstance(value, list):
            raise ValueError("not a list of files")
        return [{"path": _path(file), "meta": {"_type": "gradio.FileData"}} for file in value]

    return take


def _path(file: object) -> str:
    path = file.get("path") if isinstance(file, dict) else None
    if not isinstance(path, str) or not _is_unicode(path) or not is_upload(path):
        raise ValueError("names a file that was not sent")
    return path


def _is_unicode(text: str) -> bool:
    """Return whether a text can be encoded: JSON may hold halves of characters, which no file and no answer can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


TAKERS: dict[str, Callable[..., Taker]] = {"state": _nothing, "dropdown": _choice, "textbox": _text, "file": _files}
"""By the name that Gradio has for a component; of those that take part in a question."""
