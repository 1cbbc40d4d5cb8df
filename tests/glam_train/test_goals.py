import pytest

from glam_train.evaluation.goals import Goal


@pytest.mark.parametrize(
    ("goal", "holds"),
    [
        (Goal(2.0, 2.0), True),
        (Goal(1.9, 2.0), False),
        (Goal(2.0, 2.0, at_most=True), True),
        (Goal(2.1, 2.0, at_most=True), False),
        (Goal(None, 2.0), False),
        (Goal(float("nan"), 2.0, at_most=True), False),
    ],
)
def test_a_goal_holds_when_its_value_keeps_the_bound(goal, holds):
    assert goal.as_json()["holds"] is goal.holds is holds


def test_a_goal_is_printed_with_its_value_and_its_bound():
    assert Goal(1.5, 2.0).as_json() == {"value": 1.5, "goal": 2.0, "holds": False}
