"""Which of two exams that were asked for is shown."""

from glam_ui.turns import Turns


def test_an_exam_is_shown_to_its_end():
    assert list(Turns().shown(["busy", "preview", "exam"], instead="as it was")) == ["busy", "preview", "exam"]


def test_a_late_exam_changes_nothing_once_a_newer_one_was_asked_for():
    turns = Turns()
    first = turns.shown(["busy 1", "preview 1", "exam 1"], instead="as it was")
    assert [next(first), next(first)] == ["busy 1", "preview 1"]
    second = turns.shown(["busy 2", "exam 2"], instead="as it was")
    assert next(second) == "busy 2"
    assert list(first) == ["as it was"]
    assert list(second) == ["exam 2"]
