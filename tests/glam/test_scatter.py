"""Points on two axes: each in the colour of its group, at its place, with rings over all of them."""

import numpy as np
import pytest

from glam.drawing.paint import GREY, LIGHT
from glam.drawing.scatter import EDGE, KINDS, OTHERS, RING_PX, SIDE, Grouping, _colours, _dots, _placed, draw_scatter

NONE = np.zeros((0, 2))
CORNERS = np.array([[-1.0, -2.0], [1.0, -2.0], [0.0, 2.0]])
"""Twice as high as wide."""


def grouping(names: list[str], order: list[str] | None = None) -> Grouping:
    return Grouping(title="t", groups=np.array(names, object), order=order)


def test_points_lie_within_the_panel_at_one_scale_with_y_upwards():
    placed = _placed(CORNERS)
    assert placed[0].tolist() == [SIDE / 2 - (SIDE - 2 * EDGE) / 4, SIDE - EDGE]
    assert placed[1].tolist() == [SIDE / 2 + (SIDE - 2 * EDGE) / 4, SIDE - EDGE]
    assert placed[2].tolist() == [SIDE / 2, EDGE]


def test_a_point_has_the_colour_of_its_group_at_its_place():
    colours = np.array([KINDS[0], KINDS[1], KINDS[2]])
    picture = np.asarray(_dots(CORNERS, colours, NONE))
    for place, colour in zip(_placed(CORNERS).astype(int), colours, strict=True):
        np.testing.assert_allclose(picture[place[1], place[0]], colour, atol=12)


def test_a_ring_lies_around_its_place_and_leaves_the_dot_in_sight():
    colours = np.array([KINDS[0]] * 3)
    picture = np.asarray(_dots(CORNERS, colours, CORNERS[:1])).astype(int)
    x, y = _placed(CORNERS)[0].astype(int)
    np.testing.assert_allclose(picture[y, x], KINDS[0], atol=12)
    np.testing.assert_allclose(picture[y, x - int(RING_PX) + 1 : x - int(RING_PX) + 3].max(axis=0), LIGHT, atol=40)


@pytest.mark.parametrize("points", [np.zeros((1, 2)), np.full((5, 2), 3.0)])
def test_points_that_do_not_differ_lie_in_the_middle(points: np.ndarray):
    np.testing.assert_array_equal(_placed(points), np.full((len(points), 2), SIDE / 2))


def test_the_largest_groups_have_colours_of_their_own_and_the_rest_is_grey():
    names = [name for place, name in enumerate("abcdefghi") for _ in range(9 - place)]
    colours = _colours(grouping(names))
    assert list(colours) == [*"abcdefg", OTHERS]
    assert colours[OTHERS] == GREY
    assert len(set(colours.values())) == 8
    assert OTHERS not in _colours(grouping([*names[:9], "b"]))


def test_groups_with_an_order_keep_it_and_grow_lighter():
    colours = _colours(grouping(["d", "a"], order=list("abcd")))
    assert list(colours) == list("abcd")
    brightness = [sum(colour) for colour in colours.values()]
    assert brightness == sorted(brightness)


def test_every_grouping_has_a_panel():
    groups = grouping(["a", "b", "a"])
    one, two = (draw_scatter(CORNERS, [groups] * count, title="t", notes=["n"], rings=NONE).width for count in (2, 3))
    assert two - one >= SIDE
