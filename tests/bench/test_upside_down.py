import json

from bench.upside_down import Turned, figures_of, goals_of, measure


def test_shares_are_told_apart_by_muscle_and_by_how_a_view_was_stored() -> None:
    seen = Turned(has_muscle=True, on_its_head=True, upright=False)
    missed = Turned(has_muscle=True, on_its_head=False, upright=False)
    wrong = Turned(has_muscle=False, on_its_head=False, upright=True)
    figures = figures_of([seen, seen, seen, missed, wrong])
    assert figures["with_muscle"] == {"views": 4, "on_its_head_turned": 0.75, "upright_turned": 0.0}
    assert figures["without_muscle"] == {"views": 1, "on_its_head_turned": 0.0, "upright_turned": 1.0}
    goals = goals_of(figures)
    assert {name: entry.as_json() for name, entry in goals.items()} == {
        "upright_turned": {"value": 1.0, "goal": 0.01, "holds": False}
    }


def test_a_phantom_with_a_clear_muscle_is_turned_and_one_without_is_left() -> None:
    with_muscle, without = (measure(index, seed=88_000_000, px_mm=0.48) for index in (0, 1))
    assert (with_muscle.has_muscle, without.has_muscle) == (True, False)
    assert not with_muscle.upright
    assert not without.upright
    assert not without.on_its_head
    json.dumps(figures_of([with_muscle, without]))
