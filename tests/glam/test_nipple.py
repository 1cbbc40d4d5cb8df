import numpy as np
import pytest

from glam.anatomy.breast import Line, chest_wall
from glam.anatomy.nipple import Nipple, chest_nipple_axis, contour, find_nipple, nipple_axis, skin_line


def breast_with_nipple(at_deg: float = 0.0, height: float = 12.0) -> np.ndarray:
    """Half a disc of radius 180 px at the left edge of 500 x 400, and a nipple that stands out at an angle."""
    y, x = np.mgrid[:500, :400] + 0.5
    angle = np.deg2rad(at_deg)
    tip = 180 * np.cos(angle), 250 + 180 * np.sin(angle)
    return (np.hypot(x, y - 250) < 180) | (np.hypot(x - tip[0], y - tip[1]) < height)


@pytest.mark.parametrize("at_deg", [-25.0, -10.0, 0.0, 12.0, 25.0])
def test_a_nipple_beside_the_furthest_point_is_found(at_deg: float) -> None:
    found = find_nipple(breast_with_nipple(at_deg), 0.0)
    angle = np.deg2rad(at_deg)
    expected = 192 * np.cos(angle), 250 + 192 * np.sin(angle)
    assert np.hypot(found.x - expected[0], found.y - expected[1]) < 7
    assert found.confidence > 0.5


def test_a_taller_nipple_is_surer() -> None:
    low, high = (find_nipple(breast_with_nipple(height=height), 0.0).confidence for height in (5.0, 10.0))
    assert 0 < low < high


def test_a_smooth_breast_has_no_nipple_and_the_furthest_point_stands_in() -> None:
    y, x = np.mgrid[:500, :400] + 0.5
    found = find_nipple((x / 180) ** 2 + ((y - 250) / 200) ** 2 < 1, 0.0)
    assert found.confidence == 0
    np.testing.assert_allclose((found.x, found.y), (179.5, 250), atol=2)


def test_the_skin_on_both_sides_tells_where_the_breast_points_to() -> None:
    for turn_deg in (-15.0, 0.0, 20.0):
        turn = np.deg2rad(turn_deg)
        y, x = np.mgrid[:500, :400] + 0.5
        ahead, aside = x * np.cos(turn) + (y - 250) * np.sin(turn), (y - 250) * np.cos(turn) - x * np.sin(turn)
        mask = (ahead / 180) ** 2 + (aside / 150) ** 2 < 1
        tip = Nipple(180 * np.cos(turn), 250 + 180 * np.sin(turn), 1.0)
        assert nipple_axis(mask, tip, 180.0) == pytest.approx(turn_deg, abs=2)


def test_no_axis_where_the_picture_ends_beside_the_nipple() -> None:
    mask = breast_with_nipple()[:250]
    assert nipple_axis(mask, find_nipple(mask, 0.0), 180.0) is None


def test_the_axis_is_perpendicular_to_its_line() -> None:
    line = Line(20.0, 30.0, 1.0)
    axis = chest_nipple_axis(Nipple(200.0, 260.0, 1.0), line)
    along = np.subtract(axis.nipple, axis.foot)
    assert along @ line.tangent == pytest.approx(0, abs=1e-9)
    assert np.dot(axis.foot, line.normal) == pytest.approx(line.offset)
    assert np.hypot(*along) == pytest.approx(axis.length)


def test_the_skin_line_leaves_out_the_borders() -> None:
    mask = breast_with_nipple()
    assert contour(mask)[:, 0].min() == 0.5
    assert skin_line(mask)[:, 0].min() > 2
    assert chest_wall(mask).offset == 0


def test_an_empty_mask_has_neither_skin_nor_nipple() -> None:
    assert len(skin_line(np.zeros((20, 30), bool))) == 0
    assert find_nipple(np.zeros((20, 30), bool), 0.0).confidence == 0


def test_a_picture_whose_skin_has_gaps_is_no_error() -> None:
    mask = np.zeros((64, 48), bool)
    mask[:, :20] = True
    found = find_nipple(mask, 0.0)
    assert 0 <= found.confidence <= 1
    assert 0 <= found.x <= 48
