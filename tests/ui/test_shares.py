"""A reader who asks for exam after exam, beside one who asks for one: on a viewer in a process of its own."""

import pytest

from tests.samples.sessions import Session, page_config, question_of
from tests.samples.viewers import RunningViewer

pytestmark = pytest.mark.slow

FIRST, SECOND = "Synthetic breasts 1", "Synthetic breasts 2"
MANY = 50


def test_who_asks_for_exam_after_exam_does_not_keep_others_waiting(viewer: RunningViewer):
    number = question_of(page_config(viewer.url), "glam-example", "input")
    *before, greedy, modest = (Session(viewer.url) for _ in range(4))
    alone_s = min(alone.wait_for(alone.ask(number, [None, FIRST])) for alone in before)
    asked = [greedy.ask(number, [None, (FIRST, SECOND)[count % 2]]) for count in range(MANY)]
    event = modest.ask(number, [None, FIRST])
    modest_s = modest.wait_for(event)
    greedy.wait_for(asked[-1])
    assert modest.exam_of(event)["example"] == FIRST
    assert greedy.exam_of(asked[-1])["example"] == SECOND
    assert modest_s < 3 * alone_s + 1, "with one other reader who asks for one exam it is twice"
    begun = [name for name in asked if any("Reading" in str(data[2]) for data in greedy.answers[name])]
    assert len(begun) < MANY / 2, "what was replaced while it waited is not read"
